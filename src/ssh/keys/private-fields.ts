import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { Fault } from "#core/errors";
import { bytes, Reader, text, Writer } from "../wire/codec.ts";
import { EcdsaKey, Ed25519Key, RsaKey } from "../wire/keys.ts";
import {
  EcdsaCertified,
  EcdsaPrivate,
  Ed25519Private,
  RsaCertified,
  RsaPrivate,
} from "../wire/private-keys.ts";
import { plainAlgorithm } from "./algorithms.ts";
import type { PublicKey } from "./key.ts";
import { curves } from "./kinds.ts";
import { PrivateKey } from "./private.ts";
import { parsePublicKey } from "./public.ts";

/** A private key and, when it travelled with one, its certificate. */
export interface KeyPair {
  readonly key: PrivateKey;
  readonly certificate?: PublicKey;
}

/** Type name and fields of a private key, as OpenSSH's key file and the agent protocol carry them. */
export function writePrivateKey(w: Writer, { key, certificate }: KeyPair): void {
  const { type } = key.publicKey;
  text.write(w, certificate?.type ?? type);
  if (certificate) bytes.write(w, certificate.blob);
  const r = new Reader(key.publicKey.blob);
  text.read(r);
  const jwk = key.reveal().export({ format: "jwk" });
  const part = (name: "d" | "p" | "q" | "qi"): Uint8Array => Buffer.from(jwk[name] ?? "", "base64url");
  if (type === "ssh-ed25519") {
    const { point } = Ed25519Key.read(r);
    Ed25519Private.write(w, { point, secret: Buffer.concat([part("d"), point]) });
  } else if (type === "ssh-rsa") {
    const secrets = {
      privateExponent: part("d"),
      coefficient: part("qi"),
      firstPrime: part("p"),
      secondPrime: part("q"),
    };
    if (certificate) RsaCertified.write(w, secrets);
    else RsaPrivate.write(w, { ...RsaKey.read(r), ...secrets });
  } else {
    const scalar = part("d");
    if (certificate) EcdsaCertified.write(w, { scalar });
    else EcdsaPrivate.write(w, { ...EcdsaKey.read(r), scalar });
  }
}

/**
 * The reverse, for what follows the type name. Throws `protocol` when the parts do not belong together, `bad_parameter`
 * for keys we do not use; security keys are among them, for their secret is in the device.
 */
export function readPrivateKey(type: string, r: Reader): KeyPair {
  if (type.startsWith("sk-"))
    throw new Fault(
      "bad_parameter",
      "the private part of a security key is in the device: use it through an agent",
    );
  const certificate = plainAlgorithm(type) === type ? undefined : parsePublicKey(bytes.read(r));
  if (certificate && certificate.type !== type)
    throw new Fault("protocol", `private key says ${type}, its certificate is ${certificate.type}`);
  const plain = certificate && new Reader(certificate.certificate?.key.blob ?? certificate.blob);
  if (plain) text.read(plain);
  const object = valid(() => readObject(plainAlgorithm(type), r, plain));
  const key = new PrivateKey(object);
  if (certificate) key.signer(certificate); // refuses a certificate of another key
  return certificate ? { key, certificate } : { key };
}

/** `plain` is the certified key's fields when they are in the certificate. */
function readObject(type: string, r: Reader, plain: Reader | undefined): KeyObject {
  if (type === "ssh-ed25519") {
    const { point, secret } = Ed25519Private.read(r);
    if (secret.length !== 64) throw new Fault("protocol", "Ed25519 private key has the wrong length");
    const key = createPrivateKey({
      key: Buffer.from(secret.subarray(0, 32)),
      format: "raw-private",
      asymmetricKeyType: "ed25519",
    });
    mustMatch(key, point);
    mustMatch(key, secret.subarray(32));
    return key;
  }
  if (type === "ssh-rsa") {
    const parts = plain ? { ...RsaKey.read(plain), ...RsaCertified.read(r) } : RsaPrivate.read(r);
    return rsaObject(parts);
  }
  const parts = plain ? { ...EcdsaKey.read(plain), ...EcdsaCertified.read(r) } : EcdsaPrivate.read(r);
  const curve = curves.get(parts.curve);
  if (!curve || type !== `ecdsa-sha2-${parts.curve}`)
    throw new Fault(
      "bad_parameter",
      `private keys of type ${JSON.stringify(type.slice(0, 64))} are not supported`,
    );
  if (parts.scalar.length > curve.size) throw new Fault("protocol", "ECDSA private key has the wrong length");
  const scalar = Buffer.alloc(curve.size);
  scalar.set(parts.scalar, curve.size - parts.scalar.length);
  const key = createPrivateKey({
    key: scalar,
    format: "raw-private",
    asymmetricKeyType: "ec",
    namedCurve: curve.named,
  });
  mustMatch(key, parts.point);
  return key;
}

/** OpenSSL takes any numbers for an RSA key and would sign wrongly with some, which can give the primes away: so they are checked. */
function rsaObject(parts: {
  modulus: Uint8Array;
  exponent: Uint8Array;
  privateExponent: Uint8Array;
  coefficient: Uint8Array;
  firstPrime: Uint8Array;
  secondPrime: Uint8Array;
}): KeyObject {
  checkRsaPublic(parts);
  if (Object.values(parts).some((part) => part.length > parts.modulus.length))
    throw new Fault("protocol", "RSA private key has a part longer than its modulus");
  const number = (part: Uint8Array): bigint => BigInt(`0x0${part.toHex()}`);
  const [n, e, d, p, q, qi] = [
    number(parts.modulus),
    number(parts.exponent),
    number(parts.privateExponent),
    number(parts.firstPrime),
    number(parts.secondPrime),
    number(parts.coefficient),
  ];
  if (
    p < 3n ||
    q < 3n ||
    p * q !== n ||
    (d * e) % (p - 1n) !== 1n ||
    (d * e) % (q - 1n) !== 1n ||
    (qi * q) % p !== 1n
  )
    throw new Fault("protocol", "the parts of the RSA private key do not belong together");
  const base64url = (value: bigint): string => {
    const hex = value.toString(16);
    return Buffer.from(hex.padStart(hex.length + (hex.length % 2), "0"), "hex").toString("base64url");
  };
  return createPrivateKey({
    key: {
      kty: "RSA",
      n: base64url(n),
      e: base64url(e),
      d: base64url(d),
      p: base64url(p),
      q: base64url(q),
      dp: base64url(d % (p - 1n)),
      dq: base64url(d % (q - 1n)),
      qi: base64url(qi),
    },
    format: "jwk",
  });
}

/** Sizes first: the public part is parsed as any other before one number is computed. */
function checkRsaPublic({ modulus, exponent }: { modulus: Uint8Array; exponent: Uint8Array }): void {
  const w = new Writer();
  text.write(w, "ssh-rsa");
  RsaKey.write(w, { modulus, exponent });
  parsePublicKey(w.finish());
}

function mustMatch(key: KeyObject, point: Uint8Array): void {
  if (Buffer.compare(createPublicKey(key).export({ format: "raw-public" }), point) !== 0)
    throw new Fault("protocol", "the public and the private part of the key do not belong together");
}

function valid(make: () => KeyObject): KeyObject {
  try {
    return make();
  } catch (cause) {
    throw cause instanceof Fault ? cause : new Fault("protocol", "the private key is not valid", { cause });
  }
}
