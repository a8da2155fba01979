import { createHash, createPublicKey, type KeyObject, verify } from "node:crypto";
import { Fault } from "#core/errors";
import type { Reader } from "../wire/codec.ts";
import {
  EcdsaKey,
  EcdsaSignature,
  Ed25519Key,
  RsaKey,
  SkEcdsaKey,
  SkEd25519Key,
  SkSignatureEnd,
} from "../wire/keys.ts";

/** One kind of public key: how its fields are read and how its signatures are verified. */
export interface Kind {
  readonly type: string;
  readonly algorithms: readonly string[];
  /** Reads what follows the type name. Throws `protocol` or `bad_parameter` for a key that cannot be used. */
  read(r: Reader): Material;
}

export interface Material {
  /** The fields as they are on the wire. */
  readonly fields: Uint8Array;
  /** `blob` and `extra` are those of the signature. May throw on hostile input: the caller takes that as false. */
  verify(data: Uint8Array, blob: Uint8Array, extra: Uint8Array, algorithm: string): boolean;
}

/** Curves by their SSH name: what OpenSSL calls them, the hash that goes with them (RFC 5656 §6.2.1), the bytes of a coordinate. */
export const curves: ReadonlyMap<
  string,
  { readonly named: string; readonly openssl: string; readonly hash: string; readonly size: number }
> = new Map([
  ["nistp256", { named: "P-256", openssl: "prime256v1", hash: "sha256", size: 32 }],
  ["nistp384", { named: "P-384", openssl: "secp384r1", hash: "sha384", size: 48 }],
  ["nistp521", { named: "P-521", openssl: "secp521r1", hash: "sha512", size: 66 }],
]);

export const rsaHashes: ReadonlyMap<string, string> = new Map([
  ["rsa-sha2-512", "sha512"],
  ["rsa-sha2-256", "sha256"],
]);

/** Every kind we know, by type name. `ssh-dss` is not among them: DSA is broken and gone from OpenSSH. */
export const kinds: ReadonlyMap<string, Kind> = new Map(
  [
    ed25519(),
    ...["nistp256", "nistp384", "nistp521"].map((curve) => ecdsa(curve)),
    rsa(),
    skEd25519(),
    skEcdsa(),
  ].map((kind) => [kind.type, kind]),
);

function ed25519(): Kind {
  return {
    type: "ssh-ed25519",
    algorithms: ["ssh-ed25519"],
    read(r) {
      const fields = Ed25519Key.read(r);
      const key = ed25519Object(fields.point);
      return {
        fields: Ed25519Key.encode(fields),
        verify: (data, blob, extra) => extra.length === 0 && verify(null, data, key, blob),
      };
    },
  };
}

function ecdsa(curve: string): Kind {
  const type = `ecdsa-sha2-${curve}`;
  return {
    type,
    algorithms: [type],
    read(r) {
      const fields = EcdsaKey.read(r);
      const key = ecdsaObject(fields.curve, curve, fields.point);
      return {
        fields: EcdsaKey.encode(fields),
        verify: (data, blob, extra) => extra.length === 0 && verifyEcdsa(curve, key, data, blob),
      };
    },
  };
}

function rsa(): Kind {
  return {
    type: "ssh-rsa",
    algorithms: [...rsaHashes.keys()],
    read(r) {
      const fields = RsaKey.read(r);
      checkRsaSize(fields.modulus, fields.exponent);
      const key = rsaObject(fields.modulus, fields.exponent);
      return {
        fields: RsaKey.encode(fields),
        verify(data, blob, extra, algorithm) {
          const hash = rsaHashes.get(algorithm);
          if (!hash || extra.length > 0 || blob.length > fields.modulus.length) return false;
          // Some signers leave out leading zeros, against RFC 8332 §3; OpenSSH accepts that too.
          return verify(hash, data, key, leftPad(blob, fields.modulus.length));
        },
      };
    },
  };
}

function skEd25519(): Kind {
  return {
    type: "sk-ssh-ed25519@openssh.com",
    algorithms: ["sk-ssh-ed25519@openssh.com"],
    read(r) {
      const fields = SkEd25519Key.read(r);
      const key = ed25519Object(fields.point);
      return {
        fields: SkEd25519Key.encode(fields),
        verify: (data, blob, extra) => verify(null, skSigned(fields.application, data, extra), key, blob),
      };
    },
  };
}

function skEcdsa(): Kind {
  const curve = "nistp256";
  return {
    type: "sk-ecdsa-sha2-nistp256@openssh.com",
    algorithms: ["sk-ecdsa-sha2-nistp256@openssh.com"],
    read(r) {
      const fields = SkEcdsaKey.read(r);
      const key = ecdsaObject(fields.curve, curve, fields.point);
      return {
        fields: SkEcdsaKey.encode(fields),
        verify: (data, blob, extra) =>
          verifyEcdsa(curve, key, skSigned(fields.application, data, extra), blob),
      };
    },
  };
}

/** What a security key signs (OpenSSH PROTOCOL.u2f). Throws when nobody touched it. */
function skSigned(application: Uint8Array, data: Uint8Array, extra: Uint8Array): Uint8Array {
  const { flags } = SkSignatureEnd.decode(extra);
  const userPresent = 0x01;
  if ((flags & userPresent) === 0) throw new Fault("access_denied", "the security key was not touched");
  return Buffer.concat([sha256(application), extra, sha256(data)]);
}

function sha256(data: Uint8Array): Uint8Array {
  return createHash("sha256").update(data).digest();
}

function verifyEcdsa(curve: string, key: KeyObject, data: Uint8Array, blob: Uint8Array): boolean {
  const { hash, size } = curves.get(curve) as { hash: string; size: number };
  const { r, s } = EcdsaSignature.decode(blob);
  if (r.length > size || s.length > size) return false;
  return verify(
    hash,
    data,
    { key, dsaEncoding: "ieee-p1363" },
    Buffer.concat([leftPad(r, size), leftPad(s, size)]),
  );
}

/** Below 2048 bits a key is weak; a huge one makes every use of it slow (CVE-2026-39829). Both are seen from the length alone. */
function checkRsaSize(modulus: Uint8Array, exponent: Uint8Array): void {
  const bits = modulus.length === 0 ? 0 : modulus.length * 8 - (Math.clz32(modulus[0] as number) - 24);
  if (bits < 2048 || bits > 16_384)
    throw new Fault("bad_parameter", `RSA key has ${bits} bits: only 2048 to 16384 are accepted`);
  const odd = (bytes: Uint8Array): boolean => ((bytes.at(-1) ?? 0) & 1) === 1;
  if (exponent.length > 8 || !odd(exponent) || (exponent.length === 1 && exponent[0] === 1) || !odd(modulus))
    throw new Fault("bad_parameter", "RSA key has an exponent or modulus that no RSA key can have");
}

function rsaObject(modulus: Uint8Array, exponent: Uint8Array): KeyObject {
  const base64url = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64url");
  return usable("RSA", () =>
    createPublicKey({ key: { kty: "RSA", n: base64url(modulus), e: base64url(exponent) }, format: "jwk" }),
  );
}

function ed25519Object(point: Uint8Array): KeyObject {
  if (point.length !== 32) throw new Fault("protocol", `Ed25519 key has ${point.length} bytes, not 32`);
  return usable("Ed25519", () =>
    createPublicKey({ key: Buffer.from(point), format: "raw-public", asymmetricKeyType: "ed25519" }),
  );
}

/** Only uncompressed points, as RFC 5656 §3.1 has them in practice; OpenSSL refuses one that is not on the curve. */
function ecdsaObject(named: string, curve: string, point: Uint8Array): KeyObject {
  if (named !== curve) throw new Fault("protocol", `ECDSA key on ${curve} names another curve`);
  const { named: namedCurve, size } = curves.get(curve) as { named: string; size: number };
  if (point.length !== 1 + 2 * size || point[0] !== 4)
    throw new Fault("protocol", "ECDSA key is not an uncompressed point");
  return usable("ECDSA", () =>
    createPublicKey({ key: Buffer.from(point), format: "raw-public", asymmetricKeyType: "ec", namedCurve }),
  );
}

function usable(kind: string, make: () => KeyObject): KeyObject {
  try {
    return make();
  } catch (cause) {
    throw new Fault("protocol", `${kind} key is not valid`, { cause });
  }
}

function leftPad(bytes: Uint8Array, length: number): Uint8Array {
  const out = new Uint8Array(length);
  out.set(bytes, length - bytes.length);
  return out;
}
