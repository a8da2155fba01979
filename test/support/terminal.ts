import { type IPty, spawn } from "@lydell/node-pty";
import type { RunOptions } from "./run.ts";

/** A program in a terminal of its own, as somebody at the keyboard sees it. */
export class Terminal implements AsyncDisposable {
  readonly #pty: IPty;
  readonly #closed: Promise<number>;
  readonly #name: string;
  #shown = "";
  #read = 0;
  #over = false;
  #onChange = Promise.withResolvers<void>();

  constructor(
    command: string,
    args: readonly string[],
    options: Pick<RunOptions, "env" | "cwd"> & { readonly cols?: number; readonly rows?: number } = {},
  ) {
    this.#name = [command, ...args].join(" ");
    this.#pty = spawn(command, [...args], {
      cols: options.cols ?? 80,
      rows: options.rows ?? 24,
      name: "xterm",
      cwd: options.cwd ?? process.cwd(),
      // It would pass a variable that is undefined on as that word.
      env: Object.fromEntries(
        Object.entries({ ...process.env, ...options.env }).filter(([, value]) => value !== undefined),
      ),
    });
    this.#pty.onData((text) => this.#change(text));
    this.#closed = new Promise((resolve) => {
      this.#pty.onExit(({ exitCode }) => {
        this.#over = true;
        this.#change("");
        resolve(exitCode);
      });
    });
  }

  /** All that it showed so far. */
  get shown(): string {
    return this.#shown;
  }

  type(keys: string): void {
    this.#pty.write(keys);
  }

  resize(cols: number, rows: number): void {
    this.#pty.resize(cols, rows);
  }

  /** The next match of `pattern` behind the last one; rejects with all it showed when there is none within half a minute. */
  async sees(pattern: RegExp, timeout = 30_000): Promise<RegExpExecArray> {
    const late = AbortSignal.timeout(timeout);
    const { promise: over, resolve } = Promise.withResolvers<void>();
    late.addEventListener("abort", () => resolve(), { once: true });
    for (;;) {
      const found = pattern.exec(this.#shown.slice(this.#read));
      if (found) {
        this.#read += found.index + found[0].length;
        return found;
      }
      if (this.#over || late.aborted) {
        const why = this.#over ? "ended" : `went on for ${timeout} ms`;
        throw new Error(`${this.#name} ${why} without ${pattern}; it showed:\n${this.#shown}`);
      }
      await Promise.race([this.#onChange.promise, over]);
    }
  }

  /** Its exit code, once it has ended. */
  ended(): Promise<number> {
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#over) this.#pty.kill("SIGKILL");
    await this.#closed;
  }

  #change(text: string): void {
    this.#shown += text;
    this.#onChange.resolve();
    this.#onChange = Promise.withResolvers();
  }
}
