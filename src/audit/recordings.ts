import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { chmod, link, mkdir, open, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Clock, day, type Millis } from "#core/clock";
import { Fault, notFound } from "#core/errors";
import { parseEvents, type RecordingEvent } from "#recording";

/** The two files of a recording. */
export type Part = "bytes" | "log";
const parts: readonly Part[] = ["bytes", "log"];

/** SHA-256 of each file, in hex. */
export type Digests = Readonly<Record<Part, string>>;

type Chunks = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/**
 * Finished recordings, and those on their way in. An upload sends both parts, in pieces if need be, then publishes: only then, and all at once,
 * the recording is there. A published recording never changes. `sid` is a UUID everywhere; else `bad_parameter`.
 */
export interface RecordingStore {
  /** How many bytes of the part have arrived: where to go on. */
  received(sid: string, part: Part): Promise<number>;
  /**
   * Takes more of a part, from `offset` on; returns how much there is then. Throws `compare_failed`, with `offset` in its details,
   * when that is not where the part ends, and when someone else is sending it.
   */
  receive(sid: string, part: Part, offset: number, chunks: Chunks): Promise<number>;
  /**
   * Makes the recording final once its parts have these digests; to publish the same again is fine. `check` sees every event first
   * and may throw. Throws `compare_failed` when a digest differs (the parts are dropped: send them again), `already_exists`
   * when another recording has this id, `not_found` when a part is missing.
   */
  publish(sid: string, digests: Digests, check?: (event: RecordingEvent) => void): Promise<void>;
  /** Both parts at once, from their start. */
  put(sid: string, recording: Readonly<Record<Part, Chunks>>): Promise<Digests>;
  /** Up to 5 MiB of a part; less than `length` also at its end. Throws `not_found`. */
  read(sid: string, part: Part, offset: number, length: number): Promise<Uint8Array>;
  /** Throws `not_found`, and `protocol` where the log is damaged. */
  events(sid: string): AsyncIterable<RecordingEvent>;
}

const maxRead = 5 * 1024 * 1024; // bytes
/** An upload that nobody went on with for so long has no sender any more. */
const abandoned: Millis = 30 * day;

/** Recordings as `<sid>.session.bytes` and `<sid>.session.log` in one folder, which may be on a shared file system. */
export class RecordingFiles implements RecordingStore {
  readonly #folder: string;
  /** Files this process is writing. */
  readonly #busy = new Set<string>();

  /** Makes the folder, with mode 0750, when it is absent, and clears abandoned uploads away. */
  static async open(folder: string, { clock }: { clock: Clock }): Promise<RecordingFiles> {
    if (await mkdir(folder, { recursive: true, mode: 0o750 })) await chmod(folder, 0o750);
    for (const name of await readdir(folder)) {
      if (!name.endsWith(".part")) continue;
      const file = await stat(join(folder, name)).catch(() => undefined);
      if (file && file.mtimeMs < clock.now() - abandoned) await rm(join(folder, name), { force: true });
    }
    return new RecordingFiles(folder);
  }

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Files that are being received or published. */
  get openFiles(): number {
    return this.#busy.size;
  }

  async received(sid: string, part: Part): Promise<number> {
    const size = (await this.#published(sid))
      ? await sizeOf(this.#final(sid, part))
      : await sizeOf(this.#staged(sid, part));
    return size ?? 0;
  }

  async receive(sid: string, part: Part, offset: number, chunks: Chunks): Promise<number> {
    const path = this.#staged(sid, part);
    using _ = this.#hold(path);
    if (await this.#published(sid)) throw taken(sid);
    const handle = await open(path, "a", 0o640);
    try {
      await handle.chmod(0o640);
      let { size } = await handle.stat();
      if (size !== offset)
        throw new Fault("compare_failed", `the upload of ${sid} goes on at byte ${size}, not ${offset}`, {
          details: { offset: size },
        });
      for await (const chunk of chunks) {
        await handle.appendFile(chunk);
        size += chunk.length;
      }
      await handle.sync();
      return size;
    } finally {
      await handle.close();
    }
  }

  async publish(sid: string, digests: Digests, check?: (event: RecordingEvent) => void): Promise<void> {
    const staged = both((part) => this.#staged(sid, part));
    const final = both((part) => this.#final(sid, part));
    using _bytes = this.#hold(staged.bytes);
    using _log = this.#hold(staged.log);
    if (await this.#published(sid)) {
      if (!(await same(final, digests))) throw taken(sid);
    } else {
      if (!(await same(staged, digests))) {
        await drop(staged);
        throw new Fault(
          "compare_failed",
          `the recording ${sid} did not arrive as it was sent; send it again`,
        );
      }
      if (check) for await (const event of parseEvents(createReadStream(staged.log))) check(event);
      // Links, unlike renames, never replace what another server may be publishing.
      if (!(await linked(staged.bytes, final.bytes)) && (await digestOf(final.bytes)) !== digests.bytes) {
        if (await this.#published(sid)) throw taken(sid);
        // Left by a crash between these two links: without its log it was never published.
        await rm(final.bytes, { force: true });
        await link(staged.bytes, final.bytes);
      }
      // The log comes last: where it is, the recording is.
      if (!(await linked(staged.log, final.log)) && !(await same(final, digests))) throw taken(sid);
      const folder = await open(this.#folder);
      await folder.sync().finally(() => folder.close());
    }
    await drop(staged);
  }

  async put(sid: string, recording: Readonly<Record<Part, Chunks>>): Promise<Digests> {
    const sums = both(() => createHash("sha256"));
    await drop(both((part) => this.#staged(sid, part)));
    for (const part of parts) await this.receive(sid, part, 0, tap(recording[part], sums[part]));
    const digests = { bytes: sums.bytes.digest("hex"), log: sums.log.digest("hex") };
    await this.publish(sid, digests);
    return digests;
  }

  async read(sid: string, part: Part, offset: number, length: number): Promise<Uint8Array> {
    if (!(offset >= 0 && length >= 0))
      throw new Fault("bad_parameter", `there are no ${length} bytes at ${offset} of a recording`);
    if (!(await this.#published(sid))) throw notFound("recording", sid);
    const handle = await open(this.#final(sid, part));
    try {
      const { size } = await handle.stat();
      const available = Math.max(0, Math.min(length, size - offset, maxRead));
      const chunk = Buffer.alloc(available);
      const { bytesRead } =
        available === 0 ? { bytesRead: 0 } : await handle.read(chunk, 0, available, offset);
      return chunk.subarray(0, bytesRead);
    } finally {
      await handle.close();
    }
  }

  async *events(sid: string): AsyncGenerator<RecordingEvent> {
    if (!(await this.#published(sid))) throw notFound("recording", sid);
    yield* parseEvents(createReadStream(this.#final(sid, "log")));
  }

  async #published(sid: string): Promise<boolean> {
    return (await sizeOf(this.#final(sid, "log"))) !== undefined;
  }

  #staged(sid: string, part: Part): string {
    return `${this.#final(sid, part)}.part`;
  }

  /** The only place where an id becomes a path. */
  #final(sid: string, part: Part): string {
    if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(sid))
      throw new Fault("bad_parameter", `${JSON.stringify(sid.slice(0, 80))} is not the id of a session`);
    return join(this.#folder, `${sid}.session.${part}`);
  }

  #hold(path: string): Disposable {
    if (this.#busy.has(path))
      throw new Fault("compare_failed", "this recording is being uploaded already; try again later");
    this.#busy.add(path);
    return { [Symbol.dispose]: () => this.#busy.delete(path) };
  }
}

const taken = (sid: string): Fault =>
  new Fault("already_exists", `another recording of the session ${sid} is stored already`);

const both = <T>(make: (part: Part) => T): Record<Part, T> => ({ bytes: make("bytes"), log: make("log") });

/** False when there is such a file already. */
async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (err) {
    if (isCode(err, "EEXIST")) return false;
    throw err;
  }
}

const drop = async (paths: Record<Part, string>): Promise<void> => {
  for (const part of parts) await rm(paths[part], { force: true });
};

/** Throws `not_found` when a file is missing. */
async function same(paths: Record<Part, string>, digests: Digests): Promise<boolean> {
  for (const part of parts) if ((await digestOf(paths[part])) !== digests[part]) return false;
  return true;
}

async function digestOf(path: string): Promise<string> {
  const sum = createHash("sha256");
  try {
    for await (const chunk of createReadStream(path)) sum.update(chunk);
  } catch (err) {
    throw isCode(err, "ENOENT") ? new Fault("not_found", "a part of the recording has not been sent") : err;
  }
  return sum.digest("hex");
}

async function* tap(chunks: Chunks, sum: { update(chunk: Uint8Array): unknown }): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    sum.update(chunk);
    yield chunk;
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (err) {
    if (isCode(err, "ENOENT")) return undefined;
    throw err;
  }
}

const isCode = (err: unknown, code: string): boolean =>
  err instanceof Error && "code" in err && err.code === code;
