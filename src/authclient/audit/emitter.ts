import type { AuthContract } from "#contract/auth";
import type { Client } from "#contract/rpc";
import type { Clock, Millis } from "#core/clock";
import { minute, second } from "#core/clock";
import { Fault } from "#core/errors";
import type { Log } from "#core/log";
import type { Random } from "#core/random";
import type { Service } from "#core/service";
import { type AuditEvent, type Draft, type Emitter, stamp } from "#events";
import type { EventSpool } from "./event-spool.ts";

const batchLimit = 500; // the contract's
const batchLength = 1024 * 1024; // characters
/** Events that neither auth nor the disk takes wait in memory; beyond it the next sender is told that its event is lost. */
const waitingLimit = 50_000;
/** What auth has not acknowledged by then goes to the disk. */
const patience: Millis = 2 * second;
const retryFrom: Millis = second;
const retryTo: Millis = 10 * second;
const adoptEvery: Millis = minute;

interface Waiting {
  readonly event: AuditEvent;
  /** About its length as JSON. */
  readonly length: number;
  /** It has been on its way; whether it arrived is not known. */
  tried: boolean;
  readonly resolve: () => void;
  readonly reject: (err: Error) => void;
}

/**
 * A member's way to the audit log: stamps events where they happen and sends them in batches, in order. An event is
 * acknowledged when auth has it on disk, or, while auth is away, this host: then it is sent when auth is back, once, also by a
 * later process (OVW-36, AUD-03). As a service it sends; at its end what is left stays on disk.
 */
export class AuditSender implements Emitter, Service {
  readonly name = "audit";
  readonly #client: Pick<Client<AuthContract>, "audit.emit">;
  readonly #spool: EventSpool;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #log: Log;
  /** What came after all that is on disk. */
  #waiting: Waiting[] = [];
  /** Older events are on disk: the next must go behind them. */
  #behind = false;
  /** Nearly all of it is gone from disk: what comes now waits a moment in memory, else it would go by the disk for ever. */
  #catchingUp = false;
  #storing: Promise<void> | undefined;
  #wake: (() => void) | undefined;
  #trouble: string | undefined;

  constructor(parts: {
    client: Pick<Client<AuthContract>, "audit.emit">;
    spool: EventSpool;
    clock: Clock;
    random: Random;
    log: Log;
  }) {
    this.#client = parts.client;
    this.#spool = parts.spool;
    this.#clock = parts.clock;
    this.#random = parts.random;
    this.#log = parts.log;
  }

  /** Why events can be kept neither by auth nor on this host's disk now; undefined while they can. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  emit(draft: Draft): Promise<void> {
    const event = stamp(draft, { clock: this.#clock, random: this.#random });
    if (this.#waiting.length >= waitingLimit) {
      return Promise.reject(new Fault("limit_exceeded", "too many audit events wait for the auth server"));
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting.push({ event, length: JSON.stringify(event).length, tried: false, resolve, reject });
    if (this.#behind && !this.#catchingUp) void this.#store();
    this.#wake?.();
    return promise;
  }

  async run(signal: AbortSignal, ready: () => void): Promise<void> {
    await this.#adopt();
    ready();
    const adopting = this.#keepAdopting(signal);
    let pause = retryFrom;
    while (!signal.aborted) {
      this.#behind ||= !this.#spool.empty;
      if (!this.#behind && this.#waiting.length === 0) await this.#something(signal);
      else if (this.#behind ? await this.#sendStored(signal) : await this.#sendDirect()) pause = retryFrom;
      else {
        await this.#clock.sleep(pause, signal).catch(() => {});
        pause = Math.min(pause * 2, retryTo);
      }
    }
    await adopting;
    while (!this.#behind && this.#waiting.length > 0) await this.#sendDirect();
    await this.#store();
    for (const { reject } of this.#waiting) {
      reject(new Fault("unreachable", "the process ended before the auth server took this event"));
    }
    await this.#spool[Symbol.asyncDispose]();
  }

  #something(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const done = (): void => {
      signal.removeEventListener("abort", done);
      this.#wake = undefined;
      resolve();
    };
    this.#wake = done;
    signal.addEventListener("abort", done, { once: true });
    return promise;
  }

  async #keepAdopting(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#clock.sleep(adoptEvery, signal, { background: true }).catch(() => {});
      if (!signal.aborted) await this.#adopt();
    }
  }

  /** What an earlier process left, or one that was restarted beside us and has gone since. */
  async #adopt(): Promise<void> {
    await this.#spool.adopt();
    if (!this.#spool.empty) this.#wake?.();
  }

  /** The usual way, past the disk. False: auth is away, and what waited is on disk or will be. */
  async #sendDirect(): Promise<boolean> {
    const batch = this.#batch();
    const again = batch.some(({ tried }) => tried);
    const failure = await this.#send({ events: batch.map(({ event }) => event), again }, patience);
    if (failure && !isRefusal(failure)) {
      this.#log.warn("audit events wait on disk for the auth server", { error: failure.message });
      for (const waiting of batch) waiting.tried = true;
      this.#behind = true;
      await this.#store();
      return false;
    }
    this.#waiting = this.#waiting.slice(batch.length);
    // Refused, and would be again: whoever emitted it must know, and the next must not wait behind it.
    for (const { resolve, reject } of batch) failure ? reject(failure) : resolve();
    return true;
  }

  /** Brings what is oldest on disk to auth. False: auth is still away. */
  async #sendStored(signal: AbortSignal): Promise<boolean> {
    try {
      const stored = await this.#spool.first();
      if (!stored) {
        // Whoever is being stored at this moment stays in front of what comes directly.
        await this.#storing;
        this.#behind = !this.#spool.empty;
        this.#catchingUp = false;
        if (!this.#behind) this.#trouble = undefined;
        return true;
      }
      await this.#spool.trying();
      const { events, tried } = stored;
      const limit = this.#catchingUp ? patience : minute;
      const failure = await this.#send({ events: [...events], again: tried }, limit, signal);
      if (!failure || (isRefusal(failure) && (await this.#sendSingly(events, signal)))) {
        await this.#spool.drop();
        this.#catchingUp = this.#spool.size < batchLength;
        // Room on disk again for those that found none.
        if (!this.#catchingUp) void this.#store();
        return true;
      }
      this.#log.warn("audit events wait on disk for the auth server", {
        bytes: this.#spool.size,
        error: failure.message,
      });
    } catch (err) {
      this.#log.error("audit events on disk cannot be read or sent", { error: (err as Error).message });
    }
    this.#catchingUp = false;
    void this.#store();
    return false;
  }

  /**
   * Auth has refused a batch. Those of it that it refuses one by one are set aside, unless it refuses us altogether: that may
   * pass. Answers whether the batch is settled.
   */
  async #sendSingly(events: readonly AuditEvent[], signal: AbortSignal): Promise<boolean> {
    const refused: AuditEvent[] = [];
    let denied = 0;
    for (const event of events) {
      const failure = await this.#send({ events: [event], again: true }, minute, signal);
      if (!failure) continue;
      if (!isRefusal(failure)) return false;
      if (Fault.is(failure, "access_denied")) denied++;
      refused.push(event);
    }
    if (denied === events.length) return false;
    if (refused.length === 0) return true;
    const file = await this.#spool.setAside(refused);
    this.#log.error("the auth server refuses audit events; they are kept here", {
      file,
      events: refused.length,
    });
    return true;
  }

  /** One call; answers why it failed, or nothing. */
  async #send(
    input: { events: AuditEvent[]; again?: boolean },
    limit: Millis,
    signal?: AbortSignal,
  ): Promise<Error | undefined> {
    const over = new AbortController();
    const within = signal ? AbortSignal.any([signal, over.signal]) : over.signal;
    const late = this.#clock
      .sleep(limit, over.signal, { background: true })
      .then(() => new Fault("unreachable", "the auth server does not answer"))
      .catch(() => undefined);
    const sent = this.#client["audit.emit"](input, within).then(
      () => undefined,
      (err: Error) => err,
    );
    try {
      return await Promise.race([sent, late]);
    } finally {
      over.abort();
    }
  }

  /** The first of those that wait, all of them tried before or none, as many as go together. */
  #batch(): Waiting[] {
    const [first] = this.#waiting;
    let length = 0;
    let count = 0;
    for (const next of this.#waiting) {
      length += next.length;
      if (count === batchLimit || (count > 0 && length > batchLength) || next.tried !== first?.tried) break;
      count++;
    }
    return this.#waiting.slice(0, count);
  }

  /** Puts on disk what waits, and tells its senders that it is kept. */
  #store(): Promise<void> {
    this.#storing ??= this.#storeAll();
    return this.#storing;
  }

  async #storeAll(): Promise<void> {
    try {
      // Whoever emits at this moment comes along.
      await new Promise<void>((resolve) => setImmediate(resolve));
      while (this.#waiting.length > 0) {
        const batch = this.#batch();
        await this.#spool.append(
          batch.map(({ event }) => event),
          { tried: batch.some(({ tried }) => tried) },
        );
        this.#trouble = undefined;
        this.#waiting = this.#waiting.slice(batch.length);
        for (const { resolve } of batch) resolve();
      }
    } catch (err) {
      const error = (err as Error).message;
      if (this.#trouble === undefined)
        this.#log.error("audit events wait in memory: neither the auth server nor the disk takes them", {
          error,
        });
      this.#trouble = error;
    } finally {
      // In the turn in which nothing was left to store: who comes next begins anew.
      this.#storing = undefined;
    }
  }
}

/** Whether auth has answered, and would answer the same again. */
const isRefusal = (err: Error): boolean => Fault.is(err, "access_denied") || Fault.is(err, "bad_parameter");
