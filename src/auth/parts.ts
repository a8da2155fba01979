import type { Clock } from "#core/clock";
import type { Log } from "#core/log";
import type { Random } from "#core/random";
import type { AuthPreference, ClusterConfig, JoinRole } from "#model";
import type { DialOut } from "#net";
import type { Store } from "#store";
import type { AuditLog } from "./audit.ts";
import type { Issuing } from "./certificates/issuing.ts";
import type { PasswordCost } from "./factors/password.ts";
import type { GithubAddresses } from "./sso/github.ts";

/** What the auth server's file says, and what it knows of the process it runs in. */
export interface AuthConfig {
  /** Only the first start can choose it (OVW-03); a GUID when absent. */
  readonly clusterName?: string;
  /** The name of this machine, shown by authenticators behind the user's (AUTH-37). */
  readonly hostName: string;
  /** This program's version. */
  readonly version: string;
  /** What `tctl status` says of a license (AUTH-140). */
  readonly license?: string;
  /** Of new authorities: Ed25519 and ECDSA P-256, or RSA-2048 for both. */
  readonly keyType: "default" | "rsa";
  readonly staticTokens: readonly { readonly roles: readonly JoinRole[]; readonly token: string }[];
  readonly preference: AuthPreference;
  /** Settings that go to every member. */
  readonly cluster: Omit<ClusterConfig, "cluster_id" | "cluster_name">;
  /** Where GitHub is when it is not github.com, and origins of this machine that may be asked without TLS (AUTH-68). */
  readonly sso?: { readonly github?: GithubAddresses; readonly clear?: readonly string[] };
  /** Whether certificates of other clusters' web proxies may be any, as `teleport start --insecure` says (TC-05). */
  readonly anyClusterCertificate?: boolean;
  /** For tests, where thousands of hashes must be cheap. */
  readonly passwordCost?: PasswordCost;
}

/** What every part of the auth service works with. */
export interface Parts {
  readonly store: Store;
  readonly audit: AuditLog;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** For what lies outside of the cluster: identity providers, other clusters. */
  readonly dial: DialOut;
  readonly config: AuthConfig;
  readonly issuing: Issuing;
  readonly clusterId: string;
  readonly clusterName: string;
}

/** 16 random bytes as 32 hex digits: invite tokens, web session ids, bearer tokens (AUTH-12, AUTH-50). */
export const newToken = ({ random }: Pick<Parts, "random">): string =>
  Buffer.from(random.bytes(16)).toString("hex");

/** RFC 3339 in UTC. */
export const rfc3339 = (ms: number): string => new Date(ms).toISOString();
