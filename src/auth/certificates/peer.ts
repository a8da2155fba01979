import { X509Certificate } from "node:crypto";
import { inAddressList } from "#core/cidr";
import type { Clock } from "#core/clock";
import { Fault } from "#core/errors";
import type { CertAuthority, Identity, SystemRole, TrustedLink } from "#model";
import { systemRoles, Traits, userAuthorityOf } from "#model";
import { readIssuer, readSubject, validity } from "#pki";

/**
 * Who a TLS client is, by its certificate. Which CA signed it decides what it can be: only a host CA makes machines and
 * the admin, only a user CA makes people, whatever roles the subject claims; of a cluster that is trusted only the user CA counts, and
 * only while the link is enabled. Throws `access_denied` for a certificate that none of them signed or whose time is over; no
 * certificate is a stranger.
 */
export function identify(
  certificate: Uint8Array | undefined,
  authorities: readonly CertAuthority[],
  clock: Clock,
  trusted: readonly TrustedLink[] = [],
): Identity {
  if (!certificate) return { kind: "anonymous" };
  const cert = new X509Certificate(certificate);
  const signs = ({ spec }: CertAuthority): boolean =>
    spec.tls_key_pairs.some((pair) => signed(pair.cert, cert));
  const own = authorities.find(signs);
  const authority = own ?? trusted.flatMap((link) => userAuthorityOf(link) ?? []).find(signs);
  if (!authority || cert.ca) {
    const link = authority ? undefined : trusted.find((one) => isKnownBySshOnly(one, certificate));
    throw new Fault(
      "access_denied",
      link
        ? `of the cluster ${link.resource.metadata.name}, which your certificate names, only the SSH keys are known here, not what signs certificates for TLS; it tells that itself as soon as there is a tunnel`
        : "your certificate is not of this cluster; log in or join again",
    );
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
    const restrictions = subject.organizationalUnits ?? [];
    const sources = restrictions.filter(isSource).map((unit) => unit.slice(sourcePrefix.length));
    if (sources.length < restrictions.length) {
      throw new Fault("access_denied", "your certificate is restricted to another use than this API");
    }
    const said = {
      user: subject.commonName,
      roles: subject.organizations ?? [],
      logins: subject.localities ?? [],
      cluster,
      expires: notAfter,
      ...(sources.length > 0 && { sources }),
    };
    if (!own) return { kind: "remote_user", ...said };
    return { kind: "user", ...said, traits: traitsOf(subject.postalCode), validFrom: notBefore };
  }
  const role = systemRoles.find((name): name is SystemRole => name === subject.organizations?.[0]);
  const suffix = `.${cluster}`;
  if (!role || !subject.commonName.endsWith(suffix)) {
    throw new Fault("access_denied", "your certificate names no role that this cluster knows");
  }
  return { kind: "system", role, hostId: subject.commonName.slice(0, -suffix.length), cluster };
}

const sourcePrefix = "source-address:";
const isSource = (unit: string): boolean => unit.startsWith(sourcePrefix);

/** How an X.509 certificate says that it is good at some addresses only: a restriction (OVW-23), which who does not know it refuses. */
export const sourceUnits = (sources: readonly string[] = []): string[] =>
  sources.map((range) => `${sourcePrefix}${range}`);

/** Throws `access_denied` when a certificate is not good at the address that it is used from. */
export function checkSource(identity: Identity, address: string): void {
  if (!("sources" in identity) || !identity.sources) return;
  if (inAddressList(identity.sources.join(","), address) === true) return;
  throw new Fault(
    "access_denied",
    `certificate "${identity.user}" may not be used from ${address || "an unknown address"}`,
  );
}

/** Whether a certificate may be of a cluster that stands in the file by its SSH keys (CFG-61). Good for a sentence only. */
const isKnownBySshOnly = (link: TrustedLink, certificate: Uint8Array): boolean =>
  userAuthorityOf(link)?.spec.tls_key_pairs.length === 0 &&
  readIssuer(certificate) === link.resource.metadata.name;

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
