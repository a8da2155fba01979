import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Auth, localClient } from "#auth";
import { AuditSender, type AuthClient, openAuthClient } from "#authclient";
import type { AuthContract } from "#contract/auth";
import type { Client } from "#contract/rpc";
import { type Clock, second } from "#core/clock";
import { Fault } from "#core/errors";
import type { Log } from "#core/log";
import type { Random } from "#core/random";
import type { Service } from "#core/service";
import type { SystemRole } from "#model";
import { type Address, dialFirst } from "#net";
import { authorityPin } from "#pki";
import { type Asked, type Certify, type HostIdentity, IdentityKeeper, readIdentity } from "./identity.ts";

/** What the proxy and the node of a process have in common: an identity, and a way to auth. */
export interface Member {
  readonly hostId: string;
  readonly identity: () => HostIdentity;
  readonly client: Client<AuthContract>;
  readonly audit: AuditSender;
  readonly services: readonly Service[];
}

export interface MemberOptions {
  readonly role: Extract<SystemRole, "Proxy" | "Node">;
  readonly hostId: string;
  readonly dataDir: string;
  readonly asked: Asked;
  /** The auth service of this very process, which needs no token (OVW-32); else where to find one. */
  readonly auth: Auth | RemoteAuth;
  readonly version: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface RemoteAuth {
  readonly servers: readonly Address[];
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
  const audit = new AuditSender({ client, clock, random, log: log.with({ component: "audit" }) });
  return { hostId, identity: () => keeper.identity, client, audit, services: [keeper, audit] };
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
  const { role, hostId, dataDir, asked, version, clock, log } = options;
  const dialAuth = () => dialFirst(remote.servers, signal);
  const stranger = (authorities?: readonly string[]): AuthClient =>
    openAuthClient({ dial: dialAuth, version, ...(authorities && { authorities }) });
  const memberAs = (identity: () => HostIdentity): AuthClient =>
    openAuthClient({
      dial: dialAuth,
      certificate: () => identity().tls,
      authorities: identity().authorities,
      version,
    });
  const join: Certify = async (keys) => {
    if (!remote.token) {
      throw new Fault(
        "access_denied",
        `${role} must join a cluster and needs a provisioning token; give one with --token`,
      );
    }
    const authorities = await trusted(stranger(), dataDir, remote);
    using client = disposable(stranger(authorities));
    return await client["hosts.join"]({ host_id: hostId, role, token: await remote.token(), ...keys });
  };
  const renew: Certify = async (keys) => {
    const identity = keeper?.identity ?? (await readIdentity(dataDir, role));
    if (!identity) throw new Fault("internal", "there is no identity to renew");
    using client = disposable(memberAs(() => identity));
    return await client["hosts.renew"]({ host_id: hostId, role, ...keys });
  };
  let keeper: IdentityKeeper | undefined;
  // The host keeps trying: its token may not be there yet, auth may be down (AUTH-14, OVW-37).
  const kept = await persist(
    () =>
      IdentityKeeper.open({
        ...{ dataDir, role, asked, renew, clock, log },
        first: remote.vouched?.certify ?? join,
        ...(remote.vouched?.authorities && { authorities: remote.vouched.authorities }),
      }),
    clock,
    log,
    signal,
  );
  keeper = kept;
  return { keeper: kept, client: memberAs(() => kept.identity) };
}

const disposable = (client: AuthClient): AuthClient & Disposable =>
  Object.assign(client, { [Symbol.dispose]: () => client.close() });

/** PEM of the host CAs that sign or are trusted now: an identity of another cluster of before is not used. */
export const hostAuthorities = (auth: Pick<Auth, "authorities">): readonly string[] =>
  auth
    .authorities()
    .filter(({ spec }) => spec.type === "host")
    .flatMap(({ spec }) => spec.tls_key_pairs.map(({ cert }) => cert));

/** The host CA as far as it can be trusted: by the pin, by `<data_dir>/ca.cert`, or by faith, with a warning. */
async function trusted(client: AuthClient, dataDir: string, remote: RemoteAuth): Promise<readonly string[]> {
  const pinned = await readFile(join(dataDir, "ca.cert"), "utf8").catch(() => undefined);
  if (remote.caPin === undefined && pinned !== undefined) return [pinned];
  const { tls_ca_certs: certs } = await client["cluster.ca"]({});
  client.close();
  if (remote.caPin === undefined) {
    remote.warn(
      "joining without a CA pin: the auth server's identity is not verified; give the pin that `tctl status` prints with --ca-pin",
    );
    return certs;
  }
  const matching = certs.filter((cert) => authorityPin(cert) === remote.caPin);
  if (matching.length === 0) {
    throw new Fault(
      "access_denied",
      "the CA pin given does not match the cluster's; its CA may have been rotated: `tctl status` prints the pin of now",
    );
  }
  return matching;
}

const retryEvery = 10 * second;

async function persist<T>(work: () => Promise<T>, clock: Clock, log: Log, signal: AbortSignal): Promise<T> {
  while (true) {
    try {
      return await work();
    } catch (err) {
      if (signal.aborted || Fault.is(err, "bad_parameter")) throw err;
      log.error("cannot join the cluster, will try again in 10 s", { error: (err as Error).message });
      await clock.sleep(retryEvery, signal);
    }
  }
}
