import { constants } from "node:fs";
import { chmod, type FileHandle, mkdir, open, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Owner } from "#core/owner";

/** The two files of a recording, and their names (REC-01). */
export type Part = "bytes" | "log";
export const parts: readonly Part[] = ["bytes", "log"];

/**
 * The folder in which recordings grow and wait for their upload (REC-04): `<sid>.session.bytes`, `<sid>.session.log`,
 * an empty `<sid>.completed` once nothing more will be written, and `<sid>.owner`, which names the process that writes and uploads
 * it: two processes of a restart work side by side in this folder.
 */
export class Spool {
  readonly #dir: string;
  readonly #owner: Owner;
  /** Those that this process writes; any other of its own, or of a process that is gone, was cut off. */
  readonly #writing = new Set<string>();

  private constructor(dir: string, owner: Owner) {
    this.#dir = dir;
    this.#owner = owner;
  }

  /** Makes the folder, open to this user alone. `owner` is this process. */
  static async open(dir: string, owner: Owner): Promise<Spool> {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    await chmod(dir, 0o700);
    return new Spool(dir, owner);
  }

  path(sid: string, part: Part): string {
    return join(this.#dir, `${sid}.session.${part}`);
  }

  /** Starts a recording; both files are new, with mode 0600 from their first byte. */
  async create(sid: string): Promise<Record<Part, FileHandle>> {
    this.#writing.add(sid);
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    {
      await using owner = await open(this.#ownerFile(sid), flags, 0o600);
      await owner.appendFile(`${this.#owner.mark}\n`);
    }
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

  /** Recordings that nobody writes any more and no other process has, and whether they were marked as complete. */
  async waiting(): Promise<{ sid: string; complete: boolean }[]> {
    const names = new Set(await readdir(this.#dir));
    const sids = new Set([...names].flatMap((name) => ourFile.exec(name)?.[1] ?? []));
    const waiting: { sid: string; complete: boolean }[] = [];
    for (const sid of sids) {
      if (this.#writing.has(sid) || (await this.#isOfAnother(sid))) continue;
      if (names.has(`${sid}.session.log`)) waiting.push({ sid, complete: names.has(`${sid}.completed`) });
      // The log is the last to be made and the first to go: a process was killed at one or the other.
      else await this.remove(sid);
    }
    return waiting;
  }

  /** The recording is safe elsewhere. */
  async remove(sid: string): Promise<void> {
    for (const path of [
      this.path(sid, "log"),
      this.path(sid, "bytes"),
      this.#mark(sid),
      this.#ownerFile(sid),
    ]) {
      await rm(path, { force: true });
    }
  }

  #mark(sid: string): string {
    return join(this.#dir, `${sid}.completed`);
  }

  #ownerFile(sid: string): string {
    return join(this.#dir, `${sid}.owner`);
  }

  async #isOfAnother(sid: string): Promise<boolean> {
    const mark = (await readFile(this.#ownerFile(sid), "utf8").catch(() => "")).trim();
    return mark !== "" && mark !== this.#owner.mark && (await this.#owner.lives(mark));
  }
}

const ourFile = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.(session\.(bytes|log)|completed|owner)$/;
