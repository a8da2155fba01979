import { constants } from "node:fs";
import { chmod, type FileHandle, mkdir, open, readdir, rename, rm, statfs } from "node:fs/promises";
import { join } from "node:path";
import { isRunning, ownMark } from "./process-mark.ts";

/** The two files of a recording, and their names (REC-01). */
export type Part = "bytes" | "log";
export const parts: readonly Part[] = ["bytes", "log"];

/** What a session and its events need until somebody notices that a disk is filling up. */
const reserve = 8 * 1024 * 1024; // bytes

/**
 * The folder in which recordings grow and wait for their upload (REC-04): `<sid>.session.bytes`, `<sid>.session.log`,
 * and an empty `<sid>.completed` once nothing more will be written. Several processes of a host may use it: an empty
 * `<sid>.of.<process>` says which of them a recording belongs to, until that process is dead.
 */
export class Spool {
  readonly #dir: string;
  readonly #process = ownMark();
  /** Those that this process writes; any other of its own without the mark was cut off by the end of a process. */
  readonly #writing = new Set<string>();
  /** Files that belong to no recording, by the last look. */
  #orphans = new Set<string>();

  private constructor(dir: string) {
    this.#dir = dir;
  }

  /** Makes the folder, open to this user alone. */
  static async open(dir: string): Promise<Spool> {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    await chmod(dir, 0o700);
    return new Spool(dir);
  }

  path(sid: string, part: Part): string {
    return join(this.#dir, `${sid}.session.${part}`);
  }

  /** Why there is no room for a new recording; undefined when there is. */
  async full(): Promise<string | undefined> {
    const { bavail, bsize } = await statfs(this.#dir);
    return bavail * bsize < reserve ? "the disk is full" : undefined;
  }

  /** Starts a recording; both files are new, with mode 0600 from their first byte. */
  async create(sid: string): Promise<Record<Part, FileHandle>> {
    this.#writing.add(sid);
    // First of all: as soon as it is listed, other processes must know that it is not theirs.
    await touch(this.#owner(sid, this.#process));
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    const bytes = await open(this.path(sid, "bytes"), flags, 0o600);
    try {
      return { bytes, log: await open(this.path(sid, "log"), flags, 0o600) };
    } catch (err) {
      await bytes.close();
      throw err;
    }
  }

  /** Nothing more will be written: from now on it is to be uploaded. */
  async complete(sid: string): Promise<void> {
    await touch(this.#mark(sid));
    this.#writing.delete(sid);
  }

  /**
   * Recordings that nobody writes any more and that are for this process to bring away, and whether they were marked as
   * complete. What a dead process left becomes this one's.
   */
  async waiting(): Promise<{ sid: string; complete: boolean }[]> {
    const names = new Set(await readdir(this.#dir));
    const owners = new Map<string, string>();
    for (const name of names) {
      const [, sid, owner] = /^([0-9a-f-]{36})\.of\.(.+)$/.exec(name) ?? [];
      if (sid !== undefined && owner !== undefined) owners.set(sid, owner);
    }
    await this.#sweep(names, owners);
    const ours: { sid: string; complete: boolean }[] = [];
    for (const name of names) {
      const sid = /^([0-9a-f-]{36})\.session\.log$/.exec(name)?.[1];
      if (sid === undefined || this.#writing.has(sid)) continue;
      if (await this.#isOurs(sid, owners.get(sid)))
        ours.push({ sid, complete: names.has(`${sid}.completed`) });
    }
    return ours;
  }

  /** What a kill left in the middle of `create` or `remove`: the log is the last to be made and the first to go. */
  async #sweep(names: ReadonlySet<string>, owners: ReadonlyMap<string, string>): Promise<void> {
    const seen = this.#orphans;
    this.#orphans = new Set();
    for (const name of names) {
      const sid = /^([0-9a-f-]{36})\.(?:session\.bytes|completed|of\..+)$/.exec(name)?.[1];
      if (sid === undefined || names.has(`${sid}.session.log`) || this.#writing.has(sid)) continue;
      const owner = owners.get(sid);
      const living = owner !== undefined && owner !== this.#process && isRunning(owner);
      if (living) continue;
      // A listing of a folder in which another process is just beginning one may show half of it.
      if (seen.has(name)) await rm(join(this.#dir, name), { force: true });
      else this.#orphans.add(name);
    }
  }

  async #isOurs(sid: string, owner: string | undefined): Promise<boolean> {
    if (owner === undefined || owner === this.#process) return true;
    if (isRunning(owner)) return false;
    try {
      // Of several that find it, one can.
      await rename(this.#owner(sid, owner), this.#owner(sid, this.#process));
      return true;
    } catch {
      return false;
    }
  }

  /** The recording is safe elsewhere. */
  async remove(sid: string): Promise<void> {
    // The log goes first: without it the rest is not taken for a recording.
    for (const path of [this.path(sid, "log"), this.path(sid, "bytes"), this.#mark(sid)]) {
      await rm(path, { force: true });
    }
    await rm(this.#owner(sid, this.#process), { force: true });
  }

  #owner(sid: string, process: string): string {
    return join(this.#dir, `${sid}.of.${process}`);
  }

  #mark(sid: string): string {
    return join(this.#dir, `${sid}.completed`);
  }
}

/** An empty file whose name says it all. */
async function touch(path: string): Promise<void> {
  const file = await open(path, "w", 0o600);
  await file.close();
}
