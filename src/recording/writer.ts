import type { Millis } from "#core/clock";
import { Fault } from "#core/errors";
import type { AuditEvent } from "#events";
import { concat, type Print } from "./log.ts";

/** What to append to the two files, in this order: the log never speaks of bytes that are not there. */
export interface Appended {
  /** To `<sid>.session.bytes`. */
  readonly bytes: Uint8Array;
  /** To `<sid>.session.log`. */
  readonly log: Uint8Array;
}

/** A running SHA-256; what `createHash` of `node:crypto` returns will do. */
export interface Digest {
  update(chunk: Uint8Array): unknown;
  digest(encoding: "hex"): string;
}

/** What is known when the output has ended. */
export interface Recorded {
  /** Bytes of output in the recording. */
  readonly bytes: number;
  /** Output beyond the limit, which is not in it. */
  readonly unrecorded?: { readonly bytes: number; readonly sha256: string };
}

/** Longer output is written as several chunks, so that a player can seek into it. */
const maxChunk = 64 * 1024; // bytes

/**
 * Turns what happens in a session into the bytes of its two files. It is given output only, never input, so what was typed
 * while the terminal did not echo is not in it.
 */
export class RecordingWriter {
  readonly #limit: number;
  readonly #rest: Digest | undefined;
  #start: Millis | undefined;
  #last: Millis = 0;
  #offset = 0;
  #unrecorded = 0;
  #ei = 0;
  #ci = 0;

  /** `limit`: how many bytes of output are kept; of those beyond, `rest` makes the digest. */
  constructor(options: { limit: number; rest: Digest } | Record<string, never> = {}) {
    this.#limit = options.limit ?? Number.POSITIVE_INFINITY;
    this.#rest = options.rest;
  }

  /** An event of the session. Returns it with its index too: the audit log gets that same event. */
  event<E extends AuditEvent>(event: E): { event: E; log: Uint8Array } {
    const numbered = { ...event, ei: this.#ei++ };
    this.#elapsed(Date.parse(event.time));
    return { event: numbered, log: toLine(numbered) };
  }

  /** Output that was shown at `at`. */
  output(chunk: Uint8Array, at: Millis): Appended {
    const kept = chunk.subarray(0, Math.max(0, this.#limit - this.#offset));
    const over = chunk.subarray(kept.length);
    if (over.length > 0) this.#rest?.update(over);
    this.#unrecorded += over.length;
    const ms = this.#elapsed(at);
    const lines: Uint8Array[] = [];
    for (let from = 0; from < kept.length; from += maxChunk) {
      const bytes = Math.min(maxChunk, kept.length - from);
      const print: Print = {
        time: new Date(at).toISOString(),
        event: "print",
        bytes,
        ms,
        offset: this.#offset,
        ei: this.#ei++,
        ci: this.#ci++,
      };
      this.#offset += bytes;
      lines.push(toLine(print));
    }
    return { bytes: kept, log: concat(lines) };
  }

  /** Call once, when no output will follow. */
  end(): Recorded {
    if (this.#unrecorded === 0 || !this.#rest) return { bytes: this.#offset };
    return {
      bytes: this.#offset,
      unrecorded: { bytes: this.#unrecorded, sha256: this.#rest.digest("hex") },
    };
  }

  /** Time since the first event. It never runs backwards, whatever the machine's clock does. */
  #elapsed(at: Millis): Millis {
    if (!Number.isFinite(at)) throw new Fault("bad_parameter", "an event of the session has no time");
    this.#start ??= at;
    this.#last = Math.max(this.#last, Math.round(at - this.#start));
    return this.#last;
  }
}

const toLine = (event: object): Uint8Array => new TextEncoder().encode(`${JSON.stringify(event)}\n`);
