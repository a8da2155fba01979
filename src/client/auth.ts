import { type AuthClient, openAuthClient } from "#authclient";
import { Fault } from "#core/errors";
import { readSubject } from "#pki";
import type { ProxyConnection } from "./connect.ts";
import type { Credentials } from "./keystore.ts";

/** The auth API of a cluster, inside a connection to a proxy. `version` is this program's. */
export function openAuth(
  proxy: Pick<ProxyConnection, "through">,
  credentials: Credentials,
  { cluster, version }: { cluster: string; version: string },
): AuthClient {
  const { tls, tlsAuthorities, user } = credentials;
  // The hosts of one cluster must not pass for those of another.
  const authorities = tlsAuthorities.filter((pem) => readSubject(pem).commonName === cluster);
  if (!tls) throw new Fault("access_denied", `there is no TLS certificate for ${user}; log in again`);
  if (authorities.length === 0) {
    throw new Fault(
      "access_denied",
      `nothing is known of the cluster ${cluster}; log in again to learn of it`,
    );
  }
  let why = async (): Promise<string> => "";
  return openAuthClient({
    async dial() {
      const opened = await proxy.through(`proxy:@${cluster}`);
      why = opened.why;
      return opened.stream;
    },
    why: () => why(),
    certificate: tls,
    authorities,
    clusterName: cluster,
    version,
  });
}
