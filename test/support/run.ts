import { spawn } from "node:child_process";

export interface RunOptions {
  readonly cwd?: string;
  /** Added to the environment of this process; undefined takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Its standard input; nothing when left out. */
  readonly input?: string | Uint8Array;
  /** Milliseconds until it is killed; default one minute. */
  readonly timeout?: number;
}

export interface Ran {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly out: string;
  readonly err: string;
}

/** Runs a program to its end and collects what it wrote. Rejects only when it cannot be started. */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ["pipe", "pipe", "pipe"],
    timeout: options.timeout ?? 60_000,
    killSignal: "SIGKILL",
  });
  const out: Uint8Array[] = [];
  const err: Uint8Array[] = [];
  child.stdout.on("data", (chunk: Uint8Array) => out.push(chunk));
  child.stderr.on("data", (chunk: Uint8Array) => err.push(chunk));
  child.stdin.on("error", () => {}); // one that ends early leaves its input unread
  child.stdin.end(options.input);
  child.once("exit", (_code, signal) => {
    if (signal !== "SIGKILL") return;
    // Its own children may live on and hold its outputs open.
    child.stdout.destroy();
    child.stderr.destroy();
  });
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (...end) => resolve(end));
  });
  return { code, signal, out: Buffer.concat(out).toString(), err: Buffer.concat(err).toString() };
}

/** As `run`, for steps of which the test assumes that they work: throws with what the program said when it fails. */
export async function mustRun(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const { code, signal, out, err } = await run(command, args, options);
  if (code === 0) return out;
  throw new Error(`${[command, ...args].join(" ")} ended with ${signal ?? code}\n${out}${err}`);
}
