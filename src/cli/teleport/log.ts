import { createWriteStream, fstatSync, type WriteStream } from "node:fs";
import { stat } from "node:fs/promises";
import type { LogOutput } from "#config";
import { type Clock, type Millis, second } from "#core/clock";
import { Fault } from "#core/errors";
import type { Severity } from "#daemon";
import type { Io } from "../io.ts";
import { openSyslog } from "./syslog.ts";

/** Where the daemon's log lines go. Disposing it waits until all of them are written. */
export interface LogSink extends AsyncDisposable {
  readonly write: (line: string, severity: Severity) => void;
  /** Whether it adds time and severity by itself. */
  readonly stampsItself: boolean;
}

/** Opens what `log.output` names. A file is appended to. Throws when it cannot be opened. */
export async function openLogSink(output: LogOutput, io: Io, clock: Clock): Promise<LogSink> {
  if (output.to === "file") return await openFile(output.path, io, clock);
  if (output.to === "syslog") return await openSyslog({ instead: plainSink(io.stderr), err: io.err, clock });
  return plainSink(output.to === "stdout" ? io.stdout : io.stderr);
}

const plainSink = (stream: NodeJS.WritableStream): LogSink => ({
  write: (line) => void stream.write(line),
  stampsItself: false,
  [Symbol.asyncDispose]: async () => {},
});

/** A file that was moved or taken away, as logrotate does, is noticed after so long. */
const lookEvery: Millis = second;

async function openFile(path: string, io: Io, clock: Clock): Promise<LogSink> {
  let file = await appendTo(path, io);
  let looked = clock.now();
  const follow = async (): Promise<void> => {
    const there = await stat(path).catch(() => undefined);
    if (there && there.ino === file.ino && there.dev === file.dev) return;
    const before = file.stream;
    try {
      file = await appendTo(path, io);
      before.end();
    } catch (err) {
      io.err(`error: ${(err as Error).message}`);
    }
  };
  let following = Promise.resolve();
  return {
    write(line) {
      file.stream.write(line);
      if (clock.now() - looked < lookEvery) return;
      looked = clock.now();
      following = following.then(follow);
    },
    stampsItself: false,
    async [Symbol.asyncDispose]() {
      await following;
      const { stream } = file;
      if (!stream.destroyed) await new Promise<void>((done) => stream.end(() => done()));
    },
  };
}

interface LogFile {
  readonly stream: WriteStream;
  readonly ino: number;
  readonly dev: number;
}

function appendTo(path: string, io: Io): Promise<LogFile> {
  const stream = createWriteStream(path, { flags: "a", mode: 0o640 });
  return new Promise((resolve, reject) => {
    let open = false;
    stream.once("open", (fd) => {
      open = true;
      const { ino, dev } = fstatSync(fd);
      resolve({ stream, ino, dev });
    });
    stream.once("error", (cause) =>
      reject(new Fault("access_denied", `cannot write the log to ${path}: ${cause.message}`, { cause })),
    );
    // A full disk must not stop the daemon, and the operator must not be left without its words.
    stream.on("error", (err) => {
      if (open) io.err(`error: cannot write the log to ${path}: ${err.message}`);
    });
  });
}
