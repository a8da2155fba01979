import { type ChildProcess, spawn } from "node:child_process";
import type { Duplex, Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { Fault } from "#core/errors";
import type { Account } from "./account.ts";
import { trustedEnv } from "./account.ts";
import { lines } from "./lines.ts";
import type { Output } from "./output.ts";
import type { Pipes, Stdio } from "./pipes.ts";

/** How a process ended: by itself with a code, or by a signal, named as RFC 4254 §6.10 does (without SIG). */
export type Exit = { readonly code: number } | { readonly signal: string };

/** A process of a login that talks over pipes. */
export interface Running<Out extends Output = Readable>
  extends Pick<Stdio<Out>, "stdin" | "stdout" | "stderr"> {
  readonly pid: number;
  readonly exit: Promise<Exit>;
  /** To everything in the session that the process leads; nothing once it has ended. */
  kill(signal: NodeJS.Signals): void;
}

export type SpawnerRequest =
  | {
      readonly id: number;
      readonly start: {
        readonly file: string;
        readonly args: readonly string[];
        readonly env: Readonly<Record<string, string>>;
        readonly stdin: string;
        readonly stdout: string;
        readonly stderr: string;
        /** Who the pipes are given to; null leaves them ours. */
        readonly owner: { readonly uid: number; readonly gid: number } | null;
      };
    }
  | { readonly id: number; readonly signal: NodeJS.Signals };

export type SpawnerAnswer =
  | { readonly id: number; readonly pid: number }
  | { readonly id: number; readonly error: string }
  | { readonly id: number; readonly code: number | null; readonly signal: NodeJS.Signals | null };

interface Waiting {
  readonly started: PromiseWithResolvers<number>;
  readonly exit: PromiseWithResolvers<Exit>;
}

/** The daemon's end of `spawner.ts`. The process is started at the first use, and again should it die. */
export class Spawner implements AsyncDisposable {
  readonly #pipes: Pipes;
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;
  #process: ChildProcess | undefined;

  constructor(parts: { pipes: Pipes }) {
    this.#pipes = parts.pipes;
  }

  /**
   * Starts `file` as the leader of its own session, with pipes that belong to `owner`.
   * Rejects with `internal` when it cannot be started.
   */
  async start(
    file: string,
    args: readonly string[],
    env: Readonly<Record<string, string>>,
    owner: Account | undefined,
  ): Promise<Running> {
    const stdio = await this.#pipes.take();
    const id = ++this.#lastId;
    const waiting: Waiting = { started: Promise.withResolvers(), exit: Promise.withResolvers() };
    this.#waiting.set(id, waiting);
    const { stdin, stdout, stderr } = stdio.paths;
    const to = owner === undefined ? null : { uid: owner.uid, gid: owner.gid };
    try {
      this.#send({ id, start: { file, args, env, stdin, stdout, stderr, owner: to } });
      const pid = await waiting.started.promise;
      return {
        pid,
        stdin: stdio.stdin,
        stdout: stdio.stdout,
        stderr: stdio.stderr,
        exit: waiting.exit.promise,
        kill: (signal) => {
          if (this.#waiting.has(id)) this.#send({ id, signal });
        },
      };
    } catch (err) {
      for (const stream of [stdio.stdin, stdio.stdout, stdio.stderr]) stream.destroy();
      throw err;
    } finally {
      stdio.opened();
    }
  }

  /** Ends the process and with it everything it runs: HUP, and KILL two seconds later. */
  async [Symbol.asyncDispose](): Promise<void> {
    const process = this.#process;
    if (process === undefined || process.exitCode !== null || process.signalCode !== null) return;
    const ended = new Promise((resolve) => process.once("exit", resolve));
    (process.stdio[3] as Duplex).end();
    await ended;
  }

  #send(request: SpawnerRequest): void {
    this.#process ??= this.#launch();
    (this.#process.stdio[3] as Duplex).write(`${JSON.stringify(request)}\n`);
  }

  #launch(): ChildProcess {
    const child = spawn(process.execPath, [...quiet, entry("spawner")], {
      stdio: ["ignore", "ignore", "ignore", "pipe"],
      env: helperEnv,
      cwd: "/",
      detached: true,
    });
    const socket = child.stdio[3] as Duplex;
    const gone = (): void => {
      if (this.#process !== child) return;
      this.#process = undefined;
      for (const { started, exit } of this.#waiting.values()) {
        started.reject(new Fault("internal", "the process that starts commands on this machine ended"));
        exit.resolve({ signal: "KILL" });
      }
      this.#waiting.clear();
    };
    child.once("error", gone);
    child.once("exit", gone);
    socket.on("error", gone);
    void this.#listen(socket).catch(gone);
    return child;
  }

  async #listen(socket: Duplex): Promise<void> {
    for await (const line of lines(socket)) {
      const answer = JSON.parse(line) as SpawnerAnswer;
      const waiting = this.#waiting.get(answer.id);
      if (waiting === undefined) continue;
      if ("pid" in answer) waiting.started.resolve(answer.pid);
      else {
        this.#waiting.delete(answer.id);
        if ("error" in answer) waiting.started.reject(new Fault("internal", answer.error));
        else waiting.exit.resolve(exitOf(answer.code, answer.signal));
      }
    }
  }
}

export const exitOf = (code: number | null, signal: NodeJS.Signals | null): Exit =>
  signal === null ? { code: code ?? 255 } : { signal: signal.replace(/^SIG/, "") };

/** Flags of a Node that is a helper: it says nothing of its own. */
export const quiet: readonly string[] = ["--disable-warning=ExperimentalWarning", "--no-deprecation"];
/** A helper's own environment: never the daemon's, never a user's (S54). */
export const helperEnv: Readonly<Record<string, string>> = { ...trustedEnv, UV_USE_IO_URING: "0" };
/** The file that a helper process runs. */
export const entry = (name: "spawner" | "login" | "socket-server"): string =>
  fileURLToPath(new URL(`./${name}${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url));
