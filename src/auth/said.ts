import type { Readable } from "node:stream";
import type { z } from "zod";
import { Fault } from "#core/errors";
import { Queue } from "#core/queue";

const lineLimit = 64 * 1024; // bytes
/** Lines that wait to be heard; behind so many the speaker is not read any more until half of them are. */
const mostWaiting = 64;

/**
 * What is said to a feed: the lines of a body that goes on, a JSON value each. Read by `data` events: thousands of members
 * say a few bytes every few seconds, and a stream's own iterator costs more than what is done about them.
 */
export class Said {
  readonly #body: Readable;
  readonly #lines = new Queue<string>();
  readonly #heard = this.#lines[Symbol.asyncIterator]();
  #held = "";

  constructor(body: Readable) {
    this.#body = body;
    body.on("data", (part: Buffer) => this.#hear(part));
    body.once("end", () => this.#lines.end());
    body.once("error", (err) => this.#lines.end(err));
    body.once("close", () => this.#lines.end());
  }

  /** The next value as it was sent; undefined at the end. Throws `bad_parameter`, or `limit_exceeded` for a line too long. */
  async next(): Promise<unknown> {
    const { done, value } = await this.#heard.next();
    if (this.#body.isPaused() && this.#lines.size <= mostWaiting / 2) this.#body.resume();
    return done ? undefined : jsonOf(value);
  }

  /** All further values. Throws as `next` does. */
  values<S extends z.ZodType>(schema: S): AsyncIterable<z.output<S>> {
    const next = async (): Promise<IteratorResult<z.output<S>, undefined>> => {
      const value = await this.next();
      if (value === undefined) return { value, done: true };
      const parsed = schema.safeParse(value);
      if (!parsed.success) throw new Fault("bad_parameter", "what was said makes no sense");
      return { value: parsed.data, done: false };
    };
    return { [Symbol.asyncIterator]: () => ({ next }) };
  }

  #hear(part: Buffer): void {
    // One byte a character, so that a character in two parts is put together again.
    const lines = (this.#held + part.toString("latin1")).split("\n");
    this.#held = lines.pop() ?? "";
    if (this.#held.length > lineLimit || lines.some(({ length }) => length > lineLimit)) {
      this.#body.pause();
      this.#lines.end(new Fault("limit_exceeded", "a line of the request is too long"));
      return;
    }
    for (const line of lines) this.#lines.push(Buffer.from(line, "latin1").toString());
    if (this.#lines.size > mostWaiting) this.#body.pause();
  }
}

/** Throws `bad_parameter`. */
export function jsonOf(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? "{}");
  } catch (cause) {
    throw new Fault("bad_parameter", "the input is not JSON", { cause });
  }
}
