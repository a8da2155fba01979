import type {
  AuthorityType,
  CertAuthority,
  ClusterConfig,
  Node,
  ProxyServer,
  RemoteLink,
  Role,
  TrustedLink,
  User,
} from "#model";

/**
 * A member's local copy of cluster state, kept current by a watch; answers without a round trip, also while auth is
 * away (OVW-35, OVW-36). What it holds is never older than the watch's delay while auth is there.
 */
export interface ClusterView {
  config(): ClusterConfig;
  /** Authorities of this cluster, public parts. Those of others are with the links, so that nobody takes them for its own. */
  authorities(type: AuthorityType): readonly CertAuthority[];
  user(name: string): User | undefined;
  role(name: string): Role | undefined;
  /** Live nodes only: a record past its end is not there. */
  nodes(): readonly Node[];
  /** Those of them whose id, name or address this is, in whatever case; without a look at all of them. */
  nodesAt(name: string): readonly Node[];
  proxies(): readonly ProxyServer[];
  /** Clusters that this one trusts, enabled or not. */
  trustedClusters(): readonly TrustedLink[];
  /** Clusters that trust this one; proxies know of them. */
  remoteClusters(): readonly RemoteLink[];
  /** Calls back after each change; the answer stops it. For closing sessions of deleted or locked users (AUTH-44). */
  onChange(listener: () => void): () => void;
}
