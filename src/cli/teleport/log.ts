import { once } from "node:events";
import { createWriteStream } from "node:fs";
import type { LogOutput } from "#config";
import { Fault } from "#core/errors";
import type { Io } from "../io.ts";

/** Where the daemon's log lines go. Disposing it waits until all of them are written. */
export interface LogSink extends AsyncDisposable {
  write(line: string): void;
}

/** Opens what `log.output` names. A file is appended to. Throws when it cannot be opened. */
export async function openLogSink(output: LogOutput, io: Io): Promise<LogSink> {
  if (output.to === "file") return openFile(output.path, io);
  // Without a way to the system log the lines must not get lost (CFG-20).
  if (output.to === "syslog")
    io.err("error: the system log cannot be reached; the log goes to standard error");
  const stream = output.to === "stdout" ? io.stdout : io.stderr;
  return { write: (line) => void stream.write(line), [Symbol.asyncDispose]: async () => {} };
}

async function openFile(path: string, io: Io): Promise<LogSink> {
  const stream = createWriteStream(path, { flags: "a", mode: 0o640 });
  try {
    await once(stream, "open");
  } catch (cause) {
    throw new Fault("access_denied", `cannot write the log to ${path}: ${(cause as Error).message}`, {
      cause,
    });
  }
  // A full disk must not stop the daemon, and the operator must not be left without its words.
  stream.on("error", (err) => io.err(`error: cannot write the log to ${path}: ${err.message}`));
  return {
    write: (line) => void stream.write(line),
    async [Symbol.asyncDispose]() {
      if (!stream.destroyed) await new Promise<void>((done) => stream.end(() => done()));
    },
  };
}
