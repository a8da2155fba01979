import { join } from "node:path";
import { type Auth, localClient } from "#auth";
import { type AuthClient, openAuthClient } from "#authclient";
import { AuditSender, EventSpool } from "#authclient/audit";
import type { AuthContract } from "#contract/auth";
import type { Client } from "#contract/rpc";
import { type Clock, type Millis, second } from "#core/clock";
import { Fault } from "#core/errors";
import type { Log } from "#core/log";
import type { Owner } from "#core/owner";
import type { Random } from "#core/random";
import type { Service } from "#core/service";
import type { SystemRole } from "#model";
import { type Address, formatAddress } from "#net";
import { authorityPin } from "#pki";
import type { AuthStream } from "./auth-servers.ts";
import {
  type Asked,
  type Certify,
  type HostIdentity,
  IdentityKeeper,
  readIdentity,
  retryEvery,
} from "./identity.ts";
import { placedAuthority } from "./placed-authority.ts";

/** What the proxy and the node of a process have in common: an identity, and a way to auth. */
export interface Member {
  readonly hostId: string;
  readonly identity: () => HostIdentity;
  readonly keeper: IdentityKeeper;
  readonly client: Client<AuthContract>;
  readonly audit: AuditSender;
  /** Connects to an auth server, where it is elsewhere. */
  readonly dialAuth: ((signal: AbortSignal) => Promise<AuthStream>) | undefined;
  readonly services: readonly Service[];
}

export interface MemberOptions {
  readonly role: Extract<SystemRole, "Proxy" | "Node">;
  readonly hostId: string;
  readonly dataDir: string;
  /** This process, for the files that only it may send. */
  readonly owner: Owner;
  readonly asked: Asked;
  /** The auth service of this very process, which needs no token (OVW-32); else where to find one. */
  readonly auth: Auth | RemoteAuth;
  readonly version: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface RemoteAuth {
  /** Where it is looked for, for the log. */
  readonly servers: readonly Address[];
  /** Connects to an auth server. */
  readonly dial: (signal: AbortSignal) => Promise<AuthStream>;
  /** For who needs no token: the process that started this one has it certified, and knows the cluster's host CA. */
  readonly vouched?: { readonly certify: Certify; readonly authorities: readonly string[] | undefined };
  readonly token: (() => Promise<string>) | undefined;
  readonly caPin: string | undefined;
  /** To the operator whatever the log's severity (AUTH-17). */
  readonly warn: (line: string) => void;
}

const isLocal = (auth: Auth | RemoteAuth): auth is Auth => "clusterName" in auth;

/** Makes this process a member of the cluster in one role: with what it has from before, or by joining. */
export async function openMember(options: MemberOptions, signal: AbortSignal): Promise<Member> {
  const { hostId, clock, random, log } = options;
  const { keeper, client } = isLocal(options.auth)
    ? await localMember(options, options.auth)
    : await remoteMember(options, options.auth, signal);
  const spoolParts = { owner: options.owner, clock, random, log };
  const spool = new EventSpool(join(options.dataDir, "log", "upload", "events"), spoolParts);
  const audit = new AuditSender({ client, spool, clock, random, log: log.with({ component: "audit" }) });
  const dialAuth = isLocal(options.auth) ? undefined : options.auth.dial;
  const identity = (): HostIdentity => keeper.identity;
  return { hostId, identity, keeper, client, audit, dialAuth, services: [keeper, audit] };
}

async function localMember(options: MemberOptions, auth: Auth) {
  const { role, hostId, dataDir, asked, clock, log } = options;
  const certify: Certify = (keys) => auth.issueHost({ host_id: hostId, role, ...keys });
  const authorities = hostAuthorities(auth);
  const keeper = await IdentityKeeper.open({
    dataDir,
    role,
    asked,
    authorities,
    first: certify,
    renew: certify,
    clock,
    log,
  });
  const client = localClient(auth, { kind: "system", role, hostId, cluster: auth.clusterName });
  return { keeper, client };
}

async function remoteMember(options: MemberOptions, remote: RemoteAuth, signal: AbortSignal) {
  const { role, hostId, dataDir, asked, version, clock, random, log } = options;
  const dialAuth = () => remote.dial(signal);
  const stranger = (authorities?: readonly string[]): AuthClient =>
    openAuthClient({ dial: dialAuth, version, ...(authorities && { authorities }) });
  const memberAs = (identity: () => HostIdentity): AuthClient =>
    openAuthClient({
      dial: dialAuth,
      certificate: () => identity().tls,
      authorities: () => identity().authorities,
      version,
    });
  const join: Certify = async (keys) => {
    if (!remote.token) {
      throw new Fault(
        "access_denied",
        `${role} must join a cluster and needs a provisioning token; give one with --token`,
      );
    }
    const token = await remote.token();
    // A member that was cut off while it ran has been told of the new authority by the old one: no need for faith.
    const learnt = remote.caPin === undefined ? keeper?.identity.authorities : undefined;
    const authorities = learnt ?? (await trusted(stranger, dataDir, remote));
    // Another connection: only one that has proved to be of this authority is sent the token (AUTH-15).
    using client = disposable(stranger(authorities));
    return await client["hosts.join"]({ host_id: hostId, role, token, ...keys });
  };
  const renew: Certify = async (keys) => {
    const identity = keeper?.identity ?? (await readIdentity(dataDir, role));
    if (!identity) throw new Fault("internal", "there is no identity to renew");
    using client = disposable(memberAs(() => identity));
    return await client["hosts.renew"]({ host_id: hostId, role, ...keys });
  };
  let keeper: IdentityKeeper | undefined;
  const where = { auth_server: remote.servers.map(formatAddress).join() };
  const opened = {
    ...{ dataDir, role, asked, renew, clock, log },
    // Many hosts hear of a rotation at once.
    spread: (span: Millis) => span * random.fraction(),
    first: remote.vouched?.certify ?? join,
    ...(remote.vouched?.authorities && { authorities: remote.vouched.authorities }),
  };
  const open = async (): Promise<IdentityKeeper> => {
    const identity = remote.vouched ? undefined : await readIdentity(dataDir, role);
    const cutOff = identity && (await isCutOff(identity, { stranger, memberAs, remote, clock, signal }));
    // What no authority that counts has signed is of no use: it joins as at its first start.
    return IdentityKeeper.open({ ...opened, ...(cutOff && { authorities: [] }) });
  };
  const kept = await persist(open, {
    clock,
    random,
    log: log.with(where),
    signal,
  });
  keeper = kept;
  return { keeper: kept, client: memberAs(() => kept.identity) };
}

const disposable = (client: AuthClient): AuthClient & Disposable =>
  Object.assign(client, { [Symbol.dispose]: () => client.close() });

/** So long a start waits for an answer; without one the member goes on with what it has. */
const askPatience: Millis = 2 * second;

/**
 * Whether a rotation has left this host behind, and its operator has given it the pin of now and a token to join again (ROT-03).
 * Without the pin it could be a stranger's server that does not know us, which is told nothing.
 */
async function isCutOff(
  identity: HostIdentity,
  parts: {
    stranger: () => AuthClient;
    memberAs: (identity: () => HostIdentity) => AuthClient;
    remote: RemoteAuth;
    clock: Clock;
    signal: AbortSignal;
  },
): Promise<boolean> {
  const { remote, clock, signal } = parts;
  const { caPin, token } = remote;
  if (caPin === undefined || !token) return false;
  const over = new AbortController();
  const late = new AbortController();
  void clock.sleep(askPatience, over.signal, { background: true }).then(
    () => late.abort(new Fault("unreachable", "no answer in time")),
    () => {}, // it came in time
  );
  const inTime = AbortSignal.any([signal, late.signal]);
  try {
    using member = disposable(parts.memberAs(() => identity));
    await member["cluster.ca"]({}, inTime);
    return false;
  } catch (err) {
    if (!Fault.is(err, "access_denied")) return false;
    using client = disposable(parts.stranger());
    const { tls_ca_certs: certs } = await client["cluster.ca"]({}, inTime).catch(() => ({
      tls_ca_certs: [],
    }));
    return certs.some((cert) => authorityPin(cert) === caPin);
  } finally {
    over.abort();
  }
}

/** PEM of the host CAs that sign or are trusted now: an identity of another cluster of before is not used. */
export const hostAuthorities = (auth: Pick<Auth, "authorities">): readonly string[] =>
  auth
    .authorities()
    .filter(({ spec }) => spec.type === "host")
    .flatMap(({ spec }) => spec.tls_key_pairs.map(({ cert }) => cert));

/** The host CA as far as it can be trusted: by the pin, by `<data_dir>/ca.cert`, or by faith, with a warning. */
async function trusted(
  stranger: () => AuthClient,
  dataDir: string,
  { caPin, warn }: RemoteAuth,
): Promise<readonly string[]> {
  if (caPin === undefined) {
    const placed = await placedAuthority(dataDir);
    if (placed !== undefined) return [placed];
  }
  using client = disposable(stranger());
  const { tls_ca_certs: certs } = await client["cluster.ca"]({}).catch((err: unknown) => {
    throw Fault.is(err, "protocol") ? noAuthServer(err) : err;
  });
  if (caPin === undefined) {
    warn(
      "joining without a CA pin: the auth server's identity is not verified; give the pin that `tctl status` prints with --ca-pin",
    );
    return certs;
  }
  const matching = certs.filter((cert) => authorityPin(cert) === caPin);
  if (matching.length === 0) {
    throw new Fault(
      "access_denied",
      "the CA pin given does not match the cluster's, so the token was not sent; if the cluster's CA was rotated, `tctl status` prints the pin of now",
    );
  }
  return matching;
}

/** Something that speaks HTTPS answered, and not as an auth server does. */
const noAuthServer = (cause: Fault): Fault =>
  new Fault(
    "unreachable",
    "what answers at the address of the auth server is something else: give the address of its API (port 3025); hosts do not join through a proxy in this version",
    { cause },
  );

/** The auth server has too much to do for this moment only. */
const nextTurn = 1 * second;

/**
 * Works until it works: the token may not be there yet, auth may be down or have many to serve (AUTH-14, AUTH-22, OVW-37).
 * Throws what no waiting mends.
 */
async function persist<T>(
  work: () => Promise<T>,
  parts: { clock: Clock; random: Random; log: Log; signal: AbortSignal },
): Promise<T> {
  const { clock, random, log, signal } = parts;
  while (true) {
    try {
      return await work();
    } catch (err) {
      if (signal.aborted || Fault.is(err, "bad_parameter")) throw err;
      const every = Fault.is(err, "limit_exceeded") ? nextTurn : retryEvery;
      // Many hosts that were started together must not come together again and again.
      const wait = every * (0.75 + 0.5 * random.fraction());
      log.error("cannot join the cluster, will try again", {
        error: (err as Error).message,
        in: `${Math.ceil(wait / second)}s`,
      });
      await clock.sleep(wait, signal);
    }
  }
}
