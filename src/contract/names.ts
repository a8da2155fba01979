import { sha256 } from "#core/digest";

/** How a client that is of no cluster yet tells the auth server which host CA it knows: `pin` is that CA's pin (AUTH-16). */
export const authorityLabel = (pin: string): string => `ca-${pin.replace("sha256:", "").slice(0, 40)}`;

/** The global request by which a client asks a proxy for the digest of what certifies the hosts of the cluster that is its payload. */
export const authoritiesRequest = "host-authorities@teleport";

/** Of the SSH keys of a cluster's host CA, authorized_keys lines without comment, in whatever order; hex. */
export const authoritiesDigest = (keys: readonly string[]): string => sha256(keys.toSorted().join("\n"));

/** A name that the certificates of all proxies have, SSH and TLS, and of nobody else: for who knows a proxy by no other. */
export const anyProxy = "remote.kube.proxy.teleport.cluster.local";

/**
 * The host id of the `process`th process (from 2) of the proxy with the id `hostId`. Nobody else's id can be the same, so
 * that a proxy may be given certificates for its processes, and for nothing but those.
 */
export function companionId(hostId: string, process: number): string {
  const hex = sha256(`${hostId.toLowerCase()}/proxy/${process}`);
  // A UUID of version 8 (RFC 9562 §5.8).
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    `8${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ].join("-");
}
