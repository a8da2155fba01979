import { X509Certificate } from "node:crypto";
import type { Clock } from "#core/clock";
import { Fault } from "#core/errors";
import type { CertAuthority, Identity, SystemRole } from "#model";
import { systemRoles, Traits } from "#model";
import { readSubject, validity } from "#pki";

/**
 * Who a TLS client is, by its certificate. Which CA signed it decides what it can be: only a host CA makes machines and
 * the admin, only a user CA makes people, whatever roles the subject claims. Throws `access_denied` for a certificate
 * that no CA of ours signed or whose time is over; no certificate is a stranger.
 */
export function identify(
  certificate: Uint8Array | undefined,
  authorities: readonly CertAuthority[],
  clock: Clock,
): Identity {
  if (!certificate) return { kind: "anonymous" };
  const cert = new X509Certificate(certificate);
  const authority = authorities.find(({ spec }) =>
    spec.tls_key_pairs.some((pair) => signed(pair.cert, cert)),
  );
  if (!authority || cert.ca) {
    throw new Fault("access_denied", "your certificate is not of this cluster; log in or join again");
  }
  const { notBefore, notAfter } = validity(certificate);
  const now = clock.now();
  if (now >= notAfter) {
    throw new Fault(
      "access_denied",
      `your certificate has expired on ${new Date(notAfter).toISOString()}; log in again`,
    );
  }
  if (now < notBefore) {
    throw new Fault(
      "access_denied",
      `your certificate is not valid before ${new Date(notBefore).toISOString()}; check the clocks`,
    );
  }
  const subject = readSubject(certificate);
  const cluster = authority.spec.cluster_name;
  if (authority.spec.type === "user") {
    if ((subject.organizationalUnits ?? []).length > 0) {
      throw new Fault("access_denied", "your certificate is restricted to another use than this API");
    }
    return {
      kind: "user",
      user: subject.commonName,
      roles: subject.organizations ?? [],
      logins: subject.localities ?? [],
      traits: traitsOf(subject.postalCode),
      cluster,
      validFrom: notBefore,
      expires: notAfter,
    };
  }
  const role = systemRoles.find((name): name is SystemRole => name === subject.organizations?.[0]);
  const suffix = `.${cluster}`;
  if (!role || !subject.commonName.endsWith(suffix)) {
    throw new Fault("access_denied", "your certificate names no role that this cluster knows");
  }
  return { kind: "system", role, hostId: subject.commonName.slice(0, -suffix.length), cluster };
}

function signed(authority: string, cert: X509Certificate): boolean {
  const ca = new X509Certificate(authority);
  return cert.checkIssued(ca) && cert.verify(ca.publicKey);
}

function traitsOf(text: string | undefined): Traits {
  if (text === undefined) return {};
  try {
    return Traits.parse(JSON.parse(text));
  } catch (cause) {
    throw new Fault("access_denied", "your certificate carries traits that cannot be read", { cause });
  }
}
