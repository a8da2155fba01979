import { randomBytes } from "node:crypto";
import { inAddressList } from "#core/cidr";
import { Fault } from "#core/errors";
import { bytes, Reader, text, Writer } from "../wire/codec.ts";
import { CertificateBody } from "../wire/keys.ts";
import { certifiedAlgorithm } from "./algorithms.ts";
import { principalsProblem } from "./check.ts";
import type { PublicKey, Signer } from "./key.ts";
import { dissectCertificate, sameKey } from "./public.ts";

export interface CertificateRequest {
  /** The key to certify, plain. */
  readonly key: PublicKey;
  readonly type: "user" | "host";
  readonly keyId: string;
  readonly serial: bigint;
  readonly principals: readonly string[];
  /** Seconds since the Unix epoch. Peers without tolerance (OpenSSH) need it a minute or two in the past. */
  readonly validAfter: bigint;
  /** Seconds since the Unix epoch; `noExpiry` for none. */
  readonly validBefore: bigint;
  readonly criticalOptions?: ReadonlyMap<string, string>;
  /** E.g. `permit-pty` with an empty value (OpenSSH PROTOCOL.certkeys). */
  readonly extensions?: ReadonlyMap<string, string>;
}

/** `validBefore` of a certificate without end. */
export const noExpiry = 2n ** 64n - 1n;

/**
 * Makes a certificate for `request.key`, signed by `authority` with the best of its algorithms. Throws `bad_parameter`
 * for whatever `checkCertificate` would refuse later, so that no such certificate ever exists.
 */
export async function issueCertificate(request: CertificateRequest, authority: Signer): Promise<PublicKey> {
  checkRequest(request, authority.publicKey);
  const w = new Writer();
  text.write(w, certifiedAlgorithm(request.key.type));
  bytes.write(w, randomBytes(32));
  w.bytes(fieldsOf(request.key));
  CertificateBody.write(w, {
    serial: request.serial,
    type: request.type,
    keyId: request.keyId,
    principals: [...request.principals],
    validAfter: request.validAfter,
    validBefore: request.validBefore,
    criticalOptions: request.criticalOptions ?? new Map(),
    extensions: request.extensions ?? new Map(),
    reserved: new Uint8Array(0),
    signatureKey: authority.publicKey.blob,
  });
  const signed = w.finish();
  const algorithm = authority.publicKey.algorithms[0] as string;
  const signature = await authority.sign(signed, algorithm);
  // A faulty signature can give a private key away, and one by another key would be noticed only by those who need it.
  if (!authority.publicKey.verify(signed, signature, algorithm))
    throw new Fault("internal", "the authority's signature over a new certificate does not verify");
  bytes.write(w, signature);
  return dissectCertificate(w.finish()).key;
}

function checkRequest(request: CertificateRequest, authority: PublicKey): void {
  const { key, type, principals, serial, validAfter, validBefore } = request;
  if (authority.certificate) throw refusal("the authority's key is itself a certificate");
  if (key.certificate) throw refusal("the key to certify is itself a certificate");
  if (sameKey(key, authority)) throw refusal("an authority may not certify its own key");
  const badPrincipals = principalsProblem(principals);
  if (badPrincipals) throw refusal(`the certificate ${badPrincipals}`);
  if (principals.length > 256) throw refusal("the certificate names more than 256 principals");
  if ([serial, validAfter, validBefore].some((n) => n < 0n || n > noExpiry))
    throw refusal("the certificate's serial or validity does not fit in 64 bits");
  if (validAfter >= validBefore) throw refusal("the certificate ends before it begins");
  for (const [option, value] of request.criticalOptions ?? []) {
    // These are all that OpenSSH knows, and none of them is for hosts: any other would lock everybody out.
    const known = type === "user" && ["force-command", "source-address", "verify-required"].includes(option);
    if (!known)
      throw refusal(`the critical option ${JSON.stringify(option)} is not known for ${type} certificates`);
    if (option === "force-command" && value === "") throw refusal("the forced command is empty");
    if (option === "source-address" && inAddressList(value, "") === undefined)
      throw refusal("the list of source addresses is empty or malformed");
  }
}

/** The fields of a plain key, without its type name. */
function fieldsOf(key: PublicKey): Uint8Array {
  const r = new Reader(key.blob);
  text.read(r);
  return r.bytes(r.left);
}

function refusal(why: string): Fault {
  return new Fault("bad_parameter", `no certificate is issued: ${why}`);
}
