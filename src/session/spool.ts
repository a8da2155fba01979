import { constants } from "node:fs";
import { chmod, type FileHandle, mkdir, open, readdir, rm } from "node:fs/promises";
import { join } from "node:path";

/** The two files of a recording, and their names (REC-01). */
export type Part = "bytes" | "log";
export const parts: readonly Part[] = ["bytes", "log"];

/**
 * The folder in which recordings grow and wait for their upload (REC-04): `<sid>.session.bytes`, `<sid>.session.log`,
 * and an empty `<sid>.completed` once nothing more will be written.
 */
export class Spool {
  readonly #dir: string;
  /** Those that this process writes; any other without the mark was cut off by the end of a process. */
  readonly #writing = new Set<string>();

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

  /** Starts a recording; both files are new, with mode 0600 from their first byte. */
  async create(sid: string): Promise<Record<Part, FileHandle>> {
    this.#writing.add(sid);
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
    const mark = await open(this.#mark(sid), "w", 0o600);
    await mark.close();
    this.#writing.delete(sid);
  }

  /** Recordings that nobody writes any more, and whether they were marked as complete. */
  async waiting(): Promise<{ sid: string; complete: boolean }[]> {
    const names = new Set(await readdir(this.#dir));
    const sids = [...names].flatMap((name) => /^([0-9a-f-]{36})\.session\.log$/.exec(name)?.[1] ?? []);
    return sids
      .filter((sid) => !this.#writing.has(sid))
      .map((sid) => ({ sid, complete: names.has(`${sid}.completed`) }));
  }

  /** The recording is safe elsewhere. */
  async remove(sid: string): Promise<void> {
    // The log goes last: while it is there, the recording is still listed.
    for (const path of [this.path(sid, "bytes"), this.#mark(sid), this.path(sid, "log")]) {
      await rm(path, { force: true });
    }
  }

  #mark(sid: string): string {
    return join(this.#dir, `${sid}.completed`);
  }
}
