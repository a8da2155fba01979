import type { Duplex } from "node:stream";
import { Fault } from "#core/errors";
import { refusals, userProblem } from "#mirror";
import type { Labels } from "#model";
import { type Address, formatAddress, type Guest, parseAddress } from "#net";
import { activity, Seats, tell, untilLimit, type Who } from "#session";
import { type Accepted, type Algorithms, accept, OpenFailure, type ServerOptions } from "#ssh";
import type { Signer } from "#ssh/keys";
import { authenticate, type Visitor } from "./authenticate.ts";
import { forward, forwards } from "./forward.ts";
import { remoteForwards } from "./remote-forward.ts";
import { serveSession } from "./session-channel.ts";
import type { Host, Visit } from "./visit.ts";

export interface NodeOptions extends Host {
  /** Certified keys first, plain last; asked for at each connection, so that a renewal takes effect. */
  readonly hostSigners: () => readonly Signer[];
  /** This node's labels as they are now. */
  readonly labels: () => Labels;
  /** This program's version, for `x-teleport-version`. */
  readonly version: string;
  readonly algorithms?: Algorithms;
  readonly limits: NodeLimits;
}

export interface NodeLimits {
  readonly login: Pick<ServerOptions<Visitor>, "loginGrace" | "maxAuthTries" | "limits">;
  /** CFG-18: different users at a time. */
  readonly maxUsers: number;
  /** Sessions that one connection may have open. */
  readonly maxSessions: number;
  /** Told of every time one of the two is reached. */
  readonly onLimit?: (limit: "users" | "sessions") => void;
}

/** The two ends of a connection as far as they are known: behind a tunnel there is no local address (AUD-04). */
export interface Ends {
  readonly remote: Address;
  readonly local?: Address;
}

/** The SSH server on a machine (SSH-01 to SSH-61): people with certificates in; shells, commands, files, forwards. */
export class NodeServer {
  readonly #options: NodeOptions;
  readonly #seats: Seats;

  constructor(options: NodeOptions) {
    this.#options = options;
    this.#seats = new Seats(options.limits.maxUsers);
  }

  /** Serves one client until it leaves or `signal` aborts. Never rejects: what a stranger does ends with them. */
  async handle(stream: Duplex, ends: Ends, signal: AbortSignal, guest?: Guest): Promise<void> {
    const { view, clock, log, hostId, algorithms } = this.#options;
    const refused = refusals();
    let client: Accepted<Visitor>;
    try {
      const { keep_alive_interval: every, keep_alive_count_max: count } = view.config();
      client = await accept<Visitor>(
        {
          stream,
          hostKeys: this.#options.hostSigners(),
          version: "Teleport",
          check: (attempt) => {
            const sourceAddress = ends.remote.host;
            return authenticate(attempt, { ...this.#options, sourceAddress });
          },
          onRefused: refused.add,
          ...(algorithms && { algorithms }),
          keepAlive: { every, count },
          ...this.#options.limits.login,
          ...(guest && { guest }),
          clock,
          log,
        },
        signal,
      );
    } catch (err) {
      stream.destroy();
      const worst = refused.worst();
      const addrs = addresses(ends);
      if (worst)
        tell(
          { code: "T3007W", ...worst, ...addrs, server_id: hostId, success: "false" },
          this.#options.telling,
        );
      log.debug("client refused", { ...addrs, error: (err as Error).message });
      return;
    }
    await this.#serve(client, ends, signal).catch((err: unknown) => {
      log.error("a connection broke off", { error: (err as Error).message });
      client.connection.disconnect("internal error");
    });
  }

  async #serve(client: Accepted<Visitor>, ends: Ends, signal: AbortSignal): Promise<void> {
    const { connection, identity } = client;
    const { person, account } = identity;
    const { view, clock, telling } = this.#options;
    const remote = claimed(client.clientAddress) ?? ends.remote;
    const who: Who = {
      user: person.user,
      login: account.name,
      server_id: this.#options.hostId,
      ...addresses({ ...ends, remote }),
    };
    const visit: Visit = {
      ...identity,
      connection,
      who,
      client: remote,
      local: ends.local ?? { host: "127.0.0.1", port: 0 },
      activity: activity(clock),
      running: new Set(),
      signal,
    };
    const over = new AbortController();
    const disconnect = (reason: string): void => {
      if (over.signal.aborted) return;
      tell({ code: "T3006I", ...who, reason }, telling);
      connection.disconnect(reason);
    };
    const stand = this.#seats.take(person.user);
    if (!stand) {
      this.#options.limits.onLimit?.("users");
      return disconnect("too many users are on this node");
    }
    const leave = view.onChange(() => {
      const problem = userProblem(person, view, clock.now());
      if (problem !== undefined) disconnect(problem);
    });
    const { client_idle_timeout, disconnect_expired_cert } = view.config();
    const limits = person.access.options({ client_idle_timeout, disconnect_expired_cert });
    const expires = limits.disconnectExpiredCert ? person.expires : undefined;
    void untilLimit({ idle: limits.clientIdleTimeout, expires }, visit.activity, clock, over.signal).then(
      (reason) => {
        if (reason !== undefined) disconnect(reason);
      },
    );
    const listening = remoteForwards(visit, this.#options);
    connection.onRequest((name, payload) => listening.answer(name, payload) ?? this.#global(name));
    let sessions = 0;
    connection.onOpen((request) => {
      if (request.kind === "session") {
        if (sessions >= this.#options.limits.maxSessions) {
          this.#options.limits.onLimit?.("sessions");
          return request.reject(OpenFailure.resourceShortage, "too many sessions are open");
        }
        sessions++;
        const channel = request.accept();
        void channel.closed.then(() => sessions--);
        serveSession(channel, visit, this.#options);
        return;
      }
      if (forwards(request.kind)) return forward(request, visit, this.#options, signal);
      request.reject(OpenFailure.unknownChannelType, `${request.kind} channels are not served here`);
    });
    await connection.closed;
    over.abort();
    leave();
    stand();
    await Promise.all([...visit.running, listening[Symbol.asyncDispose]()]);
  }

  #global(name: string): Uint8Array | boolean {
    if (name === "x-teleport-version") return Buffer.from(this.#options.version);
    if (name === "recording-proxy@teleport.com") {
      return Buffer.from(String(this.#options.view.config().session_recording === "proxy"));
    }
    return false;
  }
}

function addresses({ remote, local }: Ends): Pick<Who, "addr.remote" | "addr.local"> {
  return { "addr.remote": formatAddress(remote), ...(local && { "addr.local": formatAddress(local) }) };
}

/** What a proxy says of its client: for the record only (SSH-01). */
function claimed(address: string | undefined): Address | undefined {
  if (address === undefined) return undefined;
  try {
    return parseAddress(address, 0);
  } catch (err) {
    if (Fault.is(err, "bad_parameter")) return undefined;
    throw err;
  }
}
