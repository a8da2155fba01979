import { promises as fs } from "node:fs";
import type { SourceEntry, Times } from "#ssh/scp";
import type { Copied } from "./copied.ts";
import { below, lastStep, reason, shown } from "./paths.ts";

interface SourceOptions {
  readonly recursive: boolean;
  /** Send times (-p). */
  readonly preserve: boolean;
  readonly report: (copied: Copied) => void;
}

/** What `scp -f` sends: the paths, in order, with what is in folders when asked for. Links are followed. */
export async function* sources(
  paths: readonly Buffer[],
  options: SourceOptions,
): AsyncGenerator<SourceEntry> {
  for (const path of paths) yield await entryOf(path, await nameOf(path), options);
}

async function entryOf(path: Buffer, name: Buffer, options: SourceOptions): Promise<SourceEntry> {
  const { recursive, preserve, report } = options;
  const tell = (len: number, error = ""): void => report({ action: "read", path: shown(path), len, error });
  const trouble = (why: string): SourceEntry => {
    tell(0, why);
    return { kind: "trouble", text: `${path}: ${why}` };
  };
  let handle: fs.FileHandle | undefined;
  try {
    const seen = await fs.stat(path);
    const times: { times?: Times } = preserve
      ? { times: { modified: seen.mtimeMs / 1000, accessed: seen.atimeMs / 1000 } }
      : {};
    if (seen.isDirectory()) {
      if (!recursive) return trouble("not a regular file");
      return { kind: "directory", name, mode: seen.mode, ...times, entries: () => inside(path, options) };
    }
    // Looked at before it is opened: opening a pipe would wait for its writer.
    if (!seen.isFile()) return trouble("not a regular file");
    handle = await fs.open(path, "r");
    const { size, mode } = await handle.stat();
    return fileEntry(handle, { name, mode, size, ...times }, tell);
  } catch (err) {
    await handle?.close();
    return trouble(reason(err));
  }
}

function fileEntry(
  handle: fs.FileHandle,
  about: { name: Buffer; mode: number; size: number; times?: Times },
  tell: (len: number, error?: string) => void,
): SourceEntry {
  let len = 0;
  return {
    kind: "file",
    ...about,
    async *read() {
      // Two, since the one before may still be on its way.
      const buffers = [new Uint8Array(64 * 1024), new Uint8Array(64 * 1024)] as const;
      for (let turn = 0; ; turn ^= 1) {
        const { bytesRead, buffer } = await handle.read(buffers[turn as 0 | 1]);
        if (bytesRead === 0) return;
        len += bytesRead;
        yield buffer.subarray(0, bytesRead);
      }
    },
    done(trouble) {
      void handle.close();
      tell(Math.min(len, about.size), trouble);
    },
  };
}

async function* inside(path: Buffer, options: SourceOptions): AsyncGenerator<SourceEntry> {
  let names: Buffer[];
  try {
    names = await fs.readdir(path, { encoding: "buffer" });
  } catch (err) {
    yield { kind: "trouble", text: `${path}: ${reason(err)}` };
    return;
  }
  for (const name of names.sort(Buffer.compare)) yield await entryOf(below(path, name), name, options);
}

/** The name that the other side gives it: of `.`, `..` and `/x/..` the folder's own. */
async function nameOf(path: Buffer): Promise<Buffer> {
  const name = lastStep(path);
  if (!["", ".", ".."].includes(name.toString("latin1"))) return name;
  const real = await fs.realpath(path, { encoding: "buffer" }).catch(() => path);
  return lastStep(Buffer.from(real));
}
