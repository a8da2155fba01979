import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, rmdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "#core/clock";
import { Fault } from "#core/errors";
import type { Log } from "#core/log";
import type { Owner } from "#core/owner";
import type { Random } from "#core/random";
import { AuditEvent } from "#events";

/** A batch of events on disk, the oldest first. */
export interface Stored {
  readonly events: readonly AuditEvent[];
  /** It has been on its way before; whether it arrived is not known. */
  readonly tried: boolean;
}

interface Segment {
  /** `<time>-<count>-<random>`: names of all processes sort by time. */
  readonly name: string;
  readonly bytes: number;
  readonly tried: boolean;
}

interface Growing {
  readonly name: string;
  readonly file: FileHandle;
  bytes: number;
  events: number;
}

/** What a batch of the contract holds, and no more than auth takes in one request. */
const segmentEvents = 500;
const segmentBytes = 1024 * 1024;
/** Events of an outage: at half a kilobyte each about half a million. */
const diskLimit = 256 * 1024 * 1024; // bytes

const format = "1";
const suffix = { new: ".jsonl", tried: ".tried.jsonl" };

/**
 * Audit events that wait on disk for the auth server: a folder for each process, with files of one batch each. What a process
 * that is gone has left is taken over, file by file, by the next that looks.
 */
export class EventSpool implements AsyncDisposable {
  readonly #root: string;
  readonly #folder: string;
  readonly #parts: { owner: Owner; clock: Clock; random: Random; log: Log; limit: number };
  /** Oldest first; the one that grows is not among them. */
  #segments: Segment[] = [];
  #growing: Growing | undefined;
  #made = false;
  #count = 0;
  #last = 0;

  /** `root` is shared by all processes of the host; nothing is made there before there is something to keep. */
  constructor(root: string, parts: { owner: Owner; clock: Clock; random: Random; log: Log; limit?: number }) {
    this.#root = root;
    this.#folder = join(root, parts.random.uuid());
    this.#parts = { ...parts, limit: parts.limit ?? diskLimit };
  }

  get empty(): boolean {
    return this.#segments.length === 0 && this.#growing === undefined;
  }

  /** Bytes on disk. */
  get size(): number {
    return this.#segments.reduce((sum, { bytes }) => sum + bytes, this.#growing?.bytes ?? 0);
  }

  /**
   * Resolves when the events are on disk (fsync). Throws `limit_exceeded` when too much waits there already, `unreachable`
   * when the disk does not take them; then none of them is kept. `tried`: they may have arrived already.
   */
  async append(events: readonly AuditEvent[], { tried = false } = {}): Promise<void> {
    const lines = Buffer.from(events.map((event) => `${JSON.stringify(event)}\n`).join(""));
    if (this.size + lines.length > this.#parts.limit)
      throw new Fault(
        "limit_exceeded",
        `${this.#parts.limit} bytes of audit events wait for the auth server already`,
      );
    try {
      const full = this.#growing;
      // A file is sent in one request.
      if (full && (full.events + events.length > segmentEvents || full.bytes + lines.length > segmentBytes))
        await this.#seal();
      const into = await this.#grow(tried);
      try {
        await into.file.appendFile(lines);
        await into.file.datasync();
        into.bytes += lines.length;
        into.events += events.length;
      } catch (err) {
        // Half a line must not stand before the next.
        await into.file.truncate(into.bytes).catch(() => {});
        await this.#seal(tried);
        throw err;
      }
      if (tried) await this.#seal(tried);
    } catch (cause) {
      throw new Fault("unreachable", `audit events cannot be kept in ${this.#root}: ${why(cause)}`, {
        cause,
      });
    }
  }

  /** The oldest batch; undefined when there is none. It stays until `drop`. */
  async first(): Promise<Stored | undefined> {
    if (this.#segments.length === 0) await this.#seal();
    while (this.#segments[0]) {
      const segment = this.#segments[0];
      const events = await this.#read(segment);
      if (events.length > 0) return { events, tried: segment.tried };
      await this.drop();
    }
    return undefined;
  }

  /** Says on disk that the oldest batch is on its way now. */
  async trying(): Promise<void> {
    const segment = this.#segments[0];
    if (!segment || segment.tried) return;
    await rename(this.#path(segment), this.#path({ ...segment, tried: true }));
    this.#segments[0] = { ...segment, tried: true };
  }

  /** The oldest batch has arrived. */
  async drop(): Promise<void> {
    const segment = this.#segments.shift();
    if (segment) await rm(this.#path(segment), { force: true });
  }

  /** Keeps events that auth will never take out of the way of the others, for a person to look at. */
  async setAside(events: readonly AuditEvent[]): Promise<string> {
    const folder = join(this.#root, "refused");
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const path = join(folder, `${this.#name()}${suffix.new}`);
    await using file = await open(path, "wx", 0o600);
    await file.appendFile(events.map((event) => `${JSON.stringify(event)}\n`).join(""));
    await file.datasync();
    return path;
  }

  /** Takes over what processes that are gone have left. */
  async adopt(): Promise<void> {
    const { owner, log } = this.#parts;
    for (const name of await readdir(this.#root).catch(() => [])) {
      const folder = join(this.#root, name);
      if (folder === this.#folder || !isUuid.test(name)) continue;
      try {
        const [version, mark = ""] = (await readFile(join(folder, "owner"), "utf8").catch(() => "")).split(
          "\n",
        );
        if (version !== "" && version !== format) {
          log.error("audit events that a newer version of this program has left are not sent by this one", {
            folder,
          });
          continue;
        }
        // One without a mark is being made, or its process died while it was: nothing is in it yet.
        if (version === "" || owner.lives(mark)) continue;
        await this.#takeFrom(folder);
      } catch (err) {
        log.warn("audit events of an earlier process cannot be taken over", {
          error: (err as Error).message,
        });
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#seal();
    if (!this.#made || !this.empty) return;
    await rm(join(this.#folder, "owner"), { force: true });
    await rmdir(this.#folder).catch(() => {});
  }

  async #takeFrom(folder: string): Promise<void> {
    const names = (await readdir(folder)).filter((name) => name.endsWith(suffix.new)).sort();
    if (names.length > 0) await this.#make();
    const taken: Segment[] = [];
    for (const file of names) {
      const tried = file.endsWith(suffix.tried);
      const name = file.slice(0, -(tried ? suffix.tried : suffix.new).length);
      try {
        // Whoever moves it has it.
        await rename(join(folder, file), join(this.#folder, file));
        const { size } = await stat(join(this.#folder, file));
        taken.push({ name, tried, bytes: size });
      } catch (err) {
        if ((err as NodeJS.ErrnoException).code !== "ENOENT") throw err;
      }
    }
    this.#segments = [...this.#segments, ...taken].sort((a, b) => (a.name < b.name ? -1 : 1));
    await rm(join(folder, "owner"), { force: true });
    await rmdir(folder).catch(() => {});
    if (taken.length > 0)
      this.#parts.log.info("took over audit events that an earlier process could not send", {
        files: taken.length,
      });
  }

  async #make(): Promise<void> {
    if (this.#made) return;
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    await using file = await open(join(this.#folder, "owner"), "wx", 0o600);
    await file.appendFile(`${format}\n${this.#parts.owner.mark}\n`);
    await file.datasync();
    this.#made = true;
  }

  /** The file to append to. Events that may have arrived have a file of their own. */
  async #grow(tried: boolean): Promise<Growing> {
    if (this.#growing && !tried) return this.#growing;
    await this.#seal();
    await this.#make();
    const name = this.#name();
    const file = await open(this.#path({ name, tried }), "wx", 0o600);
    this.#growing = { name, file, bytes: 0, events: 0 };
    // Else a power cut may take the new file with its events.
    await using folder = await open(this.#folder);
    await folder.sync();
    return this.#growing;
  }

  async #seal(tried = false): Promise<void> {
    const grown = this.#growing;
    if (!grown) return;
    this.#growing = undefined;
    this.#segments.push({ name: grown.name, bytes: grown.bytes, tried });
    await grown.file.close();
  }

  async #read(segment: Segment): Promise<AuditEvent[]> {
    const { log } = this.#parts;
    let text: string;
    try {
      text = await readFile(this.#path(segment), "utf8");
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code !== "ENOENT") throw err;
      log.error("audit events that waited on disk are gone", { file: this.#path(segment) });
      return [];
    }
    const lines = text.split("\n");
    // What follows the last line break was cut off before anyone was told that it is kept.
    const whole = lines.slice(0, -1);
    return whole.flatMap((line) => {
      const event = AuditEvent.safeParse(json(line));
      if (!event.success)
        log.error("an audit event that waited on disk is damaged", { line: line.slice(0, 200) });
      return event.success ? [event.data] : [];
    });
  }

  #path({ name, tried }: Pick<Segment, "name" | "tried">): string {
    return join(this.#folder, name + (tried ? suffix.tried : suffix.new));
  }

  #name(): string {
    // A clock that is set back does not change the order of our own.
    this.#last = Math.max(this.#last, this.#parts.clock.now());
    const count = String(this.#count++).padStart(9, "0");
    return `${String(this.#last).padStart(15, "0")}-${count}-${this.#parts.random.uuid().slice(0, 8)}`;
  }
}

const isUuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

const why = (err: unknown): string =>
  (err as NodeJS.ErrnoException).code === "ENOSPC" ? "the disk is full" : (err as Error).message;

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
