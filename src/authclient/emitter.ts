import type { AuthContract } from "#contract/auth";
import type { Client } from "#contract/rpc";
import type { Clock, Millis } from "#core/clock";
import { minute, second } from "#core/clock";
import { Fault } from "#core/errors";
import type { Log } from "#core/log";
import type { Random } from "#core/random";
import type { Service } from "#core/service";
import { type AuditEvent, type Draft, type Emitter, stamp } from "#events";

const batchLimit = 500; // the contract's
/** Events that wait for auth in memory; beyond it the oldest sender is told that its event is lost. */
const waitingLimit = 50_000;
const retryFrom: Millis = second;
const retryTo: Millis = minute / 2;

interface Waiting {
  readonly event: AuditEvent;
  readonly resolve: () => void;
  readonly reject: (err: Error) => void;
}

/**
 * A member's way to the audit log: stamps events where they happen and sends them in batches, in order, until auth has
 * acknowledged them. While auth is away they wait. As a service it sends; at its end it tries once more.
 */
export class AuditSender implements Emitter, Service {
  readonly name = "audit";
  readonly #client: Pick<Client<AuthContract>, "audit.emit">;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #log: Log;
  #waiting: Waiting[] = [];
  #wake: (() => void) | undefined;

  constructor(parts: {
    client: Pick<Client<AuthContract>, "audit.emit">;
    clock: Clock;
    random: Random;
    log: Log;
  }) {
    this.#client = parts.client;
    this.#clock = parts.clock;
    this.#random = parts.random;
    this.#log = parts.log;
  }

  emit(draft: Draft): Promise<void> {
    const event = stamp(draft, { clock: this.#clock, random: this.#random });
    if (this.#waiting.length >= waitingLimit) {
      return Promise.reject(new Fault("limit_exceeded", "too many audit events wait for the auth server"));
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting.push({ event, resolve, reject });
    this.#wake?.();
    return promise;
  }

  async run(signal: AbortSignal, ready: () => void): Promise<void> {
    ready();
    let pause = retryFrom;
    while (!signal.aborted) {
      if (this.#waiting.length === 0) await this.#something(signal);
      else if (await this.#send()) pause = retryFrom;
      else {
        await this.#clock.sleep(pause, signal).catch(() => {});
        pause = Math.min(pause * 2, retryTo);
      }
    }
    while (this.#waiting.length > 0 && (await this.#send()));
    for (const { reject } of this.#waiting) {
      reject(new Fault("unreachable", "the process ended before the auth server took this event"));
    }
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

  /** Whether the batch at the front is settled. False: auth is away, it stays. */
  async #send(): Promise<boolean> {
    const batch = this.#waiting.slice(0, batchLimit);
    try {
      await this.#client["audit.emit"]({ events: batch.map(({ event }) => event) });
    } catch (err) {
      if (Fault.is(err, "unreachable") || Fault.is(err, "internal") || Fault.is(err, "limit_exceeded")) {
        this.#log.warn("audit events wait for the auth server", {
          waiting: this.#waiting.length,
          error: (err as Error).message,
        });
        return false;
      }
      // Refused, and would be again: whoever emitted it must know, and the next must not wait behind it.
      this.#waiting = this.#waiting.slice(batch.length);
      for (const { reject } of batch) reject(err as Error);
      return true;
    }
    this.#waiting = this.#waiting.slice(batch.length);
    for (const { resolve } of batch) resolve();
    return true;
  }
}
