import type { Millis } from "#core/clock";
import { Fault } from "#core/errors";
import type { CertAuthority } from "#model";
import { checkCertificate, type PublicKey, parsePublicKeyLine, sameKey } from "#ssh/keys";

/** The proxy at the other end of a tunnel. */
export interface Peer {
  readonly cluster: string;
  readonly hostId: string;
  /** The authority's key that certified it. */
  readonly certifiedBy: PublicKey;
}

/**
 * Which cluster's proxy this key is of, if a host authority among `authorities` certifies it as one (TUN-02). A cluster's authority
 * counts for that cluster alone. Throws `access_denied` with the reason, which is for the log.
 */
export function proxyOf(key: PublicKey, authorities: readonly CertAuthority[], now: Millis): Peer {
  let authority: CertAuthority | undefined;
  const certificate = checkCertificate(key, {
    type: "host",
    isAuthority: (ca) => {
      authority = authorities.find((one) => certifies(one, ca));
      return authority !== undefined;
    },
    now,
  });
  const cluster = authority?.spec.cluster_name ?? "";
  const suffix = `.${cluster}`;
  if (certificate.extensions.get("x-teleport-role") !== "Proxy" || !certificate.keyId.endsWith(suffix))
    throw new Fault("access_denied", `${JSON.stringify(certificate.keyId)} is no proxy of ${cluster}`);
  const hostId = certificate.keyId.slice(0, -suffix.length);
  return { cluster, hostId, certifiedBy: certificate.signatureKey };
}

/** Whether `key` is one of a host authority. */
export const certifies = ({ spec }: CertAuthority, key: PublicKey): boolean =>
  spec.type === "host" && spec.checking_keys.some((line) => sameKey(parsePublicKeyLine(line).key, key));
