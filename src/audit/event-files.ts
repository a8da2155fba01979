import { constants } from "node:fs";
import {
  chmod,
  chown,
  type FileHandle,
  mkdir,
  open,
  readFile,
  rename,
  stat,
  symlink,
} from "node:fs/promises";
import { join } from "node:path";
import type { Clock, Millis } from "#core/clock";
import { Fault } from "#core/errors";
import type { Log } from "#core/log";
import type { AuditEvent } from "#events";
import { keptIn } from "./kept.ts";
import { dayFile, maxLine, searchFiles } from "./search.ts";
import type { EventStore, Found, Query } from "./store.ts";

interface Options {
  readonly clock: Clock;
  readonly log: Log;
  /** Group that may read the files, see `admGroup`. */
  readonly group?: number;
}

interface Waiting {
  readonly line: Uint8Array;
  readonly time: Millis;
  readonly kept: () => void;
  readonly lost: (err: unknown) => void;
}

interface OpenFile {
  readonly path: string;
  readonly handle: FileHandle;
  /** The file ends in the middle of a line. */
  torn: boolean;
}

/**
 * Events as JSON lines in one file per UTC day of the events' own time, `YYYY-MM-DD.00:00:00.log`. Several processes, also of several hosts
 * on a shared file system, may write the same files: each event is one append. Events of the same moment share one fsync.
 */
export class EventFiles implements EventStore {
  readonly uri: string;
  readonly #folder: string;
  readonly #options: Options;
  #waiting: Waiting[] = [];
  #writing: Promise<void> | undefined;
  #current: OpenFile | undefined;

  /** Makes the folder, with mode 0770, when it is absent. */
  static async open(folder: string, options: Options): Promise<EventFiles> {
    if (await mkdir(folder, { recursive: true, mode: 0o770 })) {
      await chmod(folder, 0o770);
      if (options.group !== undefined) await chown(folder, -1, options.group);
    }
    return new EventFiles(folder, options);
  }

  private constructor(folder: string, options: Options) {
    this.uri = `file://${folder}`;
    this.#folder = folder;
    this.#options = options;
  }

  /** Resolves when the event is on disk. Throws `unreachable` when it cannot be written. */
  append(event: AuditEvent): Promise<void> {
    const line = Buffer.from(`${JSON.stringify(event)}\n`);
    if (line.length > maxLine)
      return Promise.reject(
        new Fault(
          "bad_parameter",
          `an audit event of ${line.length} bytes is too long; ${maxLine} are possible`,
        ),
      );
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting.push({ line, time: Date.parse(event.time), kept: resolve, lost: reject });
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined;
    });
    return promise;
  }

  get openFiles(): number {
    return this.#current === undefined ? 0 : 1;
  }

  search(query: Query): Promise<Found> {
    return searchFiles(this.#folder, query);
  }

  kept(events: readonly AuditEvent[]): Promise<ReadonlySet<string>> {
    return keptIn(this.#folder, events, this.#options.clock.now());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writing;
    await this.#current?.handle.close();
    this.#current = undefined;
  }

  async #write(): Promise<void> {
    // Whoever else emits at this moment comes along; while it is written, the next batch gathers.
    await new Promise<void>((resolve) => setImmediate(resolve));
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, 1000);
      // A sender whose clock is ahead does not open tomorrow's file.
      const now = this.#options.clock.now();
      const days = Map.groupBy(batch, ({ time }) => dayFile(Math.min(time, now)));
      for (const [name, events] of [...days].sort()) await this.#writeDay(name, events);
    }
  }

  async #writeDay(name: string, events: readonly Waiting[]): Promise<void> {
    const written: Waiting[] = [];
    const fault = (err: unknown): Fault =>
      new Fault("unreachable", `the audit log ${join(this.#folder, name)} cannot be written: ${why(err)}`, {
        cause: err,
      });
    try {
      const file = await this.#open(name);
      for (const event of events) {
        try {
          await writeLine(file, event.line);
          written.push(event);
        } catch (err) {
          event.lost(fault(err));
        }
      }
      await file.handle.datasync();
      for (const event of written) event.kept();
    } catch (err) {
      for (const event of events) event.lost(fault(err));
    }
  }

  async #open(name: string): Promise<OpenFile> {
    const path = join(this.#folder, name);
    if (this.#current && (this.#current.path !== path || !(await isSame(this.#current.handle, path)))) {
      const { handle } = this.#current;
      this.#current = undefined;
      await handle.close();
    }
    this.#current ??= { path, handle: await this.#openNew(path, name), torn: false };
    // A crash, of any writer, or a full disk may have cut the last line; it must not spoil the next.
    const { handle } = this.#current;
    const { size } = await handle.stat();
    const last = Buffer.of(newline);
    if (size > 0) await handle.read(last, 0, 1, size - 1);
    this.#current.torn = last[0] !== newline;
    return this.#current;
  }

  async #openNew(path: string, name: string): Promise<FileHandle> {
    const handle = await open(path, constants.O_APPEND | constants.O_CREAT | constants.O_RDWR, 0o640);
    try {
      if ((await handle.stat()).size === 0) await this.#begin(handle);
      if (name === dayFile(this.#options.clock.now())) await this.#pointTo(name);
      return handle;
    } catch (err) {
      await handle.close();
      throw err;
    }
  }

  async #begin(handle: FileHandle): Promise<void> {
    const { group, log } = this.#options;
    await handle.chmod(0o640);
    if (group !== undefined)
      await handle
        .chown(-1, group)
        .catch((err: unknown) => log.warn("the audit log cannot be given to its group", { group, err }));
    // Else a power cut may take the new file with its events.
    const folder = await open(this.#folder);
    await folder.sync().finally(() => folder.close());
  }

  /** Keeps `events.log` a link to today's file. A convenience: its failure loses nothing. */
  async #pointTo(name: string): Promise<void> {
    const link = join(this.#folder, "events.log");
    const draft = `${link}.${process.pid}`;
    try {
      await symlink(name, draft);
      await rename(draft, link);
    } catch (err) {
      this.#options.log.debug("events.log cannot be linked", { err });
    }
  }
}

const why = (err: unknown): string =>
  (err as NodeJS.ErrnoException).code === "ENOSPC" ? "the disk is full" : (err as Error).message;

const newline = 0x0a;

async function writeLine(file: OpenFile, line: Uint8Array): Promise<void> {
  const bytes = file.torn ? Buffer.concat([Buffer.of(newline), line]) : line;
  // One write, not a loop over what is left: others append in between.
  file.torn = true;
  const { bytesWritten } = await file.handle.write(bytes);
  if (bytesWritten < bytes.length) throw new Error("the disk is full");
  file.torn = false;
}

/** False once the file was moved or deleted, as log rotation does. */
async function isSame(handle: FileHandle, path: string): Promise<boolean> {
  const there = await stat(path).catch(() => undefined);
  const ours = await handle.stat();
  return there !== undefined && there.ino === ours.ino && there.dev === ours.dev;
}

/** The id of the group `adm`, which may read logs on Debian and others; undefined where there is none or we are not root. */
export async function admGroup(): Promise<number | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const groups = await readFile("/etc/group", "utf8").catch(() => "");
  const id = /^adm:[^:]*:(\d+):/m.exec(groups)?.[1];
  return id === undefined ? undefined : Number(id);
}
