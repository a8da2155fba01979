import type { Duplex } from "node:stream";
import { type Clock, type Millis, second } from "#core/clock";
import { Fault } from "#core/errors";
import { type Channel, type Connection, duplex } from "#ssh";
import type { Peer } from "./peer.ts";
import {
  type DialRequest,
  dialRequest,
  discoveryChannel,
  discoveryRequest,
  encodeDial,
  encodeDiscovery,
  leavingRequest,
  statementRequest,
  transportChannel,
} from "./protocol.ts";

/** Bytes of a refusal that are read. */
const longestRefusal = 1024;

/** One tunnel as the hub has it: an agent's connection, over which the hub opens channels. */
export class Tunnel {
  readonly peer: Peer;
  /** When it came, by the clock's uptime. */
  readonly since: Millis;
  readonly #connection: Connection;
  readonly #clock: Clock;
  #heard: Millis;
  #leaving = false;
  #discovery: Promise<Channel> | undefined;

  constructor(peer: Peer, connection: Connection, clock: Clock) {
    this.peer = peer;
    this.#connection = connection;
    this.#clock = clock;
    this.since = clock.uptime();
    this.#heard = this.since;
  }

  /** When it was last heard, by the clock's uptime. */
  get heard(): Millis {
    return this.#heard;
  }

  /** Nothing new is begun over it. */
  get leaving(): boolean {
    return this.#leaving;
  }

  hear(): void {
    this.#heard = this.#clock.uptime();
  }

  /** The agent is leaving. */
  leave(): void {
    this.#leaving = true;
  }

  /** Has the agent call anew, and end this tunnel when nothing runs over it any more. */
  sendAway(): void {
    this.#leaving = true;
    void this.#connection.request(leavingRequest, new Uint8Array(0), false).catch(() => {});
  }

  end(why: string): void {
    this.#connection.disconnect(why);
  }

  tell(statement: string): void {
    void this.#connection.request(statementRequest, Buffer.from(statement), false).catch(() => {});
  }

  /** Tells which proxies, by host id, are to be called. */
  async discover(proxies: readonly string[]): Promise<void> {
    this.#discovery ??= this.#connection.open(discoveryChannel).then(({ channel }) => channel);
    const channel = await this.#discovery;
    await channel.request(discoveryRequest, encodeDiscovery(proxies), false);
  }

  /**
   * A connection to something at the agent's end; `signal` gives it up. Throws `unreachable` with what the agent says when it
   * refuses, with `details.of` "tunnel" when that is what fails: then another may do.
   */
  async dial(request: DialRequest, signal: AbortSignal): Promise<Duplex> {
    const channel = await this.#open();
    const giveUp = (): void => void channel.close({ discard: true });
    signal.addEventListener("abort", giveUp, { once: true });
    if (signal.aborted) giveUp();
    try {
      if (await channel.request(dialRequest, encodeDial(request), true).catch(brokenOff))
        return duplex(channel);
      const said = await textOf(channel.stderr);
      giveUp();
      throw new Fault("unreachable", said || "the other cluster's proxy refused without a word");
    } finally {
      signal.removeEventListener("abort", giveUp);
    }
  }

  /** A line that is dead without saying so must not keep us from the next. */
  async #open(): Promise<Channel> {
    const over = new AbortController();
    const late = this.#clock.sleep(openPatience, over.signal, { background: true });
    const opened = this.#connection.open(transportChannel);
    try {
      const first = await Promise.race([opened, late.then(() => undefined)]);
      if (first) return first.channel;
      void opened.then(({ channel }) => channel.close({ discard: true })).catch(() => {});
      throw new Error(`it did not answer within ${openPatience / second} s`);
    } catch (err) {
      return brokenOff(err as Error);
    } finally {
      late.catch(() => {});
      over.abort();
    }
  }
}

/** For the other end to take a channel. */
const openPatience: Millis = 5 * second;

function brokenOff(cause: Error): never {
  throw new Fault("unreachable", "the tunnel broke off", { cause, details: { of: "tunnel" } });
}

/** What somebody else's proxy says, made harmless. */
async function textOf(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const part of stream) {
      parts.push(part);
      size += part.length;
      if (size >= longestRefusal) break;
    }
  } catch {
    // The connection broke; there is nothing more to be read.
  }
  return Buffer.concat(parts)
    .subarray(0, longestRefusal)
    .toString()
    .replace(/\p{Cc}/gu, " ")
    .trim();
}

/** How often either end asks whether the other is still there, however rarely heartbeats come. */
export const lineCheck = { every: 30 * second, count: 3 };
