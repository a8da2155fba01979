import { createPublicKey, generateKeyPair, type KeyObject, sign } from "node:crypto";
import { promisify } from "node:util";
import { Fault } from "#core/errors";
import { text, Writer } from "../wire/codec.ts";
import { EcdsaKey, EcdsaSignature, Ed25519Key, RsaKey, Signature } from "../wire/keys.ts";
import { plainAlgorithm } from "./algorithms.ts";
import type { PublicKey, Signer } from "./key.ts";
import { curves, rsaHashes } from "./kinds.ts";
import { parsePublicKey, sameKey } from "./public.ts";

/** A private key in memory. Logs and JSON do not show what is in it. */
export class PrivateKey {
  /** Plain. */
  readonly publicKey: PublicKey;
  readonly #key: KeyObject;

  /** Throws `bad_parameter` when `key` is of a kind or size that SSH or we do not use. */
  constructor(key: KeyObject) {
    this.publicKey = parsePublicKey(publicBlob(createPublicKey(key), key));
    this.#key = key;
  }

  /** Signs as the plain key, or as `certificate`, which must certify this key (else `bad_parameter`). */
  signer(certificate?: PublicKey): Signer {
    if (certificate && !(certificate.certificate && sameKey(certificate.certificate.key, this.publicKey)))
      throw new Fault("bad_parameter", "the certificate is not for this private key");
    return {
      publicKey: certificate ?? this.publicKey,
      sign: (data, algorithm) => this.#sign(data, algorithm),
    };
  }

  /** The key itself, for the formats beside this file. */
  reveal(): KeyObject {
    return this.#key;
  }

  async #sign(data: Uint8Array, algorithm: string): Promise<Uint8Array> {
    const plain = plainAlgorithm(algorithm);
    if (!this.publicKey.algorithms.includes(plain))
      throw new Fault(
        "bad_parameter",
        `a key of type ${this.publicKey.type} does not sign with ${algorithm}`,
      );
    return Signature.encode({
      algorithm: plain,
      blob: await this.#signature(data, plain),
      extra: new Uint8Array(0),
    });
  }

  async #signature(data: Uint8Array, algorithm: string): Promise<Uint8Array> {
    const curve = curves.get(algorithm.replace("ecdsa-sha2-", ""));
    if (!curve) return signOffThread(rsaHashes.get(algorithm) ?? null, data, { key: this.#key });
    const rs = await signOffThread(curve.hash, data, { key: this.#key, dsaEncoding: "ieee-p1363" });
    return EcdsaSignature.encode({ r: rs.subarray(0, curve.size), s: rs.subarray(curve.size) });
  }
}

/** A new key, made off this thread: RSA takes a good part of a second. */
export async function generateKey(kind: "ed25519" | "ecdsa-p256" | "rsa-2048"): Promise<PrivateKey> {
  const generate = promisify(generateKeyPair);
  switch (kind) {
    case "ed25519":
      return new PrivateKey((await generate("ed25519", {})).privateKey);
    case "ecdsa-p256":
      return new PrivateKey((await generate("ec", { namedCurve: "P-256" })).privateKey);
    case "rsa-2048":
      return new PrivateKey((await generate("rsa", { modulusLength: 2048 })).privateKey);
  }
}

function signOffThread(
  hash: string | null,
  data: Uint8Array,
  key: { key: KeyObject; dsaEncoding?: "ieee-p1363" },
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    sign(hash, data, key, (err, signature) => (err ? reject(err) : resolve(signature)));
  });
}

function publicBlob(key: KeyObject, { asymmetricKeyType }: KeyObject): Uint8Array {
  const w = new Writer();
  if (asymmetricKeyType === "ed25519") {
    text.write(w, "ssh-ed25519");
    Ed25519Key.write(w, { point: key.export({ format: "raw-public" }) });
  } else if (asymmetricKeyType === "ec") {
    const curve = curveOf(key);
    text.write(w, `ecdsa-sha2-${curve}`);
    EcdsaKey.write(w, { curve, point: key.export({ format: "raw-public" }) });
  } else if (asymmetricKeyType === "rsa") {
    const { n = "", e = "" } = key.export({ format: "jwk" });
    text.write(w, "ssh-rsa");
    RsaKey.write(w, { exponent: fromBase64url(e), modulus: fromBase64url(n) });
  } else {
    throw new Fault("bad_parameter", `SSH does not use keys of type ${asymmetricKeyType}`);
  }
  return w.finish();
}

function curveOf(key: KeyObject): string {
  const openssl = key.asymmetricKeyDetails?.namedCurve;
  for (const [name, curve] of curves) if (curve.openssl === openssl) return name;
  throw new Fault(
    "bad_parameter",
    `SSH does not use the curve ${openssl ?? "that was given by its parameters"}`,
  );
}

function fromBase64url(digits: string): Uint8Array {
  return Buffer.from(digits, "base64url");
}
