import { randomBytes } from "node:crypto";
import type { Clock, Millis } from "#core/clock";
import { Fault } from "#core/errors";
import type { Parts } from "../parts.ts";

/** Is told of every request for certificates, of people and of hosts. */
export interface IssueMeter {
  begun(): void;
  /** Refused, since too many were being worked on. */
  throttled(): void;
  /** With certificates or without. */
  done(took: Millis): void;
}

/**
 * Requests being worked on: each keeps a thread of the pool busy for some milliseconds, so that more would wait for longer than
 * whoever asked does, and ask again.
 */
const atOnce = 1000;

/** Certificates that are being issued: counted, and bounded. */
export class Issuing {
  readonly #meter: IssueMeter | undefined;
  readonly #clock: Pick<Clock, "uptime">;
  #now = 0;

  constructor(clock: Pick<Clock, "uptime">, meter?: IssueMeter) {
    this.#clock = clock;
    this.#meter = meter;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#now >= atOnce) {
      this.#meter?.throttled();
      throw new Fault(
        "limit_exceeded",
        "the auth server is issuing as many certificates as it can; try again in a few seconds",
      );
    }
    const began = this.#clock.uptime();
    this.#now++;
    this.#meter?.begun();
    try {
      return await work();
    } finally {
      this.#now--;
      this.#meter?.done(this.#clock.uptime() - began);
    }
  }
}

/** The same, as one of the requests that are counted. */
export const counted =
  <Request, Certs>(issue: (parts: Parts, request: Request) => Promise<Certs>) =>
  (parts: Parts, request: Request): Promise<Certs> =>
    parts.issuing.run(() => issue(parts, request));

/** A certificate's serial number: 63 random bits, so that no two are alike and OpenSSH's revocation lists can name one. */
export const serialNumber = (): bigint => randomBytes(8).readBigUInt64BE() >> 1n;
