import type { AuthContract } from "#contract/auth";
import type { Client } from "#contract/rpc";
import type { ProxySettings } from "#contract/web";
import type { Clock } from "#core/clock";
import type { Log } from "#core/log";
import type { Random } from "#core/random";
import type { ResourceKind, User, Verb } from "#model";

/** The calls of the auth API that this module makes. */
export type WebAuth = Pick<
  Client<AuthContract>,
  | "cluster.config"
  | "cluster.preference"
  | "connectors.list"
  | "logins.certs"
  | "logins.web"
  | "sso.start"
  | "sso.finish"
  | "logins.challenge"
  | "console_logins.create"
  | "console_logins.get"
  | "console_logins.challenge"
  | "console_logins.complete"
  | "signups.get"
  | "signups.challenge"
  | "signups.complete"
  | "users.change_password"
  | "remote_clusters.accept"
  | "web_sessions.get"
  | "web_sessions.renew"
  | "web_sessions.delete"
>;

export interface WebApiOptions {
  readonly auth: WebAuth;
  /** What this proxy says of itself. */
  readonly proxy: ProxySettings;
  readonly versions: { readonly server_version: string; readonly min_client_version: string };
  /** Why this proxy should get no new users (draining, say); undefined while all is well (LB-02). */
  readonly health: () => string | undefined;
  readonly knowsCluster: (name: string) => boolean;
  /** What the roles of a user let it do. */
  readonly can: (user: User, verb: Verb, resource: ResourceKind) => boolean;
  /** Counts a request before anything is done for it. Throws `limit_exceeded`. */
  readonly count?: (peer: { readonly remoteAddress?: string | undefined }) => void;
  /** The folder with the built browser app; may be missing, then only the API is there. */
  readonly pages: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}
