import { createHash, X509Certificate } from "node:crypto";
import { type Millis, minute } from "#core/clock";
import { Fault } from "#core/errors";

/** What we write into the subject of a certificate (OVW-23). */
export interface Subject {
  readonly commonName: string;
  /** O: roles. */
  readonly organizations?: readonly string[];
  /** OU: usage restrictions. */
  readonly organizationalUnits?: readonly string[];
  /** L: OS logins. */
  readonly localities?: readonly string[];
  /** ST: Kubernetes groups. */
  readonly states?: readonly string[];
  /** postalCode: traits, JSON. */
  readonly postalCode?: string;
}

/** What the subject of a certificate (PEM or DER) says. The chain is not checked here. Throws `bad_parameter`. */
export function readSubject(cert: string | Uint8Array): Subject {
  const fields = open(cert).toLegacyObject().subject as unknown as Record<
    string,
    string | string[] | undefined
  >;
  const all = (name: string): string[] => [fields[name] ?? []].flat();
  const commonName = all("CN")[0];
  if (commonName === undefined)
    throw new Fault("bad_parameter", "the certificate's subject has no common name");
  const postalCode = all("postalCode")[0];
  return {
    commonName,
    organizations: all("O"),
    organizationalUnits: all("OU"),
    localities: all("L"),
    states: all("ST"),
    ...(postalCode !== undefined && { postalCode }),
  };
}

/** `sha256:` and 64 hex digits: SHA-256 over the certificate's SubjectPublicKeyInfo in DER (AUTH-16). */
export function authorityPin(cert: string): string {
  const spki = open(cert).publicKey.export({ type: "spki", format: "der" });
  return `sha256:${createHash("sha256").update(spki).digest("hex")}`;
}

/** TLS allows no difference of clocks, SSH as we check it two minutes beside one of back-dating: X.509 begins as much before. */
export const tlsBackdating: Millis = 3 * minute;

/** From when and until when the certificate is good. */
export function validity(cert: string | Uint8Array): { notBefore: Millis; notAfter: Millis } {
  const { validFrom, validTo } = open(cert);
  return { notBefore: Date.parse(validFrom), notAfter: Date.parse(validTo) };
}

/** The serial number, in hex as openssl prints it. */
export const readSerial = (cert: string | Uint8Array): string => open(cert).serialNumber;

/** The common name of who signed it, which for a CA of ours is its cluster. Undefined when that has none. */
export function readIssuer(cert: string | Uint8Array): string | undefined {
  const { issuer } = open(cert).toLegacyObject() as unknown as { issuer: Record<string, string | string[]> };
  return [issuer.CN ?? []].flat()[0];
}

function open(cert: string | Uint8Array): X509Certificate {
  try {
    return new X509Certificate(cert);
  } catch (cause) {
    throw new Fault("bad_parameter", "this is not an X.509 certificate", { cause });
  }
}
