import type { Alive, AuthContract, MirrorChange } from "#contract/auth";
import type { Client } from "#contract/rpc";
import type { Clock, Millis } from "#core/clock";
import { minute, second } from "#core/clock";
import type { Random } from "#core/random";
import { otherConnection } from "#mirror";
import type { Node, ProxyServer } from "#model";
import type { Heartbeats } from "./health.ts";

/** A member says that it is there every 5 s, give or take a tenth (OVW-34). */
const aliveEvery: Millis = 5 * second;
/** Now and then it tells its whole record besides (OVW-34). */
const tellEvery: Millis = 5 * minute;
/** A longer record, in bytes of JSON, does not go into a line of the stream; it is announced again. */
const longestTold = 32 * 1024;

type Watch = Pick<Client<AuthContract>, "mirror.watch">;
type Kind = Alive["kinds"][number];

interface Told {
  /** As it was announced. */
  readonly record: Node | ProxyServer;
  /** Auth does not have the record any more, or has another. */
  lost(): void;
  /** For those who ask how well the member is connected. */
  readonly heartbeats: Heartbeats;
}

/**
 * Says on the stream that the mirror watches that this host is there, at once when the stream opens and every few seconds, and
 * which of its records auth should have; tells who announces a record when auth has lost it.
 */
export class Heartbeat {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #records = new Map<Kind, Told>();
  /** By `clock.uptime()`. */
  readonly #tellNext = new Map<Kind, Millis>();
  /** What the mirror watches by. */
  readonly client: Watch;

  constructor(parts: { client: Watch; clock: Clock; random: Random }) {
    this.#clock = parts.clock;
    this.#random = parts.random;
    const watch = parts.client["mirror.watch"];
    this.client = {
      "mirror.watch": (input, signal) =>
        this.#hear(
          watch(input, signal, (s) => this.#say(s)),
          signal,
        ),
    };
  }

  /** The record of this kind has been announced. */
  there(kind: Kind, told: Told): void {
    this.#records.set(kind, told);
    // At any time of the first five minutes: all members of a cluster may have begun at once.
    this.#tellNext.set(kind, this.#clock.uptime() + tellEvery * this.#random.fraction());
  }
  gone(kind: Kind): void {
    this.#records.delete(kind);
  }

  async *#say(signal: AbortSignal): AsyncGenerator<Alive> {
    while (!signal.aborted) {
      const records = this.#due();
      const kinds = [...this.#records.keys()];
      yield records.length > 0 ? { type: "alive", kinds, records } : { type: "alive", kinds };
      await this.#clock.sleep(this.#jittered(aliveEvery), signal).catch(() => {});
    }
  }

  /** The records that it is time to tell. */
  #due(): (Node | ProxyServer)[] {
    const now = this.#clock.uptime();
    return [...this.#records].flatMap(([kind, { record, lost }]) => {
      if (now < (this.#tellNext.get(kind) ?? now)) return [];
      this.#tellNext.set(kind, now + this.#jittered(tellEvery));
      if (Buffer.byteLength(JSON.stringify(record)) <= longestTold) return [record];
      lost();
      return [];
    });
  }

  #jittered(span: Millis): Millis {
    return span * (0.9 + 0.2 * this.#random.fraction());
  }

  async *#hear(changes: AsyncIterable<MirrorChange>, signal?: AbortSignal): AsyncGenerator<MirrorChange> {
    try {
      for await (const change of changes) {
        if (change.type === "announce") for (const { lost } of this.#records.values()) lost();
        if (change.type === "announce" || change.type === "beat")
          for (const { heartbeats } of this.#records.values()) heartbeats.good();
        yield change.type === "announce" ? { type: "beat" } : change;
      }
    } finally {
      if (signal?.reason !== otherConnection)
        for (const { heartbeats } of this.#records.values()) heartbeats.lost();
    }
  }
}
