import type { Clock, Millis } from "#core/clock";
import { Fault } from "#core/errors";
import { AddressBuckets } from "./http/clients.ts";

/** So many requests of one source in a span of time, and so many at once (CFG-19). */
export interface Rate {
  readonly period: Millis;
  readonly average: number;
  readonly burst: number;
}

/** Requests of one source, as all of several rates allow them. Without any rate all are allowed. */
export class RequestRates {
  readonly #buckets: readonly AddressBuckets[];

  constructor(rates: readonly Rate[], clock: Clock) {
    this.#buckets = rates.map(
      ({ period, average, burst }) =>
        new AddressBuckets({ clock, burst, perSecond: (average * 1000) / period }),
    );
  }

  /** Counts a request. Throws `limit_exceeded` (`details.retryAfter`, seconds) when a rate is used up. */
  take(peer: { readonly remoteAddress?: string | undefined }): void {
    for (const bucket of this.#buckets) bucket.take(peer);
  }

  /** Counts a request; whether it is within the rates. */
  allows(remoteAddress: string): boolean {
    try {
      this.take({ remoteAddress });
      return true;
    } catch (err) {
      if (Fault.is(err, "limit_exceeded")) return false;
      throw err;
    }
  }
}
