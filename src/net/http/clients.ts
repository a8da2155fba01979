import { isIPv6 } from "node:net";
import type { Clock } from "#core/clock";
import { Fault } from "#core/errors";
import { sourceOf } from "../source.ts";

/** Who is on the other end of a socket. */
interface Peer {
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
}

/** `host:port` of the peer, as audit and lockout want it; IPv4 is never written as IPv6. */
export function clientAddress({ remoteAddress = "", remotePort = 0 }: Peer): string {
  const host = remoteAddress.replace(/^::ffff:(?=\d+\.)/i, "");
  return isIPv6(host) ? `[${host}]:${remotePort}` : `${host}:${remotePort}`;
}

/**
 * A token bucket an address: `burst` requests at once, `perSecond` more as time goes. IPv6 counts by /64, since one
 * subscriber owns a whole one. Memory is bounded: full buckets are forgotten, they say nothing.
 */
export class AddressBuckets {
  readonly #clock: Clock;
  readonly #burst: number;
  readonly #perSecond: number;
  readonly #levels = new Map<string, { left: number; at: number }>();

  constructor({ clock, burst, perSecond }: { clock: Clock; burst: number; perSecond: number }) {
    this.#clock = clock;
    this.#burst = burst;
    this.#perSecond = perSecond;
  }

  /** Counts one request; throws `limit_exceeded` (`details.retryAfter`, seconds) when the address has none left. */
  take(peer: Peer): void {
    const now = this.#clock.uptime();
    const key = sourceOf(peer.remoteAddress ?? "");
    const left = this.#left(key, now);
    if (left < 1) {
      throw new Fault("limit_exceeded", "too many requests from your address; try again in a moment", {
        details: { retryAfter: Math.ceil((1 - left) / this.#perSecond) },
      });
    }
    if (this.#levels.size >= maxAddresses && !this.#levels.has(key)) this.#forget(now);
    this.#levels.delete(key);
    this.#levels.set(key, { left: left - 1, at: now });
  }

  #left(key: string, now: number): number {
    const level = this.#levels.get(key);
    if (!level) return this.#burst;
    return Math.min(this.#burst, level.left + (Math.max(0, now - level.at) / 1000) * this.#perSecond);
  }

  /** Drops full buckets; when a flood left none full, the oldest half: better to be generous than to grow. */
  #forget(now: number): void {
    for (const key of this.#levels.keys()) if (this.#left(key, now) >= this.#burst) this.#levels.delete(key);
    let excess = this.#levels.size - maxAddresses / 2;
    for (const key of this.#levels.keys()) {
      if (excess-- <= 0) break;
      this.#levels.delete(key);
    }
  }
}

const maxAddresses = 16_384;
