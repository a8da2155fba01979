import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { z } from "zod";
import { authContract } from "#contract/auth";
import { hour, type Millis } from "#core/clock";
import { Copy } from "./copy.ts";

/** What this program writes, and the newest that it reads. */
const format = 1;

/** The first line of the file; each further line is one record, as the watch tells it. */
const Header = z.object({
  format: z.int().positive(),
  /** When the copy was last known to be what auth has: milliseconds since the epoch. */
  as_of: z.number(),
  /** How many lines follow: a file that was cut off is noticed. */
  records: z.int().nonnegative(),
});

/** Lines between two turns of the event loop: about 2 ms of work. */
const slice = 250;
/** A draft of a save that lies so long was left by a process that is gone. */
const forgotten: Millis = hour;

/** A copy of the cluster's state in a file (mode 0600), for a start while auth is away. Several processes may save to it. */
export class CopyFile {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** Replaces the file, whole or not at all. `asOf`: when the copy was last known to be current. */
  async save(copy: Copy, asOf: Millis): Promise<void> {
    await mkdir(dirname(this.path), { recursive: true, mode: 0o700 });
    const draft = `${this.path}.${process.pid}.tmp`;
    await rm(draft, { force: true });
    try {
      await using file = await open(draft, "wx", 0o600);
      await writeLines(file, copy, asOf);
      await file.datasync();
      await rename(draft, this.path);
    } catch (err) {
      await rm(draft, { force: true });
      throw err;
    }
  }

  /**
   * What the file holds; undefined when there is none. Throws a sentence for one that is damaged or of a newer version.
   * `now` tells which drafts of processes that died in a save are to be cleared away.
   */
  async load(now: Millis): Promise<{ readonly copy: Copy; readonly asOf: Millis } | undefined> {
    await this.#clear(now);
    let text: string;
    try {
      text = await readFile(this.path, "utf8");
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw err;
    }
    const [first = "", ...lines] = text.split("\n");
    const header = Header.safeParse(json(first));
    if (header.success && header.data.format > format)
      throw new Error(
        `${this.path} has format ${header.data.format}, this program knows up to ${format}: it was written by a newer version`,
      );
    // The last line ends with a line break too.
    if (!header.success || lines.length !== header.data.records + 1)
      throw new Error(`${this.path} is damaged; it is made anew as soon as the auth server answers`);
    const copy = new Copy();
    for (const [i, line] of lines.slice(0, -1).entries()) {
      const change = authContract["mirror.watch"].output.safeParse(json(line));
      if (!change.success || change.data.type !== "put")
        throw new Error(`line ${i + 2} of ${this.path} makes no sense; the file is damaged`);
      copy.apply(change.data);
      if (i % slice === slice - 1) await turn();
    }
    return { copy, asOf: header.data.as_of };
  }

  async #clear(now: Millis): Promise<void> {
    const [folder, name] = [dirname(this.path), basename(this.path)];
    for (const found of await readdir(folder).catch(() => [])) {
      if (!found.startsWith(`${name}.`) || !found.endsWith(".tmp")) continue;
      const { mtimeMs } = await stat(join(folder, found)).catch(() => ({ mtimeMs: now }));
      if (mtimeMs < now - forgotten) await rm(join(folder, found), { force: true });
    }
  }
}

async function writeLines(file: FileHandle, copy: Copy, asOf: Millis): Promise<void> {
  // Taken at once: it changes while we write.
  const puts = [...copy.puts()];
  const header: z.input<typeof Header> = { format, as_of: asOf, records: puts.length };
  await file.appendFile(`${JSON.stringify(header)}\n`);
  for (let i = 0; i < puts.length; i += slice) {
    const lines = puts.slice(i, i + slice).map((put) => `${JSON.stringify(put)}\n`);
    await file.appendFile(lines.join(""));
  }
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
