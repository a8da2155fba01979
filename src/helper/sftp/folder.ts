import { promises as fs, type Stats } from "node:fs";
import type { Clock } from "#core/clock";
import type { FolderEntry, OpenFolder } from "#ssh/sftp";
import { listing } from "./listing.ts";
import type { Names } from "./names.ts";
import { attributesOf } from "./open-file.ts";

/** Entries in one answer, as OpenSSH has it; with the longest names it stays far under the largest message. */
const atATime = 100;

/** A folder to be read through; `path` is kept. */
export async function openFolder(
  path: Buffer,
  { names, clock }: { names: Names; clock: Pick<Clock, "now"> },
): Promise<OpenFolder> {
  const folder = await fs.opendir(path, { encoding: "buffer" as "utf8", bufferSize: atATime });
  // readdir(3) gives these, Node does not; a person who lists everything wants them.
  const waiting: Buffer[] = [Buffer.from("."), Buffer.from("..")];

  async function some(): Promise<Buffer[]> {
    const found = waiting.splice(0);
    while (found.length < atATime) {
      const entry = await folder.read();
      if (entry === null) break;
      // Typed as text whatever the encoding.
      found.push(entry.name as unknown as Buffer);
    }
    return found;
  }

  async function described(found: readonly Buffer[]): Promise<FolderEntry[]> {
    const slash = Buffer.from("/");
    const looked = await Promise.all(
      found.map(async (name) => {
        const stats = await fs.lstat(Buffer.concat([path, slash, name])).catch(() => undefined);
        return { name, stats };
      }),
    );
    const there = looked.filter((one): one is { name: Buffer; stats: Stats } => one.stats !== undefined);
    const [users, groups] = await Promise.all([
      names.of(
        "passwd",
        there.map(({ stats }) => stats.uid),
      ),
      names.of(
        "group",
        there.map(({ stats }) => stats.gid),
      ),
    ]);
    const now = new Date(clock.now());
    return there.map(({ name, stats }, i) => ({
      name,
      line: listing(name, stats, { user: users[i] ?? "", group: groups[i] ?? "", now }),
      attributes: attributesOf(stats),
    }));
  }

  return {
    async read() {
      while (true) {
        const found = await some();
        if (found.length === 0) return [];
        const entries = await described(found);
        // All of them may have been removed in the meantime: that is not the end.
        if (entries.length > 0) return entries;
      }
    },
    close: () => folder.close(),
  };
}
