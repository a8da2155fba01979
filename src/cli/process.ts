import { execFileSync } from "node:child_process";
import { openSync } from "node:fs";
import { homedir, hostname, userInfo } from "node:os";
import { ReadStream } from "node:tty";
import { Fault } from "#core/errors";
import type { Program } from "./command.ts";
import { debugging, report } from "./errors.ts";
import { makeIo, type Terminal } from "./io.ts";
import { runProgram } from "./parse.ts";

/** Runs a tool on the process's own command line and ends the process with its exit code. */
export async function main(program: Program): Promise<never> {
  const argv = process.argv.slice(2);
  const io = makeIo({
    get stdin() {
      return process.stdin;
    },
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    machine: { uid: process.geteuid?.() ?? -1, home: home(), hostname: hostname(), user: userName() },
    rawTerminal,
    // The whole job, as the terminal would: whatever started us in it is to stop too.
    suspend: () => void process.kill(0, "SIGTSTP"),
    openTerminal,
  });
  // The reader of a pipe may have seen enough (`tctl get users | head -1`); that is no error of ours.
  process.stdout.on("error", (err: NodeJS.ErrnoException) => {
    // A command that goes on without its readers, as a daemon does, listens itself.
    if (process.stdout.listenerCount("error") === 1) process.exit(err.code === "EPIPE" ? 0 : 1);
  });
  // There is nobody left to tell.
  process.stderr.on("error", () => {});
  // Node would print the stack to people who did not ask for it.
  const surprised = (err: unknown): never =>
    process.exit(report(unexpected(err), io, debugging(argv, io.env)));
  process.on("uncaughtException", surprised);
  process.on("unhandledRejection", surprised);
  const stop = new AbortController();
  let stoppedBy = 0;
  for (const [name, number] of [
    ["SIGINT", 2],
    ["SIGTERM", 15],
  ] as const) {
    process.on(name, () => {
      // Who says it twice does not want to wait for a tidy end.
      if (stop.signal.aborted) process.exit(128 + number);
      stoppedBy = number;
      stop.abort();
    });
  }
  let code: number;
  try {
    code = await runProgram(program, argv, io, stop.signal);
  } catch (err) {
    // Who interrupts a command knows why it ended.
    code = stop.signal.aborted ? 128 + stoppedBy : report(err, io, debugging(argv, io.env));
  }
  await Promise.all([flushed(process.stdout), flushed(process.stderr)]);
  process.exit(code);
}

const unexpected = (cause: unknown): Fault =>
  new Fault(
    "internal",
    `this should not have happened: ${cause instanceof Error ? cause.message : String(cause)}; -d shows where`,
    { cause },
  );

/** A user id without an entry has no home either when `$HOME` does not name one. */
function home(): string {
  try {
    return homedir();
  } catch {
    return "/";
  }
}

/** A user id without an entry has no name; then what asks for one names the flag to give. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return "";
  }
}

const flushed = (stream: NodeJS.WriteStream): Promise<void> =>
  new Promise((resolve) => {
    if (stream.destroyed) resolve();
    else stream.write("", () => resolve());
  });

function rawTerminal(): () => void {
  process.stdin.setRawMode(true);
  try {
    // Node leaves the terminal putting CR before each LF, which full-screen programs on the other side do not expect.
    execFileSync("stty", ["-opost"], { stdio: ["inherit", "ignore", "ignore"] });
  } catch {
    // No stty: all but such programs looks right.
  }
  return () => void process.stdin.setRawMode(false);
}

/** The terminal that the process was started from, whatever standard output is. */
async function openTerminal(): Promise<Terminal> {
  const keys = new ReadStream(openTty());
  keys.setRawMode(true);
  return {
    keys,
    write: (text) => void process.stderr.write(text),
    async [Symbol.asyncDispose]() {
      keys.setRawMode(false);
      keys.destroy();
    },
  };
}

function openTty(): number {
  try {
    return openSync("/dev/tty", "r+");
  } catch (cause) {
    throw new Fault("unreachable", "there is no terminal to ask for a secret at", { cause });
  }
}
