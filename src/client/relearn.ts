import type { AuthClient } from "#authclient";
import { parsePublicKeyLine } from "#ssh/keys";
import { type Credentials, isClusterName, type Keystore } from "./keystore.ts";
import { type Profile, proxyHost } from "./profile.ts";

/**
 * Asks the auth service, which proves itself by an authority that is known, which ones certify hosts now, and keeps that: over a
 * rotation both do, and whoever has used `tsh` meanwhile goes on (ROT-02). Those of clusters behind it are among them.
 */
export async function relearnAuthorities(
  auth: AuthClient,
  keystore: Keystore,
  profile: Profile,
  signal: AbortSignal,
): Promise<Pick<Credentials, "tlsAuthorities" | "hostAuthorities">> {
  const found = await auth["authorities.list"]({ type: "host" }, signal);
  const usable = found.filter(({ spec }) => isClusterName(spec.cluster_name));
  const known = {
    tlsAuthorities: usable.flatMap(({ spec }) => spec.tls_key_pairs.map(({ cert }) => cert)),
    hostAuthorities: usable.flatMap(({ spec }) =>
      spec.checking_keys.map((line) => ({
        cluster: spec.cluster_name,
        key: parsePublicKeyLine(line).key,
      })),
    ),
  };
  await keystore.relearn(proxyHost(profile), profile.rootCluster, known);
  return known;
}
