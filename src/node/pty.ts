import { closeSync } from "node:fs";
import { createRequire } from "node:module";
import { ReadStream } from "node:tty";
import { Fault } from "#core/errors";

/** Columns and rows. */
export interface Size {
  readonly columns: number;
  readonly rows: number;
}

/** A pseudo-terminal, our side. */
export interface Pty {
  /** The other side, e.g. `/dev/pts/3`. */
  readonly path: string;
  /** What programs write to the terminal, until the last of them has closed it. */
  readonly output: AsyncIterable<Uint8Array>;
  /** Resolves when the terminal has taken it all; nothing once it is closed. */
  write(bytes: Uint8Array): Promise<void>;
  resize(size: Size): void;
  /** Lets go of the other side: from now on only programs hold it, and `output` ends with the last of them. */
  release(): void;
  /** Hangs up: its programs get SIGHUP. */
  close(): void;
}

/** The part of the pty library that opens a terminal without starting anything on it. */
interface Native {
  open(columns: number, rows: number): { master: number; slave: number; pty: string };
  resize(fd: number, columns: number, rows: number): void;
}

let native: Native | undefined;

/** Throws `internal` when this machine has no terminal left, or the library does not load. */
export function openPty(size: Size): Pty {
  try {
    native ??= load();
    const { master, slave, pty } = native.open(size.columns, size.rows);
    return new OpenPty(native, master, slave, pty);
  } catch (cause) {
    throw new Fault("internal", "this node cannot open a terminal", { cause });
  }
}

/** Its public `spawn` neither sets groups nor keeps output that is read late, and its children inherit every terminal. */
function load(): Native {
  const require = createRequire(import.meta.url);
  const { requireBinary } = require("@lydell/node-pty/requireBinary") as {
    requireBinary(file: string): Native;
  };
  return requireBinary("pty.node");
}

class OpenPty implements Pty {
  readonly path: string;
  readonly #native: Native;
  readonly #master: number;
  readonly #stream: ReadStream;
  #slave: number | undefined;

  constructor(native: Native, master: number, slave: number, path: string) {
    this.#native = native;
    this.#master = master;
    this.#slave = slave;
    this.path = path;
    this.#stream = new ReadStream(master);
    // Reading says so too; without a listener a write to a dead terminal would end the process.
    this.#stream.on("error", () => {});
  }

  get output(): AsyncIterable<Uint8Array> {
    return untilHangup(this.#stream);
  }

  write(bytes: Uint8Array): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    if (this.#stream.destroyed) resolve();
    else this.#stream.write(bytes, () => resolve());
    return promise;
  }

  resize({ columns, rows }: Size): void {
    if (!this.#stream.destroyed) this.#native.resize(this.#master, columns, rows);
  }

  release(): void {
    if (this.#slave !== undefined) closeSync(this.#slave);
    this.#slave = undefined;
  }

  close(): void {
    this.release();
    this.#stream.destroy();
  }
}

async function* untilHangup(stream: ReadStream): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of stream) yield chunk as Uint8Array;
  } catch (err) {
    // Linux tells a terminal's end as an I/O error.
    if (
      !(
        err instanceof Error &&
        "code" in err &&
        (err.code === "EIO" || err.code === "ERR_STREAM_PREMATURE_CLOSE")
      )
    )
      throw err;
  }
}
