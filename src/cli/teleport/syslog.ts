import { spawn } from "node:child_process";
import { once } from "node:events";
import { stat } from "node:fs/promises";
import type { Writable } from "node:stream";
import { type Clock, type Millis, minute } from "#core/clock";
import type { Severity } from "#daemon";
import type { LogSink } from "./log.ts";

/** RFC 5424 §6.2.1: the facility `daemon`, and how bad it is. */
const priorities: Readonly<Record<Severity, number>> = {
  error: 3 * 8 + 3,
  warn: 3 * 8 + 4,
  info: 3 * 8 + 6,
  debug: 3 * 8 + 7,
};

/** After a failure the system log is tried again, with a line for it, not before. */
const retryAfter: Millis = minute;

export interface SyslogOptions {
  /** Where the lines go that cannot be given to the system log (CFG-20). */
  readonly instead: LogSink;
  /** A line to the operator. */
  readonly err: (line: string) => void;
  readonly clock: Clock;
  /** The system log's datagram socket. */
  readonly socket?: string;
}

/**
 * The system log of this machine, by logger(1) of util-linux, for Node opens no Unix datagram sockets. Where there is none
 * the operator is told and the lines go elsewhere: it is tried again from time to time.
 */
export async function openSyslog({ socket = "/dev/log", ...options }: SyslogOptions): Promise<LogSink> {
  const { instead, err, clock } = options;
  let logger: Logger | undefined;
  let opening: Promise<void> | undefined;
  let failed = Number.NEGATIVE_INFINITY;
  const waiting: [string, Severity][] = [];

  const fail = (why: string): void => {
    logger = undefined;
    failed = clock.now();
    err(`error: the system log cannot be reached: ${why}; the log goes to standard error`);
  };
  const open = async (): Promise<void> => {
    try {
      if (!(await stat(socket)).isSocket()) throw new Error(`${socket} is no socket`);
      logger = await startLogger(socket, fail);
    } catch (cause) {
      const missing = (cause as NodeJS.ErrnoException).code === "ENOENT";
      fail(missing ? `there is no ${socket} or no program logger` : (cause as Error).message);
    }
    opening = undefined;
    for (const [line, severity] of waiting.splice(0)) write(line, severity);
  };
  const write = (line: string, severity: Severity): void => {
    if (logger) logger.input.write(`<${priorities[severity]}>${line}`);
    else if (opening !== undefined) waiting.push([line, severity]);
    else {
      instead.write(line, severity);
      if (clock.now() - failed >= retryAfter) opening = open();
    }
  };
  await open();
  return {
    write,
    stampsItself: true,
    async [Symbol.asyncDispose]() {
      await opening;
      await logger?.end();
    },
  };
}

interface Logger {
  readonly input: Writable;
  /** Resolves when it has passed on all that it was given. */
  end(): Promise<void>;
}

async function startLogger(socket: string, onEnd: (why: string) => void): Promise<Logger> {
  const child = spawn(
    "logger",
    [
      ...["--socket", socket, "--socket-errors=on", "--tag", "teleport", `--id=${process.pid}`],
      ...["--prio-prefix", "--size", "16KiB"],
    ],
    // Ctrl-C in a terminal is for the daemon, which still has something to say then.
    { stdio: ["pipe", "ignore", "pipe"], detached: true },
  );
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => {
    said = chunk.toString().trim();
  });
  child.stdin.on("error", () => {}); // its end is told below
  await once(child, "spawn");
  let wanted = false;
  const closed = new Promise<void>((resolve) => {
    child.once("close", (code) => {
      if (!wanted) onEnd(said || `logger ended with ${code}`);
      resolve();
    });
  });
  child.on("error", () => {}); // of a signal to it; there is none
  return {
    input: child.stdin,
    end() {
      wanted = true;
      child.stdin.end();
      return closed;
    },
  };
}
