import { createHash } from "node:crypto";
import { Fault } from "#core/errors";
import { bytes, Reader, text, Writer } from "../wire/codec.ts";
import { CertificateBody, Signature } from "../wire/keys.ts";
import { plainAlgorithm } from "./algorithms.ts";
import type { Certificate, PublicKey } from "./key.ts";
import { kinds } from "./kinds.ts";

/**
 * Reads a public key or an OpenSSH certificate as the wire carries it. Of a certificate only the form is looked at;
 * nothing in it is true before `checkCertificate`.
 * Throws `bad_parameter` for a key type or size we do not accept, `protocol` for anything malformed, bytes left over included.
 */
export function parsePublicKey(blob: Uint8Array): PublicKey {
  return isCertificateBlob(blob) ? dissectCertificate(blob).key : parsePlainKey(blob);
}

/** Whether two keys are the same: a certificate is not the same as the key it certifies. */
export function sameKey(a: PublicKey, b: PublicKey): boolean {
  return Buffer.compare(a.blob, b.blob) === 0;
}

/** `SHA256:…` as OpenSSH prints it; of a certificate, the fingerprint of the key it certifies. */
export function fingerprint(key: PublicKey): string {
  const { blob } = key.certificate?.key ?? key;
  return `SHA256:${createHash("sha256").update(blob).digest("base64").replace(/=+$/, "")}`;
}

/** A certificate taken apart: `signature` is the authority's over `signed`. */
export function dissectCertificate(blob: Uint8Array): {
  key: PublicKey & { readonly certificate: Certificate };
  signed: Uint8Array;
  signature: Uint8Array;
} {
  const own = Uint8Array.from(blob); // the caller's buffer may be reused
  const r = new Reader(own);
  const type = text.read(r);
  bytes.read(r); // the nonce
  const key = readPlainKey(plainAlgorithm(type), r);
  const body = CertificateBody.read(r);
  const signed = own.subarray(0, own.length - r.left);
  const signature = bytes.read(r);
  if (r.left > 0) throw new Fault("protocol", `certificate has ${r.left} bytes after its signature`);
  // `parsePlainKey` knows no certificate types, so an authority cannot be a certificate and nothing nests.
  const signatureKey = parsePlainKey(body.signatureKey);
  const { reserved: _, ...says } = body;
  const certificate: Certificate = { ...says, key, signatureKey };
  const { algorithms } = key;
  const verify: PublicKey["verify"] = (data, sig, algorithm) =>
    key.verify(data, sig, plainAlgorithm(algorithm));
  return { key: { type, blob: own, algorithms, certificate, verify }, signed, signature };
}

function isCertificateBlob(blob: Uint8Array): boolean {
  const type = text.read(new Reader(blob));
  return plainAlgorithm(type) !== type;
}

function parsePlainKey(blob: Uint8Array): PublicKey {
  const r = new Reader(Uint8Array.from(blob));
  const key = readPlainKey(text.read(r), r);
  if (r.left > 0) throw new Fault("protocol", `public key has ${r.left} bytes after its last field`);
  return key;
}

function readPlainKey(type: string, r: Reader): PublicKey {
  const kind = kinds.get(type);
  if (!kind) {
    const why = plainAlgorithm(type) === type ? "is not supported" : "cannot stand here: it is a certificate";
    throw new Fault("bad_parameter", `key type ${JSON.stringify(type.slice(0, 64))} ${why}`);
  }
  const material = kind.read(r);
  const w = new Writer();
  text.write(w, type);
  w.bytes(material.fields);
  return {
    type,
    blob: w.finish(),
    algorithms: kind.algorithms,
    verify(data, signature, algorithm) {
      if (!kind.algorithms.includes(algorithm)) return false;
      try {
        const got = Signature.decode(signature);
        return got.algorithm === algorithm && material.verify(data, got.blob, got.extra, algorithm);
      } catch {
        return false; // whatever a hostile signature makes of the parser or of OpenSSL, it does not verify
      }
    },
  };
}
