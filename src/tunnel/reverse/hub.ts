import type { Duplex } from "node:stream";
import { type Clock, type Millis, second } from "#core/clock";
import { Fault } from "#core/errors";
import type { Log } from "#core/log";
import type { CertAuthority } from "#model";
import { type Ends, formatAddress, type Guest, readProxyLine } from "#net";
import {
  type Accepted,
  type Algorithms,
  accept,
  type ChannelRequest,
  OpenFailure,
  type PublicKeyAttempt,
  type ServerOptions,
} from "#ssh";
import type { Signer } from "#ssh/keys";
import { latest } from "./latest.ts";
import { certifies, type Peer, proxyOf } from "./peer.ts";
import {
  type DialRequest,
  heartbeatChannel,
  leavingRequest,
  longestStatement,
  statementRequest,
} from "./protocol.ts";
import { lineCheck, Tunnel } from "./tunnel.ts";

export interface HubOptions {
  /** Host authorities of the clusters whose tunnels are taken, as they are now. */
  readonly remotes: () => readonly CertAuthority[];
  /** Host ids of this cluster's proxies, which are all to be called. */
  readonly proxies: () => readonly string[];
  /** Calls back when either may have changed; the answer stops it. */
  readonly onChange: (listener: () => void) => () => void;
  readonly hostSigners: () => readonly Signer[];
  /** How often an agent is to be heard, and how often it may fail to be (TUN-06). */
  readonly keepAlive: () => { readonly every: Millis; readonly count: number };
  /** What this cluster says of its authorities; undefined while nobody can be asked. */
  readonly statement: () => Promise<string | undefined>;
  /** Takes what a remote cluster says of its own. */
  readonly learn: (cluster: string, statement: string) => Promise<void>;
  readonly algorithms?: Algorithms;
  readonly login?: Pick<ServerOptions<Peer>, "loginGrace" | "maxAuthTries" | "limits">;
  /** Peers whose PROXY line is believed; default nobody. */
  readonly mayBring?: (address: string) => boolean;
  readonly clock: Clock;
  readonly log: Log;
}

/** How long a connection through a tunnel may take to be made (PRX-08). */
const dialTimeout: Millis = 30 * second;
/** For a cluster to call that is linked and not there. */
const callPatience: Millis = 5 * second;
/** Between two times that what a cluster says of its authorities is looked at. */
const statementGap: Millis = 1 * second;
/** More tunnels than this a cluster has no use for: one from each of its proxies' processes. */
const mostOfOne = 64;

/** The end of reverse tunnels that is called (3024): proxies of remote clusters in, connections into those clusters out. */
export class TunnelHub {
  readonly #options: HubOptions;
  readonly #tunnels = new Set<Tunnel>();
  readonly #listeners = new Set<() => void>();
  #turn = 0;
  #leaving = false;
  #proxies = "";

  constructor(options: HubOptions) {
    this.#options = options;
    options.onChange(() => this.#look());
  }

  /** Those that are up, of which nothing is known that ends them. */
  get tunnels(): readonly Tunnel[] {
    return [...this.#tunnels];
  }

  /** Calls back when a tunnel has come, was heard, or has gone; the answer stops it. */
  onTunnels(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Serves one caller until it leaves or `signal` aborts. Never rejects: what a stranger does ends with them. */
  async handle(stream: Duplex, { remote }: Ends, signal: AbortSignal, guest?: Guest): Promise<void> {
    const { clock, hostSigners, log, algorithms, login, mayBring } = this.#options;
    let from = remote;
    const onProxyLine = (line: string): void => {
      from = readProxyLine(Buffer.from(line))?.client ?? from;
    };
    let refusal: unknown;
    let caller: Accepted<Peer>;
    try {
      caller = await accept<Peer>(
        {
          stream,
          hostKeys: hostSigners(),
          version: "Teleport",
          check: async (attempt) => this.#check(attempt),
          onRefused: (_attempt, reason) => {
            refusal = reason;
          },
          keepAlive: lineCheck,
          ...(mayBring?.(remote.host) && { onProxyLine }),
          ...(algorithms && { algorithms }),
          ...login,
          ...(guest && { guest }),
          clock,
          log,
        },
        signal,
      );
    } catch (err) {
      stream.destroy();
      const error = (refusal as Error | undefined)?.message ?? (err as Error).message;
      const told = { "addr.remote": formatAddress(from), error };
      // Who only looks whether somebody listens is of no interest.
      if (refusal) log.warn("a tunnel was refused", told);
      else log.debug("a tunnel was refused", told);
      return;
    }
    await this.#serve(caller, formatAddress(from), signal);
  }

  /**
   * A connection to something in a remote cluster, as its proxy opens it. Throws `not_found` for a cluster that is none,
   * `unreachable` when it is not connected, or with what its proxy refuses it with.
   */
  async dial(cluster: string, request: DialRequest, signal: AbortSignal): Promise<Duplex> {
    if (!this.#options.remotes().some(({ spec }) => spec.cluster_name === cluster))
      throw new Fault("not_found", `unknown cluster ${JSON.stringify(cluster)}`);
    const over = new AbortController();
    const late = this.#options.clock.sleep(dialTimeout, over.signal).then(() => {
      throw new Fault(
        "unreachable",
        `the cluster ${JSON.stringify(cluster)} did not answer within ${dialTimeout / second} s`,
      );
    });
    const given = Promise.race([late, gone(signal, over.signal)]);
    given.catch(() => {});
    try {
      let failure: unknown;
      await this.#connected(cluster, over.signal);
      for (const tunnel of this.#usable(cluster)) {
        const dialled = tunnel.dial(request, over.signal);
        try {
          return await Promise.race([dialled, given]);
        } catch (err) {
          // One that comes too late is nobody's.
          void dialled.then(
            (stream) => stream.destroy(),
            () => {},
          );
          if (!(err instanceof Fault) || err.details.of !== "tunnel") throw err;
          failure = err;
        }
      }
      throw notConnected(cluster, failure);
    } finally {
      over.abort();
    }
  }

  /** Waits a moment for a cluster that is not there: after a restart on either side it is about to call. */
  async #connected(cluster: string, signal: AbortSignal): Promise<void> {
    if (this.#usable(cluster).length > 0) return;
    const there = new AbortController();
    const leave = this.onTunnels(() => {
      if (this.#usable(cluster).length > 0) there.abort();
    });
    await this.#options.clock
      .sleep(callPatience, AbortSignal.any([signal, there.signal]), { background: true })
      .catch(() => {});
    leave();
  }

  /** Has all who called tell again what their clusters say, and tells them what this one does. */
  async tell(): Promise<void> {
    const statement = await this.#options.statement();
    if (statement !== undefined) for (const tunnel of this.#tunnels) tunnel.tell(statement);
  }

  /** Takes no more tunnels for new connections, and has those that called do so anew: another process serves. */
  leave(): void {
    this.#leaving = true;
    for (const tunnel of this.#tunnels) tunnel.sendAway();
  }

  #check({ key, user }: PublicKeyAttempt): Peer {
    const { remotes, clock } = this.#options;
    const peer = proxyOf(key, remotes(), clock.now());
    if (user !== `${peer.hostId}.${peer.cluster}`)
      throw new Fault("access_denied", `${peer.hostId}.${peer.cluster} calls itself ${JSON.stringify(user)}`);
    const { length } = this.tunnels.filter((one) => one.peer.cluster === peer.cluster);
    if (length >= mostOfOne)
      throw new Fault("access_denied", `${peer.cluster} has ${mostOfOne} tunnels already`);
    return peer;
  }

  async #serve(
    { connection, identity: peer }: Accepted<Peer>,
    from: string,
    signal: AbortSignal,
  ): Promise<void> {
    const { clock, keepAlive, learn, log, proxies } = this.#options;
    const tunnel = new Tunnel(peer, connection, clock);
    const about = { cluster: peer.cluster, proxy: peer.hostId, "addr.remote": from };
    const { every, count } = keepAlive();
    const silence = every * count;
    const over = new AbortController();
    const learning = latest(
      (statement) =>
        learn(peer.cluster, statement).catch((err: Error) =>
          log.warn("what a remote cluster says of its authorities was not taken up", {
            ...about,
            error: err.message,
          }),
        ),
      { clock, gap: statementGap, signal: over.signal },
    );
    connection.onOpen((request) => this.#open(request, tunnel));
    connection.onRequest((name, payload) => {
      if (name === leavingRequest) tunnel.leave();
      if (name !== statementRequest || payload.length > longestStatement) return false;
      learning(Buffer.from(payload).toString());
      return true;
    });
    this.#tunnels.add(tunnel);
    log.info("a remote cluster has connected", about);
    const stop = (): void => tunnel.end("the proxy is stopping");
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
    if (this.#leaving) tunnel.sendAway();
    this.#told();
    void tunnel.discover(proxies()).catch(() => {});
    void this.#options
      .statement()
      .then((statement) => statement !== undefined && tunnel.tell(statement))
      .catch(() => {});
    void this.#untilSilent(tunnel, silence, over.signal);
    const reason = await connection.closed;
    signal.removeEventListener("abort", stop);
    over.abort();
    this.#tunnels.delete(tunnel);
    log.info("a remote cluster has disconnected", { ...about, ...(reason && { error: reason.message }) });
    this.#told();
  }

  /** An agent has nothing to open here but its heartbeats: a tunnel leads one way. */
  #open(request: ChannelRequest, tunnel: Tunnel): void {
    if (request.kind === heartbeatChannel) {
      request.accept().onRequest(() => {
        tunnel.hear();
        this.#told();
        return true;
      });
    } else if (request.kind === "session") {
      request.reject(OpenFailure.administrativelyProhibited, wrongPort);
    } else {
      request.reject(OpenFailure.unknownChannelType, `tunnels take no ${request.kind} channels`);
    }
  }

  async #untilSilent(tunnel: Tunnel, silence: Millis, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (!signal.aborted) {
      const left = tunnel.heard + silence - clock.uptime();
      if (left <= 0) return tunnel.end("no heartbeats have come for too long");
      await clock.sleep(left, signal, { background: true }).catch(() => {});
    }
  }

  /** Over which a cluster can be reached: each of its proxies by the tunnel that came last, one after another in turn. */
  #usable(cluster: string): readonly Tunnel[] {
    const latest = new Map<string, Tunnel>();
    for (const tunnel of this.#tunnels)
      if (tunnel.peer.cluster === cluster && !tunnel.leaving && this.#counts(tunnel) === "all")
        latest.set(tunnel.peer.hostId, tunnel);
    const all = [...latest.values()];
    const first = all.length === 0 ? 0 : this.#turn++ % all.length;
    return [...all.slice(first), ...all.slice(0, first)];
  }

  /** What is left of a tunnel after a change: what runs goes on over a rotation, and ends when its cluster is none any more. */
  #counts({ peer }: Tunnel): "all" | "old" | "nothing" {
    const authority = this.#options.remotes().find(({ spec }) => spec.cluster_name === peer.cluster);
    if (!authority) return "nothing";
    return certifies(authority, peer.certifiedBy) ? "all" : "old";
  }

  #look(): void {
    for (const tunnel of this.#tunnels) {
      const counts = this.#counts(tunnel);
      if (counts === "nothing") tunnel.end("your cluster is not linked here any more");
      else if (counts === "old" && !tunnel.leaving) tunnel.sendAway();
    }
    const proxies = this.#options.proxies();
    const text = proxies.toSorted().join();
    if (text === this.#proxies) return;
    this.#proxies = text;
    for (const tunnel of this.#tunnels) void tunnel.discover(proxies).catch(() => {});
  }

  #told(): void {
    for (const listener of this.#listeners) listener();
  }
}

const wrongPort = "Cannot open new SSH session on reverse tunnel. Are you connecting to the right port?";

const notConnected = (cluster: string, cause: unknown): Fault =>
  new Fault(
    "unreachable",
    `the cluster ${JSON.stringify(cluster)} is not connected to this proxy now; \`tsh clusters\` shows when it is`,
    { cause },
  );

/** Rejects when `signal` aborts; nothing is left of it after `over`. */
function gone(signal: AbortSignal, over: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason as Error);
    else signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true, signal: over });
  });
}
