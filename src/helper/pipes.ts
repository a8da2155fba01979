import { execFile } from "node:child_process";
import { closeSync, constants, promises as fs, openSync, unlinkSync } from "node:fs";
import { Socket } from "node:net";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { promisify } from "node:util";
import { trustedEnv } from "./account.ts";
import { type Output, PipeOutput } from "./output.ts";

/** Three pipes to a command that is about to start. */
export interface Stdio<Out extends Output = Readable> {
  readonly stdin: Writable;
  readonly stdout: Out;
  readonly stderr: Readable;
  /** Where the command's side is to be opened, by root. */
  readonly paths: { readonly stdin: string; readonly stdout: string; readonly stderr: string };
  /** To be called once the other side has opened its ends, or will not: from then on EOF is EOF. */
  opened(): void;
}

/** Made at once: one run of mkfifo serves this many commands. */
const batch = 16;

/**
 * Real pipes for commands. Node gives children sockets, which cannot be opened again as /dev/stdin or /dev/stderr, so
 * scripts that do would break. They are named pipes in a folder that only the daemon can enter, unlinked at their use.
 */
export class Pipes {
  readonly #dir: string;
  #ready: string[] = [];
  #made = 0;
  #making: Promise<void> | undefined;

  /** `dir` is ours alone: it is emptied here and made with mode 0700. */
  constructor(dir: string) {
    this.#dir = dir;
  }

  take(): Promise<Stdio> {
    return this.#take((fd) => stream(fd, false));
  }

  /** For much output that nobody keeps, see `PipeOutput`. */
  takeForBulk(): Promise<Stdio<PipeOutput>> {
    return this.#take((fd) => new PipeOutput(fd));
  }

  async #take<Out extends Output>(output: (fd: number) => Out): Promise<Stdio<Out>> {
    while (this.#ready.length < 3) {
      this.#making ??= this.#make().finally(() => {
        this.#making = undefined;
      });
      await this.#making;
    }
    const [stdin, stdout, stderr] = this.#ready.splice(-3) as [string, string, string];
    const paths = { stdin, stdout, stderr };
    const all = Object.values(paths);
    // Holding both ends keeps either side from seeing EOF before the other has opened its end.
    const held = all.map((path) => openSync(path, constants.O_RDWR | constants.O_NONBLOCK));
    const [into, out, err] = all.map((path) =>
      openSync(path, (path === stdin ? constants.O_WRONLY : constants.O_RDONLY) | constants.O_NONBLOCK),
    ) as [number, number, number];
    return {
      stdin: stream(into, true),
      stdout: output(out),
      stderr: stream(err, false),
      paths,
      opened() {
        for (const fd of held.splice(0)) closeSync(fd);
        for (const path of all.splice(0)) unlinkSync(path);
      },
    };
  }

  async #make(): Promise<void> {
    if (this.#made === 0) {
      await fs.rm(this.#dir, { recursive: true, force: true });
      await fs.mkdir(this.#dir, { recursive: true, mode: 0o700 });
    }
    const names = Array.from({ length: 3 * batch }, () => join(this.#dir, String(this.#made++)));
    await promisify(execFile)("mkfifo", ["-m", "600", "--", ...names], { env: trustedEnv });
    this.#ready.push(...names);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#making?.catch(() => {});
    await fs.rm(this.#dir, { recursive: true, force: true });
  }
}

const stream = (fd: number, writable: boolean): Socket =>
  // Who reads or writes hears of a broken pipe; without a listener it would end the process.
  new Socket({ fd, readable: !writable, writable }).on("error", () => {});
