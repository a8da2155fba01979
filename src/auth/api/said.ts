import type { Readable } from "node:stream";
import type { z } from "zod";
import type { Heard } from "#contract/rpc";
import { Fault } from "#core/errors";

const lineLimit = 64 * 1024; // bytes
/** Lines that wait to be heard; behind so many the speaker is not read any more until somebody listens. */
const mostWaiting = 64;

/** Told of a line, one character a byte. */
type Listener = (line: string) => void;

/**
 * What is said to a feed: the lines of a body that goes on, a JSON value each. Read by `data` events and told by calls:
 * thousands of members say the same few bytes every few seconds, and promises cost more than what is done about them.
 */
export class Said {
  readonly #body: Readable;
  readonly #over = Promise.withResolvers<undefined>();
  #listener: Listener | undefined;
  #unheard: string[] = [];
  #held = "";

  constructor(body: Readable) {
    this.#body = body;
    this.#over.promise.catch(() => {}); // for who listens
    body.on("data", (part: Buffer) => this.#hear(part));
    body.once("end", () => this.#end());
    body.once("error", (err) => this.#end(err));
    body.once("close", () => this.#end());
  }

  /** The next value as it was sent; undefined at the end. Throws `bad_parameter`, or `limit_exceeded` for a line too long. */
  next(): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#listen((line) => {
      this.#listener = undefined;
      try {
        resolve(jsonOf(textOf(line)));
      } catch (err) {
        reject(err);
      }
    });
    this.#over.promise.then(resolve, reject);
    return promise;
  }

  /** All further values. Throws as `next` does. */
  values<S extends z.ZodType>(schema: S): Heard<z.output<S>> {
    return (listener) => {
      let last: { line: string; value: z.output<S> } | undefined;
      this.#listen((line) => {
        if (line !== last?.line) {
          const parsed = schema.safeParse(jsonOf(textOf(line)));
          if (!parsed.success) throw new Fault("bad_parameter", "what was said makes no sense");
          last = { line, value: parsed.data };
        }
        listener(last.value);
      });
      return this.#over.promise;
    };
  }

  #listen(listener: Listener): void {
    this.#listener = listener;
    const unheard = this.#unheard;
    this.#unheard = [];
    for (const line of unheard) this.#tell(line);
    if (this.#body.isPaused() && this.#unheard.length <= mostWaiting) this.#body.resume();
  }

  #tell(line: string): void {
    if (!this.#listener) {
      this.#unheard.push(line);
      return;
    }
    try {
      this.#listener(line);
    } catch (err) {
      this.#end(err);
    }
  }

  #hear(part: Buffer): void {
    // One byte a character, so that a character in two parts is put together again.
    const lines = (this.#held + part.toString("latin1")).split("\n");
    this.#held = lines.pop() ?? "";
    if (this.#held.length > lineLimit || lines.some(({ length }) => length > lineLimit)) {
      this.#end(new Fault("limit_exceeded", "a line of the request is too long"));
      return;
    }
    for (const line of lines) this.#tell(line);
    if (this.#unheard.length > mostWaiting) this.#body.pause();
  }

  #end(error?: unknown): void {
    if (error === undefined) this.#over.resolve(undefined);
    else this.#over.reject(error as Error);
    // What comes now is nobody's.
    this.#body.removeAllListeners("data");
    this.#body.pause();
    this.#listener = undefined;
  }
}

const textOf = (line: string): string => Buffer.from(line, "latin1").toString();

/** Throws `bad_parameter`. */
export function jsonOf(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? "{}");
  } catch (cause) {
    throw new Fault("bad_parameter", "the input is not JSON", { cause });
  }
}
