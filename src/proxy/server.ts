import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { authoritiesDigest, authoritiesRequest } from "#contract/names";
import { type Clock, second } from "#core/clock";
import { Fault } from "#core/errors";
import type { Log } from "#core/log";
import type { Draft, Emitter } from "#events";
import { authorityProblem, type ClusterView, type Person, personOf, refusals, userProblem } from "#mirror";
import { formatAddress, type Guest, readProxyLine } from "#net";
import { Seats } from "#session";
import {
  type Accepted,
  type Algorithms,
  accept,
  type ChannelRequest,
  type Connection,
  OpenFailure,
  type ServerOptions,
} from "#ssh";
import { introduce } from "#ssh/brought";
import { DirectTcpip } from "#ssh/forward";
import type { Signer } from "#ssh/keys";
import type { DialRequest } from "#tunnel";
import { type Carrier, carry, isPinned } from "./carry.ts";
import type { ReachOptions } from "./reach.ts";
import { reachHost } from "./reach.ts";
import { type Refusal, Refusals, refusedChannel, refusedRequest } from "./refusals.ts";
import { serveSession } from "./session.ts";
import { clusterOf, sites } from "./sites.ts";

export interface ProxyOptions {
  readonly hostId: string;
  readonly hostSigners: () => readonly Signer[];
  readonly view: ClusterView;
  readonly reach: ReachOptions;
  /** Opens something in a cluster that trusts this one, over a tunnel. */
  readonly dialCluster: (cluster: string, request: DialRequest, signal: AbortSignal) => Promise<Duplex>;
  readonly emitter: Emitter;
  /** This program's version, for `x-teleport-version`. */
  readonly version: string;
  readonly algorithms?: Algorithms;
  readonly login?: Pick<ServerOptions<Person>, "loginGrace" | "maxAuthTries" | "limits">;
  /** Peers whose PROXY line is believed; default nobody. */
  readonly mayBring?: (address: string) => boolean;
  /** CFG-18: different users at a time. */
  readonly maxUsers?: number;
  /** Told of every time that is reached. */
  readonly onLimit?: (limit: "users") => void;
  readonly clock: Clock;
  readonly log: Log;
}

/** The SSH front door (3023): people with certificates in, channels to nodes out. Bytes pass unread. */
export class ProxyServer {
  readonly #options: ProxyOptions;
  readonly #live = new Set<Connection>();
  readonly #refusals: Refusals;
  readonly #seats: Seats;

  constructor(options: ProxyOptions) {
    this.#options = options;
    this.#refusals = new Refusals(options.clock);
    this.#seats = new Seats(options.maxUsers ?? Number.POSITIVE_INFINITY);
  }

  get connections(): number {
    return this.#live.size;
  }

  /** Serves one client until it leaves or `signal` aborts. Never rejects: what a stranger does ends with them. */
  async handle(socket: Socket, signal: AbortSignal, guest?: Guest): Promise<void> {
    const { view, clock, log, hostId } = this.#options;
    let addrs = addressesOf(socket);
    let sourceAddress = socket.remoteAddress && plainAddress(socket.remoteAddress);
    const onProxyLine = (line: string): void => {
      const client = readProxyLine(Buffer.from(line))?.client;
      if (!client) return;
      addrs = { ...addrs, "addr.remote": formatAddress(client) };
      sourceAddress = client.host;
    };
    const refused = refusals();
    let client: Accepted<Person>;
    try {
      client = await accept<Person>(
        {
          stream: socket,
          hostKeys: this.#options.hostSigners(),
          version: "Teleport",
          check: async (attempt) =>
            personOf(attempt, view, {
              now: clock.now(),
              ...(sourceAddress !== undefined && { sourceAddress }),
            }),
          ...(this.#options.mayBring?.(socket.remoteAddress ?? "") && { onProxyLine }),
          onRefused: refused.add,
          ...(this.#options.algorithms && { algorithms: this.#options.algorithms }),
          keepAlive: { every: view.config().keep_alive_interval, count: view.config().keep_alive_count_max },
          ...this.#options.login,
          ...(guest && { guest }),
          clock,
          log,
        },
        signal,
      );
    } catch (err) {
      socket.destroy();
      const worst = refused.worst();
      if (worst) {
        this.#report({ code: "T3007W", ...worst, ...addrs, server_id: hostId, success: "false" });
      }
      log.debug("client refused", { ...addrs, error: (err as Error).message });
      return;
    }
    await this.#serve(client, addrs, signal);
  }

  async #serve(client: Accepted<Person>, addrs: Addresses, signal: AbortSignal): Promise<void> {
    const { connection, identity: person } = client;
    const { view, clock } = this.#options;
    const carrier: Carrier = {
      person,
      login: client.user,
      // Signed only where it decides something.
      introduce: (audience, user) =>
        introduce(
          addrs["addr.remote"],
          isPinned(person) ? { audience, user, signer: this.#signer(), now: clock.now() } : undefined,
        ),
      reach: (host, port) =>
        reachHost(host, port, { ...person, login: client.user }, this.#options.reach, signal),
      dialAuth: () => this.#options.reach.dialAuth(signal),
      dialCluster: (cluster, request) => this.#options.dialCluster(cluster, request, signal),
      clientAddress: addrs["addr.remote"],
      sites: () => sites(view, clock.now()),
      clusterName: () => view.config().cluster_name,
      clusterOf: (host) => clusterOf(host, view),
      report: (draft) => this.#report({ ...draft, ...addrs, user: person.user, login: client.user } as Draft),
      hostId: this.#options.hostId,
      clock,
    };
    const stand = this.#seats.take(person.user);
    if (!stand) {
      this.#options.onLimit?.("users");
      return await this.#sendAway(connection, carrier, "too many users are on this proxy");
    }
    this.#live.add(connection);
    const leave = view.onChange(() => {
      const outdated = authorityProblem(person, view);
      const problem =
        userProblem(person, view, clock.now()) ?? (outdated?.everything ? outdated.reason : undefined);
      if (problem === undefined) return;
      carrier.report({ code: "T3006I", reason: problem, server_id: this.#options.hostId });
      connection.disconnect(problem);
    });
    const stop = (): void => connection.disconnect("the proxy is stopping");
    signal.addEventListener("abort", stop, { once: true });
    const refused = (refusal: Refusal): void => {
      const left = this.#refusals.admit(person.user);
      if (left === undefined) return;
      const error =
        left > 0 ? `${refusal.error} (${left} more refusals were not written down)` : refusal.error;
      carrier.report({ ...refusal, error, server_id: this.#options.hostId } as Refusal);
    };
    let told = false;
    connection.onOpen(async (request) => {
      // What runs goes on over a rotation; nothing more begins by what is not trusted any more.
      const outdated = authorityProblem(person, view);
      if (!outdated) return await open(request, carrier, refused);
      const { reason } = outdated;
      // Once: a client may try without end.
      if (!told)
        carrier.report({ code: "T3007W", error: reason, success: "false", server_id: this.#options.hostId });
      told = true;
      request.reject(OpenFailure.administrativelyProhibited, reason);
    });
    connection.onRequest((name, payload) => {
      if (name === "x-teleport-version") return Buffer.from(this.#options.version);
      if (name === "recording-proxy@teleport.com") {
        return Buffer.from(String(view.config().session_recording === "proxy"));
      }
      if (name === authoritiesRequest) {
        const cluster = Buffer.from(payload).toString() || person.cluster;
        const all = [...view.authorities("host"), ...view.remoteClusters().flatMap((one) => one.authorities)];
        const found = all.find(({ spec }) => spec.cluster_name === cluster);
        return found ? Buffer.from(authoritiesDigest(found.spec.checking_keys)) : false;
      }
      const refusal = refusedRequest(name, payload);
      if (refusal) refused(refusal);
      return false;
    });
    await connection.closed;
    signal.removeEventListener("abort", stop);
    leave();
    this.#live.delete(connection);
    stand();
  }

  /** The certified key that says that this is a proxy. */
  #signer(): Signer {
    const certified = this.#options.hostSigners().find(({ publicKey }) => publicKey.certificate);
    if (!certified) throw new Fault("internal", "this proxy has no certificate");
    return certified;
  }

  /** The reason is the answer to what the client asks for first, where people see it; who asks for nothing leaves without. */
  async #sendAway(connection: Connection, carrier: Carrier, reason: string): Promise<void> {
    carrier.report({ code: "T3006I", reason, server_id: this.#options.hostId });
    const asked = new AbortController();
    connection.onOpen((request) => {
      request.reject(OpenFailure.resourceShortage, reason);
      asked.abort();
    });
    await Promise.race([
      connection.closed,
      this.#options.clock.sleep(10 * second, asked.signal, { background: true }).catch(() => {}),
    ]);
    connection.disconnect(reason);
    await connection.closed;
  }

  /** An event that cannot be kept must not end what it tells of; the operator learns of it. */
  #report(draft: Draft): void {
    this.#options.emitter
      .emit(draft)
      .catch((err: Error) =>
        this.#options.log.error("audit event was not kept", { code: draft.code, error: err.message }),
      );
  }
}

async function open(
  request: ChannelRequest,
  carrier: Carrier,
  refused: (refusal: Refusal) => void,
): Promise<void> {
  if (request.kind === "session") serveSession(request.accept(), carrier);
  else if (request.kind === "direct-tcpip") {
    // OpenSSH's `ssh -J` and `-W`: the same places, by the same rules, as the `proxy:` subsystem.
    const { host, port } = DirectTcpip.decode(request.extra);
    try {
      await carry({ kind: "host", host, port }, carrier, () => request.accept());
    } catch (err) {
      const fault = err as Fault;
      const reason = Fault.is(err, "access_denied")
        ? OpenFailure.administrativelyProhibited
        : OpenFailure.connectFailed;
      request.reject(reason, fault.message);
    }
  } else {
    request.reject(OpenFailure.unknownChannelType, `the proxy serves no ${request.kind} channels`);
    refused(refusedChannel(request.kind, request.extra));
  }
}

interface Addresses {
  readonly "addr.local": string;
  readonly "addr.remote": string;
}

function addressesOf(socket: Socket): Addresses {
  const pair = (address: string | undefined, port: number | undefined): string =>
    formatAddress({ host: plainAddress(address ?? "unknown"), port: port ?? 0 });
  return {
    "addr.local": pair(socket.localAddress, socket.localPort),
    "addr.remote": pair(socket.remoteAddress, socket.remotePort),
  };
}

/** An IPv4 peer of a dual-stack listener comes dressed as IPv6. */
const plainAddress = (address: string): string => address.replace(/^::ffff:(?=\d+\.)/, "");
