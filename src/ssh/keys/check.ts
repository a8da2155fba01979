import { inAddressList } from "#core/cidr";
import { type Millis, minute } from "#core/clock";
import { Fault } from "#core/errors";
import { Reader, text } from "../wire/codec.ts";
import type { Certificate, PublicKey } from "./key.ts";
import { dissectCertificate, sameKey } from "./public.ts";

export interface CertificateCheck {
  /** What the certificate must be for: the other type is refused. */
  readonly type: "user" | "host";
  /** Whether this plain key is a trusted authority for this type and purpose. */
  readonly isAuthority: (key: PublicKey) => boolean;
  /** The login or host name that must be among the principals, compared byte for byte. Absent: the caller decides. */
  readonly principal?: string;
  readonly now: Millis;
  /** The peer's IP address. A user certificate bound to addresses is refused without it. */
  readonly sourceAddress?: string;
  /** Critical options that the caller obeys itself, e.g. `force-command`. `source-address` is obeyed here. */
  readonly knownCriticalOptions?: readonly string[];
}

/**
 * Believes a certificate or throws `access_denied` with the reason: a pure decision over the certificate and `check`.
 * Refused are: a plain key, the wrong type, an authority that is not trusted, a signature that does not verify
 * or uses SHA-1, principals that stand for anyone, a time outside the validity, and critical options nobody obeys.
 * Unknown extensions are ignored (OpenSSH PROTOCOL.certkeys).
 */
export function checkCertificate(key: PublicKey, check: CertificateCheck): Certificate {
  if (!key.certificate) throw refusal("a certificate is needed here, not a plain key");
  // Taken from the bytes that were signed, so that what is decided and what was signed cannot differ.
  const {
    key: { certificate },
    signed,
    signature,
  } = dissectCertificate(key.blob);
  const name = `certificate ${JSON.stringify(certificate.keyId)}`;

  if (certificate.type !== check.type)
    throw refusal(`${name} is a ${certificate.type} certificate, not a ${check.type} certificate`);
  if (sameKey(certificate.key, certificate.signatureKey)) throw refusal(`${name} is signed by its own key`);
  if (!check.isAuthority(certificate.signatureKey))
    throw refusal(`${name} is signed by an authority that is not trusted here`);
  if (!certificate.signatureKey.verify(signed, signature, signatureAlgorithm(signature)))
    throw refusal(`${name} has a signature that does not verify, or a weak one`);

  const badPrincipals = principalsProblem(certificate.principals);
  if (badPrincipals) throw refusal(`${name} ${badPrincipals}`);
  if (check.principal !== undefined && !certificate.principals.includes(check.principal))
    throw refusal(`${name} is not for ${JSON.stringify(check.principal)}`);
  checkCriticalOptions(name, certificate, check);
  checkValidity(name, certificate, check.now);
  return certificate;
}

/**
 * What is wrong with a list of principals, as the end of a sentence; undefined when nothing is. An empty list means
 * anyone to some peers, `*` and `?` are wildcards to some, a comma or space splits to some (CVE-2024-7594,
 * CVE-2026-35414), and look-alikes outside ASCII mislead people: none of them is ever in a certificate of ours.
 */
export function principalsProblem(principals: readonly string[]): string | undefined {
  if (principals.length === 0) return "names no principals";
  const bad = principals.find((name) => !/^[\x21-\x7e]+$/.test(name) || /[,*?]/.test(name));
  return bad === undefined
    ? undefined
    : `names the principal ${JSON.stringify(bad)}, which is not one plain name`;
}

/** How far the authority's clock may be ahead of ours. Nothing is added at the end: an expired certificate is expired. */
const clockSkew: Millis = 2 * minute;

function checkValidity(name: string, { validAfter, validBefore }: Certificate, now: Millis): void {
  const seconds = (ms: Millis): bigint => BigInt(Math.floor(ms / 1000));
  if (validAfter > seconds(now + clockSkew))
    throw untimely(
      `${name} is not valid before ${date(validAfter)}`,
      now,
      ": one of the two clocks is wrong",
    );
  if (validBefore <= seconds(now)) throw untimely(`${name} expired at ${date(validBefore)}`, now);
  if (validAfter >= validBefore) throw refusal(`${name} ends before it begins`);
}

function checkCriticalOptions(
  name: string,
  { type, criticalOptions }: Certificate,
  { sourceAddress, knownCriticalOptions = [] }: CertificateCheck,
): void {
  for (const [option, value] of criticalOptions) {
    if (option === "source-address" && type === "user") {
      const allowed = inAddressList(value, sourceAddress ?? "");
      if (allowed === undefined) throw refusal(`${name} has a malformed list of source addresses`);
      if (!allowed) throw refusal(`${name} may not be used from ${sourceAddress ?? "an unknown address"}`);
    } else if (!knownCriticalOptions.includes(option)) {
      throw refusal(`${name} has the critical option ${JSON.stringify(option)}, which is not supported here`);
    }
  }
}

/** The algorithm that the authority says it used; `verify` then holds it to those that its key may use. */
function signatureAlgorithm(signature: Uint8Array): string {
  return text.read(new Reader(signature));
}

/** RFC 3339, or the number where no calendar reaches. */
function date(seconds: bigint): string {
  const ms = Number(seconds) * 1000;
  return ms <= 8.64e15 ? new Date(ms).toISOString() : `second ${seconds}`;
}

function refusal(sentence: string): Fault {
  return new Fault("access_denied", sentence);
}

/** With `details.clock`, so that a server can tell its client: nobody else finds a wrong clock, and all else is good by then. */
function untimely(sentence: string, now: Millis, advice = ""): Fault {
  const clock = new Date(now).toISOString();
  return new Fault("access_denied", `${sentence}; the clock here says ${clock}${advice}`, {
    details: { clock },
  });
}
