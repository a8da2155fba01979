import type { Backend } from "#backend";
import type { HostCerts } from "#contract/auth";
import type { Clock } from "#core/clock";
import { Fault } from "#core/errors";
import type { Leaving } from "#core/leaving";
import type { Log } from "#core/log";
import type { Random } from "#core/random";
import type { Service } from "#core/service";
import {
  type AuthServer,
  adminRole,
  type Caller,
  type CertAuthority,
  type Identity,
  ResourceName,
  type TrustedLink,
} from "#model";
import type { DialOut } from "#net";
import { openStore, type Store, withLock } from "#store";
import { type Callers, callers } from "./access/callers.ts";
import { recordRefusal } from "./access/refusals.ts";
import { sweepLeftovers } from "./accounts/leftovers.ts";
import { Signups } from "./accounts/signup.ts";
import { Users } from "./accounts/users.ts";
import type { AuditLog } from "./audit.ts";
import { ensureAuthorities } from "./authorities/authorities.ts";
import { Rotations } from "./authorities/rotations.ts";
import { type HostCertRequest, issueHostCerts } from "./certificates/issue-host.ts";
import { type IssueMeter, Issuing } from "./certificates/issuing.ts";
import { SecurityKeys } from "./factors/security-keys.ts";
import { ConsoleLogins } from "./logins/console-logins.ts";
import { Logins } from "./logins/login.ts";
import { WebSessions } from "./logins/web-session.ts";
import { Joins } from "./members/join.ts";
import { Presence } from "./members/presence.ts";
import { ClusterState } from "./members/state.ts";
import type { AuthConfig, Parts } from "./parts.ts";
import { SsoLogins } from "./sso/logins.ts";
import { RemoteClusters } from "./trust/remote-clusters.ts";
import { TrustedClusters } from "./trust/trusted-clusters.ts";

export interface AuthOptions {
  readonly backend: Backend;
  readonly audit: AuditLog;
  readonly config: AuthConfig;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** For what lies outside of the cluster: identity providers, other clusters. */
  readonly dial: DialOut;
  /** A line to the operator whatever the log's severity (AUTH-17); to the log by default. */
  readonly warn?: (line: string) => void;
  readonly issueMeter?: IssueMeter;
}

/** The authority of a cluster. Several may work over one storage. */
export interface Auth extends AsyncDisposable {
  readonly clusterName: string;
  readonly clusterId: string;
  /** For the TLS door: whose certificates are let in, now. Public parts. */
  authorities(): readonly CertAuthority[];
  /** Clusters that are trusted, now, enabled or not. */
  trusted(): readonly TrustedLink[];
  /** What an identity may do. Throws `access_denied` for a user who is gone or locked (AUTH-44). */
  callerOf(identity: Identity): Promise<Caller>;
  /** Keeps in the audit log that a person was refused a call; for the server that asked `admit` and the handlers. */
  refused(refused: Parameters<typeof recordRefusal>[1]): Promise<void>;
  /** Certificates for this process itself, which needs no token: its own identity, the admin's, its proxy's and node's. */
  issueHost(request: HostCertRequest): Promise<HostCerts>;
  /** Calls back when the authorities, or their rotations, have changed; the answer stops it. */
  onAuthorities(listener: () => void): () => void;
  /** Keeps this auth server in the list of auth servers while it runs. */
  announcer(server: () => AuthServer, leaving: Leaving): Service & { changed(): void };
  // What the handlers work with.
  readonly parts: Parts;
  readonly callers: Callers;
  readonly joins: Joins;
  readonly presence: Presence;
  readonly logins: Logins;
  readonly signups: Signups;
  readonly sso: SsoLogins;
  readonly sessions: WebSessions;
  readonly consoleLogins: ConsoleLogins;
  readonly users: Users;
  readonly rotations: Rotations;
  readonly trustedClusters: TrustedClusters;
  readonly remoteClusters: RemoteClusters;
  readonly state: ClusterState;
}

/**
 * Opens the auth service over a storage, and on its first start makes the cluster: name, authorities, the role `admin`
 * (AUTH-01). Settings of the file replace those stored (CFG-60). Dispose it to stop following the storage; the storage stays open.
 */
export async function openAuth(options: AuthOptions): Promise<Auth> {
  const { backend, clock, log, config } = options;
  const store = await openStore(backend, clock);
  const parts = await withLock({ backend, clock }, "auth-start", () => initialize(store, options));
  const state = new ClusterState({ store, clock, log });
  await state.start();
  const stop = new AbortController();
  const sweeping = sweepLeftovers(parts, stop.signal);

  const sessions = new WebSessions(parts);
  const keys = new SecurityKeys(parts);
  const logins = new Logins(parts, keys);
  const presence = new Presence(parts, state);
  const ofCallers = callers(parts);
  log.info("auth service is open", { cluster: parts.clusterName, version: config.version });
  return {
    clusterName: parts.clusterName,
    clusterId: parts.clusterId,
    authorities: () => state.authorities(),
    trusted: () => state.trusted(),
    onAuthorities: (listener) => state.onAuthorities(listener),
    callerOf: ofCallers.callerOf,
    refused: (refused) => recordRefusal(parts, refused),
    issueHost: (request) => issueHostCerts(parts, request),
    announcer: (server, leaving) => presence.announcer(server, leaving),
    parts,
    callers: ofCallers,
    joins: new Joins(parts),
    presence,
    logins,
    signups: new Signups(parts, logins, sessions, keys),
    sso: new SsoLogins(parts, sessions),
    sessions,
    consoleLogins: new ConsoleLogins(parts, logins),
    users: new Users(parts, logins, sessions),
    rotations: new Rotations(parts, state),
    trustedClusters: new TrustedClusters(parts),
    remoteClusters: new RemoteClusters(parts),
    state,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await sweeping;
      await state[Symbol.asyncDispose]();
      await presence[Symbol.asyncDispose]();
    },
  };
}

async function initialize(store: Store, options: AuthOptions): Promise<Parts> {
  const { config, random, log } = options;
  const { id, name } = await clusterName(store, options);
  if (config.clusterName !== undefined && config.clusterName !== name) {
    const warn = options.warn ?? ((line: string) => log.warn(line));
    warn(
      `Cannot rename cluster to ${config.clusterName}: continuing with ${name}. A cluster's name is part of all its certificates; for another name start with an empty storage, and let everyone join again`,
    );
  }
  const issuing = new Issuing(options.clock, options.issueMeter);
  const parts: Parts = { ...options, random, store, issuing, clusterId: id, clusterName: name };
  await ensureAuthorities(parts);
  if (!(await store.roles.find(adminRole.metadata.name))) await store.roles.create(adminRole);
  await store.config.put({ ...config.cluster, cluster_id: id, cluster_name: name });
  await store.preference.put(config.preference);
  return parts;
}

/** The name that the first auth server chose, whatever the file says now (OVW-03). */
async function clusterName(
  store: Store,
  { config, random }: AuthOptions,
): Promise<{ id: string; name: string }> {
  const found = await store.name.find("name");
  if (found) return found;
  const name = config.clusterName ?? random.uuid();
  // It becomes part of principals, certificates and file names.
  if (!ResourceName.safeParse(name).success || /[\s,*?]/.test(name))
    throw new Fault(
      "bad_parameter",
      `${JSON.stringify(name)} cannot be a cluster's name: no blanks, commas or slashes`,
    );
  const made = { id: random.uuid(), name };
  await store.name.create(made);
  return made;
}
