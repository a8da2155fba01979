import { type ChildProcess, spawn } from "node:child_process";
import type { Duplex } from "node:stream";
import { Fault } from "#core/errors";
import type { Account } from "./account.ts";
import { lines } from "./lines.ts";
import { type Exit, entry, exitOf, helperEnv, quiet } from "./spawn.ts";

/** What one session wants from `login.ts`. */
export interface LoginOrder {
  readonly account: Account;
  /** Whether to switch to the login: not when we run as it already (SSH-11). */
  readonly become: boolean;
  readonly stdio:
    | {
        readonly tty: string;
        /** Arguments of stty(1). */
        readonly modes: readonly string[];
        /** Group `tty` of this machine, null when there is none. */
        readonly ttyGroup: number | null;
      }
    | { readonly stdin: string; readonly stdout: string; readonly stderr: string };
  /**
   * `program`: execute `file` with `args`, argv[0] first. `scp`: serve scp with these arguments, no program. `sftp`: serve
   * SFTP.
   */
  readonly run: "program" | "scp" | "sftp";
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** A process that has taken an order. */
export interface LoggedIn {
  readonly pid: number;
  readonly exit: Promise<Exit>;
  /** What it tells beside its output, e.g. files copied by scp or SFTP; ends early when a program was executed. */
  readonly reports: AsyncIterable<unknown>;
  /** To everything in the session that the process leads; nothing once it has ended. */
  kill(signal: NodeJS.Signals): void;
}

/**
 * Keeps a few `login.ts` processes started, so that a session does not wait for Node. They end with the daemon, however
 * it ends: they wait for a line on a socket whose other end it holds.
 */
export class Logins implements AsyncDisposable {
  readonly #size: number;
  #warm: ChildProcess[] = [];
  #closed = false;

  /** `size`: how many to keep ready. */
  constructor({ size }: { size: number }) {
    this.#size = size;
  }

  /** Starts the processes that are missing. */
  warm(): void {
    while (!this.#closed && this.#warm.length < this.#size) this.#warm.push(this.#launch());
  }

  /** Resolves when the program runs (or scp serves); rejects with `internal` when the login could not be entered. */
  async start(order: LoginOrder): Promise<LoggedIn> {
    if (this.#closed) throw new Fault("unreachable", "this node is stopping");
    const child = this.#warm.shift() ?? this.#launch();
    child.removeAllListeners("exit");
    const exit = new Promise<Exit>((resolve) => {
      child.once("exit", (code, signal) => resolve(exitOf(code, signal)));
      child.once("error", () => resolve({ code: 255 }));
    });
    const socket = child.stdio[3] as Duplex;
    const told = lines(socket);
    socket.write(`${JSON.stringify(order)}\n`);
    setImmediate(() => this.warm());
    // A program that runs has closed the socket; a server of ours says so.
    const { done, value } = await told.next();
    const first = done ? {} : (JSON.parse(value) as { error?: string });
    if (first.error !== undefined || child.pid === undefined) {
      throw new Fault("internal", `the login could not be entered: ${first.error ?? "no process"}`);
    }
    return {
      pid: child.pid,
      exit,
      reports: parsed(told),
      kill(signal) {
        if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
        try {
          process.kill(-child.pid, signal);
        } catch {
          // Gone in the meantime.
        }
      },
    };
  }

  #launch(): ChildProcess {
    const child = spawn(process.execPath, [...quiet, entry("login")], {
      stdio: ["ignore", "ignore", "ignore", "pipe"],
      env: helperEnv,
      cwd: "/",
      detached: true,
    });
    const forget = (): void => {
      this.#warm = this.#warm.filter((other) => other !== child);
    };
    child.once("exit", forget);
    child.on("error", forget);
    // Its death is told by `exit`.
    child.stdio[3]?.on("error", () => {});
    return child;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    const ending = this.#warm.splice(0).map(async (child) => {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      (child.stdio[3] as Duplex).destroy();
      if (child.exitCode === null && child.signalCode === null) await ended;
    });
    await Promise.all(ending);
  }
}

async function* parsed(text: AsyncIterable<string>): AsyncGenerator<unknown> {
  for await (const line of text) yield JSON.parse(line) as unknown;
}
