import type { Duplex } from "node:stream";
import { type Clock, type Millis, second } from "#core/clock";
import { Fault } from "#core/errors";
import type { Log } from "#core/log";
import type { CertAuthority } from "#model";
import {
  type Algorithms,
  type Channel,
  type ChannelRequest,
  type ClientConnection,
  connect,
  OpenFailure,
} from "#ssh";
import { splice } from "#ssh/forward";
import type { Signer } from "#ssh/keys";
import { latest } from "./latest.ts";
import { proxyOf } from "./peer.ts";
import {
  type DialRequest,
  decodeDial,
  decodeDiscovery,
  dialRequest,
  discoveryChannel,
  discoveryRequest,
  heartbeatChannel,
  leavingRequest,
  longestStatement,
  statementRequest,
  transportChannel,
} from "./protocol.ts";
import { lineCheck } from "./tunnel.ts";

/** Between two times that what the target says of its authorities is looked at. */
const statementGap: Millis = 1 * second;

export interface AgentOptions {
  /** `<host id>.<cluster>` of this proxy. */
  readonly name: string;
  /** Its host certificate, first. */
  readonly signers: () => readonly Signer[];
  /** The cluster to be called, and its host authority as it is known now. */
  readonly target: string;
  readonly authority: () => CertAuthority | undefined;
  /** Opens here what somebody of the target asks for. Throws a sentence for them. */
  readonly serve: (request: DialRequest, signal: AbortSignal) => Promise<Duplex>;
  /** Between two heartbeats. */
  readonly heartbeat: () => Millis;
  readonly statement: () => Promise<string | undefined>;
  readonly learn: (cluster: string, statement: string) => Promise<void>;
  /** Host ids of the target's proxies, which are all to be called. */
  readonly onDiscovery: (proxies: readonly string[]) => void;
  /** Is told when nothing more is to be begun over a tunnel that goes on. */
  readonly onLeaving: () => void;
  readonly algorithms?: Algorithms;
  readonly clock: Clock;
  readonly log: Log;
}

/** One tunnel as the caller has it: what the other end opens is served. */
export class Agent {
  /** The host id of the proxy that was reached. */
  readonly hostId: string;
  readonly #connection: ClientConnection;
  readonly #options: AgentOptions;
  #running = 0;
  #leaving = false;

  private constructor(hostId: string, connection: ClientConnection, options: AgentOptions) {
    this.hostId = hostId;
    this.#connection = connection;
    this.#options = options;
  }

  /** Calls over a stream, which is owned from here on. `signal` ends the tunnel, whenever it aborts. */
  static async call(stream: Duplex, options: AgentOptions, signal: AbortSignal): Promise<Agent> {
    const { clock, log, algorithms, name, target } = options;
    let hostId = "";
    const connection = await connect(
      {
        stream,
        user: name,
        version: "Teleport",
        signers: options.signers().filter(({ publicKey }) => publicKey.certificate),
        verifyHost: (key) => {
          const authority = options.authority();
          const peer = proxyOf(key, authority ? [authority] : [], clock.now());
          if (peer.cluster !== target) throw new Fault("access_denied", `it is a proxy of ${peer.cluster}`);
          hostId = peer.hostId;
        },
        keepAlive: lineCheck,
        ...(algorithms && { algorithms }),
        clock,
        log,
      },
      signal,
    );
    const agent = new Agent(hostId, connection, options);
    agent.#begin(signal);
    return agent;
  }

  /** Resolves when it is over, with the reason if that was not orderly. */
  get closed(): Promise<Error | undefined> {
    return this.#connection.closed;
  }

  /** Whether nothing new is begun over it. */
  get leaving(): boolean {
    return this.#leaving;
  }

  end(): void {
    this.#connection.disconnect("this tunnel is not needed any more");
  }

  /** Has it end when nothing runs over it any more, and the other end begin nothing. */
  leave(): void {
    void this.#connection.request(leavingRequest, new Uint8Array(0), false).catch(() => {});
    this.#retire();
  }

  tell(statement: string): void {
    void this.#connection.request(statementRequest, Buffer.from(statement), false).catch(() => {});
  }

  #begin(signal: AbortSignal): void {
    const { statement, clock } = this.#options;
    const over = new AbortController();
    void this.closed.then(() => over.abort());
    const until = AbortSignal.any([signal, over.signal]);
    const learning = latest((text) => this.#learn(text), { clock, gap: statementGap, signal: until });
    this.#connection.onOpen((request) => this.#open(request, signal));
    this.#connection.onRequest((name, payload) => {
      if (name === leavingRequest) this.#retire();
      if (name !== statementRequest || payload.length > longestStatement) return false;
      learning(Buffer.from(payload).toString());
      return true;
    });
    void this.#beat(until).catch(() => {});
    void statement()
      .then((said) => said !== undefined && this.tell(said))
      .catch(() => {});
  }

  async #learn(statement: string): Promise<void> {
    const { learn, log, target } = this.#options;
    await learn(target, statement).catch((err: Error) =>
      log.warn("what the trusted cluster says of its authorities was not taken up", {
        cluster: target,
        error: err.message,
      }),
    );
  }

  async #beat(until: AbortSignal): Promise<void> {
    const { clock, heartbeat } = this.#options;
    const { channel } = await this.#connection.open(heartbeatChannel);
    while (!until.aborted) {
      await channel.request("heartbeat", new Uint8Array(0), false);
      await clock.sleep(heartbeat(), until, { background: true }).catch(() => {});
    }
  }

  #open(request: ChannelRequest, signal: AbortSignal): void {
    if (request.kind === transportChannel) this.#transport(request.accept(), signal);
    else if (request.kind === discoveryChannel) this.#discovery(request.accept());
    else request.reject(OpenFailure.unknownChannelType, `tunnels take no ${request.kind} channels`);
  }

  #discovery(channel: Channel): void {
    channel.onRequest((name, payload) => {
      if (name !== discoveryRequest) return false;
      this.#options.onDiscovery(decodeDiscovery(payload));
      return true;
    });
  }

  #transport(channel: Channel, signal: AbortSignal): void {
    let asked = false;
    const over = new AbortController();
    this.#running++;
    void channel.closed.then(() => {
      over.abort();
      this.#running--;
      this.#endIfIdle();
    });
    channel.onRequest(async (name, payload) => {
      if (name !== dialRequest || asked) return false;
      asked = true;
      try {
        const stream = await this.#options.serve(
          decodeDial(payload),
          AbortSignal.any([signal, channel.gone, over.signal]),
        );
        stream.on("error", () => {});
        // When the request has its answer: bytes that come with it are the client's.
        setImmediate(() => void splice(channel, stream).catch(() => {}));
        return true;
      } catch (err) {
        void this.#refuse(channel, err);
        return false;
      }
    });
  }

  async #refuse(channel: Channel, err: unknown): Promise<void> {
    const isOurs = err instanceof Fault && err.kind !== "internal";
    if (!isOurs)
      this.#options.log.error("a connection by a tunnel failed", { error: (err as Error).message });
    const sentence = isOurs ? err.message : "the other cluster's proxy failed; its log says why";
    await channel.writeStderr(Buffer.from(sentence)).catch(() => {});
    await channel.close().catch(() => {});
  }

  #retire(): void {
    if (this.#leaving) return;
    this.#leaving = true;
    this.#options.onLeaving();
    this.#endIfIdle();
  }

  #endIfIdle(): void {
    if (this.#leaving && this.#running === 0) this.end();
  }
}
