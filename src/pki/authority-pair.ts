import { createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from "node:crypto";
import type { Millis } from "#core/clock";
import { Fault } from "#core/errors";
import type { TlsPair } from "./issue.ts";
import { readSubject, validity } from "./read.ts";

/**
 * A pair that others brought, fit to sign with: a certificate that `checkAuthority` lets pass, and the key that belongs to it,
 * which is answered in PKCS#8. Throws `bad_parameter`, never quoting the key.
 */
export function checkAuthorityPair(pair: TlsPair, clusterName: string, now: Millis): TlsPair {
  checkAuthority(pair.cert, clusterName, now);
  const key = privateKey(pair.key);
  if (!isUsable(key)) throw wrong(unusable);
  if (!createPublicKey(key).equals(new X509Certificate(pair.cert).publicKey))
    throw wrong("the private key is not the certificate's");
  return { cert: pair.cert, key: key.export({ type: "pkcs8", format: "pem" }) as string };
}

/** Throws `bad_parameter` for what is not the certificate of a CA that signed itself, in its time, for this cluster. */
export function checkAuthority(pem: string, clusterName: string, now: Millis): void {
  const { notBefore, notAfter } = validity(pem);
  const cert = new X509Certificate(pem);
  if (!cert.ca) throw wrong("the certificate is not one of an authority (basicConstraints: CA)");
  if (!cert.verify(cert.publicKey)) throw wrong("the certificate has not signed itself");
  const { commonName } = readSubject(pem);
  if (commonName !== clusterName)
    throw wrong(
      `the certificate is of the cluster ${JSON.stringify(commonName)}, this is ${JSON.stringify(clusterName)}`,
    );
  if (now >= notAfter) throw wrong(`the certificate ended on ${new Date(notAfter).toISOString()}`);
  if (now < notBefore) throw wrong(`the certificate begins on ${new Date(notBefore).toISOString()}`);
  if (!isUsable(cert.publicKey)) throw wrong(unusable);
}

const wrong = (what: string): Fault => new Fault("bad_parameter", what);
const unusable = "the key is neither ECDSA on a NIST curve nor RSA of 2048 bits or more";

function privateKey(pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch {
    // What the library says may quote the text.
    throw new Fault("bad_parameter", "the private key cannot be read; it is PEM without a passphrase");
  }
}

function isUsable({ asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject): boolean {
  if (type === "ec") return ["prime256v1", "secp384r1", "secp521r1"].includes(details?.namedCurve ?? "");
  return type === "rsa" && (details?.modulusLength ?? 0) >= 2048;
}
