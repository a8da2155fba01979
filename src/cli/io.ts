import type { Readable, Writable } from "node:stream";
import { Fault } from "#core/errors";

/** What a command may touch of the world it was started in. Tests pass their own. */
export interface Io {
  /** One line to standard output. */
  out(line: string): void;
  /** One line to standard error. */
  err(line: string): void;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly machine: Machine;
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** Which of the three is a terminal, and how wide that is. */
  readonly terminal: {
    readonly stdin: boolean;
    readonly stdout: boolean;
    readonly stderr: boolean;
    readonly columns: number | undefined;
    /** As it is now; 80 by 24 where nobody knows. */
    size(): { columns: number; rows: number };
    /** Calls `listener` when the size has changed, until the answer is called. */
    onResize(listener: () => void): () => void;
    /** Has the terminal of standard input pass keys and output through unchanged; the answer puts it back. */
    raw(): () => void;
    /** Stops this program until whoever started it lets it go on, as control-Z does. */
    suspend(): void;
  };
  /** What is left of standard input, as it comes. */
  input(): AsyncIterable<Uint8Array>;
  /** All that is left of standard input. Throws `bad_parameter` when that is more than `most` bytes. */
  readAll(signal: AbortSignal, most?: number): Promise<Uint8Array>;
  /** Asks and reads one line. Throws when the input ends first. */
  ask(question: string, signal: AbortSignal): Promise<string>;
  /** Like `ask`, but what is typed is not shown on a terminal. */
  askSecret(question: string, signal: AbortSignal): Promise<string>;
}

/** Who runs the command, and where. */
export interface Machine {
  /** Effective user id; -1 where there are none. */
  readonly uid: number;
  /** `$HOME`, else the passwd entry. */
  readonly home: string;
  readonly hostname: string;
  /** The name of the user in the passwd database. */
  readonly user: string;
}

/** The streams and facts that an `Io` is made of. */
export interface World {
  readonly stdin: Readable & { isTTY?: boolean };
  readonly stdout: Writable & { isTTY?: boolean; columns?: number; rows?: number };
  readonly stderr: Writable & { isTTY?: boolean };
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly machine: Machine;
  /** Has the terminal of standard input pass keys and output through unchanged; the answer puts it back. */
  rawTerminal?(): () => void;
  /** Stops this program until it is told to go on. */
  suspend?(): void;
  /** The terminal the person sits at, for secrets; asked for only when standard input is a terminal. */
  openTerminal(): Promise<Terminal>;
}

/** A terminal that hands over each key and shows none of them. */
export interface Terminal extends AsyncDisposable {
  write(text: string): void;
  readonly keys: AsyncIterable<Uint8Array>;
}

export function makeIo(world: World): Io {
  let lines: Lines | undefined;
  const input = (): Lines => (lines ??= new Lines(world.stdin));
  return {
    out: (line) => void world.stdout.write(`${line}\n`),
    err: (line) => void world.stderr.write(`${line}\n`),
    env: world.env,
    machine: world.machine,
    // Looked at when it is needed: Node takes a while to open it.
    get stdin() {
      return world.stdin;
    },
    stdout: world.stdout,
    stderr: world.stderr,
    terminal: {
      get stdin() {
        return world.stdin.isTTY === true;
      },
      stdout: world.stdout.isTTY === true,
      stderr: world.stderr.isTTY === true,
      columns: world.stdout.columns,
      size: () => ({ columns: world.stdout.columns || 80, rows: world.stdout.rows || 24 }),
      onResize(listener) {
        world.stdout.on("resize", listener);
        return () => void world.stdout.removeListener("resize", listener);
      },
      raw: () => world.rawTerminal?.() ?? (() => {}),
      suspend: () => world.suspend?.(),
    },
    input: () => input().chunks(),
    readAll: (signal, most) => input().rest(signal, most),
    async ask(question, signal) {
      world.stderr.write(`${question} `);
      return input().line(signal);
    },
    async askSecret(question, signal) {
      // A pipe shows nothing that it carries, so there a line is a line.
      if (world.stdin.isTTY !== true) {
        world.stderr.write(`${question} `);
        return input().line(signal);
      }
      await using terminal = await world.openTerminal();
      // Awaited here: the terminal is given back only once the answer is there.
      return await typedSecret(terminal, question, signal);
    },
  };
}

const unanswered = (): Fault => new Fault("unreachable", "the input ended before the question was answered");

/** Reads keys up to Enter, as a terminal in cooked mode would: erase, kill line, interrupt, end of input. */
async function typedSecret(terminal: Terminal, question: string, signal: AbortSignal): Promise<string> {
  terminal.write(`${question} `);
  const typed: number[] = [];
  const keys = terminal.keys[Symbol.asyncIterator]();
  try {
    while (true) {
      const { done, value } = await unlessAborted(keys.next(), signal);
      if (done) throw unanswered();
      for (const key of value) {
        if (key === 0x0d || key === 0x0a) return new TextDecoder().decode(Uint8Array.from(typed));
        if (key === 0x03) throw new Fault("unreachable", "interrupted");
        if (key === 0x04 && typed.length === 0) throw unanswered();
        if (key === 0x15) typed.length = 0;
        else if (key === 0x7f || key === 0x08) eraseCharacter(typed);
        else typed.push(key);
      }
    }
  } finally {
    terminal.write("\r\n");
  }
}

/** What `work` comes to, or the signal's reason when that is first. */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** Takes one UTF-8 character off the end: its continuation bytes and the byte that began it. */
function eraseCharacter(bytes: number[]): void {
  while (bytes.length > 0 && ((bytes.pop() as number) & 0xc0) === 0x80);
}

/** Lines of a stream, one at a time; what was read too far is kept for the next. */
class Lines {
  readonly #stream: Readable;
  #chunks: AsyncIterator<Uint8Array | string> | undefined;
  #buffer = Buffer.alloc(0);

  constructor(stream: Readable) {
    this.#stream = stream;
  }

  async line(signal: AbortSignal): Promise<string> {
    while (true) {
      const end = this.#buffer.indexOf(0x0a);
      if (end >= 0) {
        const line = this.#buffer.subarray(0, end).toString("utf8");
        this.#buffer = this.#buffer.subarray(end + 1);
        return line.endsWith("\r") ? line.slice(0, -1) : line;
      }
      if (await this.#more(signal)) continue;
      if (this.#buffer.length === 0) throw unanswered();
      return (await this.rest(signal)).toString();
    }
  }

  async *chunks(): AsyncGenerator<Uint8Array> {
    const never = new AbortController().signal;
    do {
      const buffered = this.#buffer;
      this.#buffer = Buffer.alloc(0);
      if (buffered.length > 0) yield buffered;
    } while (await this.#more(never));
  }

  async rest(signal: AbortSignal, most = Number.POSITIVE_INFINITY): Promise<Buffer> {
    while (await this.#more(signal)) {
      if (this.#buffer.length > most)
        throw new Fault("bad_parameter", `standard input is longer than ${most >> 20} MiB`);
    }
    const all = this.#buffer;
    this.#buffer = Buffer.alloc(0);
    return all;
  }

  /** Whether there was another chunk. */
  async #more(signal: AbortSignal): Promise<boolean> {
    this.#chunks ??= this.#stream[Symbol.asyncIterator]() as AsyncIterator<Uint8Array | string>;
    const next = await unlessAborted(this.#chunks.next(), signal);
    if (next.done) return false;
    const chunk = typeof next.value === "string" ? Buffer.from(next.value) : next.value;
    this.#buffer = Buffer.concat([this.#buffer, chunk]);
    return true;
  }
}
