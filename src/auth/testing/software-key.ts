import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import type { KeyAnswer, KeyCreated, KeyCreation, KeyRequest } from "#contract/webauthn";

/** What a test lets an authenticator or a browser do otherwise than it should. */
export interface Deviation {
  readonly origin?: string;
  readonly rpId?: string;
  readonly challenge?: string;
  /** Whether somebody touched the key. */
  readonly touched?: boolean;
  readonly counter?: number;
  readonly type?: string;
  readonly crossOrigin?: boolean;
  /** Another key that signs in its place. */
  readonly signedBy?: KeyObject;
}

/**
 * A security key with a browser before it: answers as WebAuthn Level 3 has them, §6.1 (authenticator data), §6.5.4 (attestation
 * object), §7. `counter`: what it counts at its next signature; undefined for a key that does not count.
 */
export class SoftwareKey {
  readonly id = randomBytes(32);
  readonly pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
  readonly #origin: string;
  counter: number | undefined = 1;

  constructor(origin: string) {
    this.#origin = origin;
  }

  /** `attestation`: of CBOR values; by default `none`, and `packed` signs with the key itself (§8.2, §8.7). */
  create(
    options: KeyCreation,
    deviation: Deviation & { readonly attestation?: "none" | "packed" | "packed-x5c" | "tpm" } = {},
  ): KeyCreated {
    const clientData = this.#clientData("webauthn.create", options.challenge, deviation);
    const { x = "", y = "" } = this.pair.publicKey.export({ format: "jwk" });
    // COSE_Key: kty EC2, alg ES256, crv P-256 (RFC 9052 §7).
    const cose = cbor(
      new Map<number, unknown>([
        [1, 2],
        [3, -7],
        [-1, 1],
        [-2, Buffer.from(x, "base64url")],
        [-3, Buffer.from(y, "base64url")],
      ]),
    );
    const length = Buffer.alloc(2);
    length.writeUInt16BE(this.id.length);
    const attested = Buffer.concat([Buffer.alloc(16), length, this.id, cose]);
    const authData = this.#authenticatorData(deviation.rpId ?? options.rp.id, deviation, attested);
    const { attestation = "none" } = deviation;
    const sig = sign("sha256", Buffer.concat([authData, sha256(clientData)]), this.pair.privateKey);
    const statement = {
      none: new Map(),
      packed: new Map<string, unknown>([
        ["alg", -7],
        ["sig", sig],
      ]),
      "packed-x5c": new Map<string, unknown>([
        ["alg", -7],
        ["sig", sig],
        ["x5c", [Buffer.from("a certificate")]],
      ]),
      tpm: new Map(),
    }[attestation];
    const object = cbor(
      new Map<string, unknown>([
        ["fmt", attestation.replace("-x5c", "")],
        ["attStmt", statement],
        ["authData", authData],
      ]),
    );
    return {
      ...this.#credential(),
      response: {
        clientDataJSON: clientData.toString("base64url"),
        attestationObject: object.toString("base64url"),
        transports: ["usb"],
      },
    };
  }

  /** A touch. Throws where a browser would say that none of the keys is here. */
  get(options: KeyRequest, deviation: Deviation = {}): KeyAnswer {
    if (!options.allowCredentials.some(({ id }) => id === this.id.toString("base64url")))
      throw new Error("this key was not asked for");
    const clientData = this.#clientData("webauthn.get", options.challenge, deviation);
    const authData = this.#authenticatorData(deviation.rpId ?? options.rpId, deviation);
    const by = deviation.signedBy ?? this.pair.privateKey;
    const signature = sign("sha256", Buffer.concat([authData, sha256(clientData)]), by);
    return {
      ...this.#credential(),
      response: {
        clientDataJSON: clientData.toString("base64url"),
        authenticatorData: authData.toString("base64url"),
        signature: signature.toString("base64url"),
      },
    };
  }

  #credential() {
    const id = this.id.toString("base64url");
    return { id, rawId: id, type: "public-key" as const, clientExtensionResults: {} };
  }

  #clientData(type: string, challenge: string, deviation: Deviation): Buffer {
    return Buffer.from(
      JSON.stringify({
        type: deviation.type ?? type,
        challenge: deviation.challenge ?? challenge,
        origin: deviation.origin ?? this.#origin,
        crossOrigin: deviation.crossOrigin ?? false,
      }),
    );
  }

  #authenticatorData(rpId: string, { touched = true, counter }: Deviation, attested?: Buffer): Buffer {
    const flags = (touched ? 0x01 : 0) | (attested ? 0x40 : 0);
    const count = Buffer.alloc(4);
    count.writeUInt32BE(counter ?? this.counter ?? 0);
    if (this.counter !== undefined) this.counter++;
    return Buffer.concat([sha256(rpId), Buffer.from([flags]), count, attested ?? Buffer.alloc(0)]);
  }
}

const sha256 = (data: string | Buffer): Buffer => createHash("sha256").update(data).digest();

/** As much of RFC 8949 as authenticators speak: integers, byte and text strings, arrays, maps. */
function cbor(value: unknown): Buffer {
  if (typeof value === "number") return value < 0 ? head(1, -1 - value) : head(0, value);
  if (typeof value === "string")
    return Buffer.concat([head(3, Buffer.byteLength(value)), Buffer.from(value)]);
  if (Buffer.isBuffer(value)) return Buffer.concat([head(2, value.length), value]);
  if (Array.isArray(value)) return Buffer.concat([head(4, value.length), ...value.map(cbor)]);
  if (value instanceof Map)
    return Buffer.concat([head(5, value.size), ...[...value].flatMap(([k, v]) => [cbor(k), cbor(v)])]);
  throw new Error("no CBOR here for this");
}

function head(major: number, length: number): Buffer {
  if (length < 24) return Buffer.from([(major << 5) | length]);
  if (length < 256) return Buffer.from([(major << 5) | 24, length]);
  return Buffer.from([(major << 5) | 25, length >> 8, length & 0xff]);
}
