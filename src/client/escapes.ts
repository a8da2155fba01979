import { Queue } from "#core/queue";

/** What keys came to: input for the host, an escape, or the editing of a command line that an escape has opened. */
export type Typed =
  | { readonly kind: "data"; readonly bytes: Uint8Array }
  | { readonly kind: "escape"; readonly key: EscapeKey }
  /** To be shown to the person. */
  | { readonly kind: "echo"; readonly text: string }
  | { readonly kind: "command"; readonly line: string };

/** The keys that mean something behind the escape character; `^Z` is the control character. */
const escapeKeys = [".", "?", "#", "B", "C", "R", "^Z"] as const;
type EscapeKey = (typeof escapeKeys)[number];

const [carriageReturn, lineFeed, controlZ] = [0x0d, 0x0a, 0x1a];
const commandPrompt = "ssh> ";
const maxCommand = 1024;

/**
 * Finds escapes in what is typed, as OpenSSH does: the escape character counts at the beginning of a line only, typed twice
 * it is itself, and before a key that means nothing both are passed on. Behind `C` a command line is read.
 */
export class EscapeReader {
  readonly #escape: number;
  #state: "line start" | "text" | "escape" | "command" = "line start";
  #command: string[] = [];

  /** `byte` is the escape character. */
  constructor(byte: number) {
    this.#escape = byte;
  }

  take(chunk: Uint8Array): Typed[] {
    const typed: Typed[] = [];
    // Most of what comes is text: it is passed on in runs, not byte by byte.
    let from = 0;
    const flush = (to: number): void => {
      if (to > from) typed.push({ kind: "data", bytes: chunk.subarray(from, to) });
    };
    for (const [at, byte] of chunk.entries()) {
      if (this.#state === "command") {
        typed.push(...this.#edit(byte));
        from = at + 1;
      } else if (this.#state === "escape") {
        const key = keyOf(byte);
        if (key !== undefined) {
          this.#state = key === "C" ? "command" : "line start";
          typed.push({ kind: "escape", key });
          if (key === "C") typed.push({ kind: "echo", text: `\r\n${commandPrompt}` });
          from = at + 1;
          continue;
        }
        if (byte !== this.#escape) typed.push({ kind: "data", bytes: Uint8Array.of(this.#escape) });
        from = at;
        this.#state = isLineEnd(byte) ? "line start" : "text";
      } else if (this.#state === "line start" && byte === this.#escape) {
        flush(at);
        from = at + 1;
        this.#state = "escape";
      } else {
        this.#state = isLineEnd(byte) ? "line start" : "text";
      }
    }
    flush(chunk.length);
    return typed;
  }

  /** One key of the command line: characters, erase, erase all, give up, Enter. */
  #edit(byte: number): Typed[] {
    const over = (line: string): Typed[] => {
      this.#command = [];
      this.#state = "line start";
      return [
        { kind: "echo", text: "\r\n" },
        { kind: "command", line },
      ];
    };
    const back = (count: number): Typed[] => {
      this.#command.splice(this.#command.length - count, count);
      return count === 0 ? [] : [{ kind: "echo", text: "\b \b".repeat(count) }];
    };
    if (isLineEnd(byte)) return over(this.#command.join(""));
    if (byte === 0x03 || byte === 0x04) return over("");
    if (byte === 0x7f || byte === 0x08) return back(Math.min(1, this.#command.length));
    if (byte === 0x15) return back(this.#command.length);
    if (byte < 0x20 || byte > 0x7e || this.#command.length >= maxCommand) return [];
    const char = String.fromCharCode(byte);
    this.#command.push(char);
    return [{ kind: "echo", text: char }];
  }
}

const isLineEnd = (byte: number): boolean => byte === carriageReturn || byte === lineFeed;

function keyOf(byte: number): EscapeKey | undefined {
  if (byte === controlZ) return "^Z";
  const char = String.fromCharCode(byte);
  return char === "^" ? undefined : escapeKeys.find((key) => key === char);
}

/** Reads `-e` and `EscapeChar`: one character, `^` and a letter, or `none`; undefined for text that is none of them. */
export function parseEscape(text: string): number | "none" | undefined {
  if (text === "none") return text;
  if (/^[\x21-\x7e]$/.test(text)) return text.charCodeAt(0);
  return /^\^[@-_a-z]$/.test(text) ? text.charCodeAt(1) & 0x1f : undefined;
}

/**
 * Input without its escapes. What they ask for is done, one after the other, before what was typed after them is read. The
 * keyboard is read ahead of the host, so that an escape works while the host takes nothing.
 */
export function withoutEscapes(
  input: AsyncIterable<Uint8Array>,
  reader: EscapeReader,
  act: (typed: Exclude<Typed, { kind: "data" }>) => void | Promise<void>,
): AsyncIterable<Uint8Array> {
  const data = new Queue<Uint8Array>();
  const read = async (): Promise<void> => {
    for await (const chunk of input) {
      for (const typed of reader.take(chunk)) {
        if (typed.kind === "data") data.push(typed.bytes);
        else await act(typed);
      }
    }
  };
  read().then(
    () => data.end(),
    (err: unknown) => data.end(err),
  );
  return data;
}
