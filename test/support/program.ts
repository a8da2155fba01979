import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import type { RunOptions } from "./run.ts";

/** A program that goes on in the background until it is disposed of; nobody has to guess when it is ready. */
export class Program implements AsyncDisposable {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #closed: Promise<void>;
  readonly #name: string;
  #said = "";
  #ended = false;
  #onChange = Promise.withResolvers<void>();

  private constructor(name: string, child: ChildProcessWithoutNullStreams) {
    this.#name = name;
    this.#child = child;
    const keep = (chunk: Buffer): void => this.#change(chunk.toString());
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    child.stdin.on("error", () => {}); // one that ends early leaves its input unread
    this.#closed = new Promise<void>((resolve) => child.once("close", () => resolve())).then(() => {
      this.#ended = true;
      this.#change("");
    });
  }

  /** Rejects when the program cannot be started. With `input` its standard input ends behind it, else it stays open. */
  static async start(
    command: string,
    args: readonly string[],
    options: Omit<RunOptions, "timeout"> = {},
  ): Promise<Program> {
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    const program = new Program([command, ...args].join(" "), child);
    await once(child, "spawn");
    if (options.input !== undefined) child.stdin.end(options.input);
    return program;
  }

  get pid(): number {
    return this.#child.pid as number;
  }
  /** Both of its outputs so far, as they came. */
  get said(): string {
    return this.#said;
  }

  get hasEnded(): boolean {
    return this.#ended;
  }

  write(input: string | Uint8Array): void {
    this.#child.stdin.write(input);
  }

  /**
   * The first match of `pattern` in what it has said or will say. Rejects with all it said when it ends without, or when
   * `timeout` (milliseconds, default half a minute) is over. Output may come in pieces: end a pattern at a border, `$` with `m`
   * is none.
   */
  async line(pattern: RegExp, timeout = 30_000): Promise<RegExpExecArray> {
    const late = AbortSignal.timeout(timeout);
    const { promise: over, resolve } = Promise.withResolvers<void>();
    late.addEventListener("abort", () => resolve(), { once: true });
    for (;;) {
      const found = pattern.exec(this.#said);
      if (found) return found;
      if (this.#ended || late.aborted) {
        const why = this.#ended ? "ended" : `went on for ${timeout} ms`;
        throw new Error(`${this.#name} ${why} without ${pattern}; it said:\n${this.#said}`);
      }
      await Promise.race([this.#onChange.promise, over]);
    }
  }

  kill(signal: NodeJS.Signals = "SIGTERM"): void {
    this.#child.kill(signal);
  }

  /** Resolves once it has ended by itself or by `kill`: its exit code, or null when a signal ended it. */
  async ended(): Promise<number | null> {
    await this.#closed;
    return this.#child.exitCode;
  }

  /** Ends it politely, after five seconds by force. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const force = AbortSignal.timeout(5000);
      force.addEventListener("abort", () => this.kill("SIGKILL"), { once: true });
      this.kill("SIGTERM");
    }
    // A child of its own may hold its outputs open after it: these are closed here, not waited for.
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, "exit");
    this.#child.stdout.destroy();
    this.#child.stderr.destroy();
    await this.#closed;
  }

  #change(text: string): void {
    this.#said += text;
    this.#onChange.resolve();
    this.#onChange = Promise.withResolvers();
  }
}
