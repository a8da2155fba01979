import { promises as fs, type Stats } from "node:fs";
import type { SinkFile, SinkFolder, Times } from "#ssh/scp";
import type { Copied } from "./copied.ts";
import { below, reason, shown } from "./paths.ts";

interface SinkOptions {
  /** Set modes and times as they were sent (-p); else new files obey the umask. */
  readonly preserve: boolean;
  readonly report: (copied: Copied) => void;
}

/** Receives into a folder, or at the top onto the path that the user named. */
export class Target implements SinkFolder {
  readonly #path: Buffer;
  /** False at the top when what arrives gets the path's own name. */
  readonly #isFolder: boolean;
  readonly #options: SinkOptions;
  readonly #finish: () => Promise<void>;

  private constructor(path: Buffer, isFolder: boolean, options: SinkOptions, finish = async () => {}) {
    this.#path = path;
    this.#isFolder = isFolder;
    this.#options = options;
    this.#finish = finish;
  }

  static async open(
    path: Buffer,
    { mustBeFolder, ...options }: SinkOptions & { mustBeFolder: boolean },
  ): Promise<Target> {
    const isFolder = (await look(path))?.isDirectory() ?? false;
    if (mustBeFolder && !isFolder) throw new Error(`${path}: Not a directory`);
    return new Target(path, isFolder, options);
  }

  async file(name: Uint8Array, mode: number, _size: number, times: Times | undefined): Promise<SinkFile> {
    const path = this.#at(name);
    const { preserve, report } = this.#options;
    let len = 0;
    const tell = (error: unknown): void => {
      report({ action: "write", path: shown(path), len, error: error === undefined ? "" : reason(error) });
    };
    const allowed = preserve ? mode : mode & 0o777 & ~process.umask();
    let handle: fs.FileHandle;
    try {
      handle = await fs.open(path, "r+").catch((err: NodeJS.ErrnoException) => {
        if (err.code === "ENOENT") return fs.open(path, "w", allowed | 0o200);
        // A file that its owner may write but not read.
        if (err.code === "EACCES") return fs.open(path, "w");
        throw err;
      });
    } catch (err) {
      tell(err);
      throw named(path, err);
    }
    return {
      async write(chunk) {
        for (let at = 0; at < chunk.length; ) at += (await handle.write(chunk, at)).bytesWritten;
        len += chunk.length;
      },
      async close(why) {
        let failed = why;
        try {
          // What was there before may have been longer.
          if ((await handle.stat()).isFile()) {
            await handle.truncate(len);
            await handle.chmod(allowed);
          }
          if (preserve && times !== undefined) await handle.utimes(times.accessed, times.modified);
        } catch (err) {
          failed ??= err;
        }
        await handle.close();
        tell(failed);
        if (failed !== undefined && why === undefined) throw named(path, failed);
      },
    };
  }

  async directory(name: Uint8Array, mode: number, times: Times | undefined): Promise<SinkFolder> {
    const path = this.#at(name);
    const { preserve } = this.#options;
    const allowed = preserve ? mode : mode & 0o777 & ~process.umask();
    const there = await look(path);
    try {
      // Open to ourselves until everything is in it.
      if (there === undefined) await fs.mkdir(path, allowed | 0o700);
      else if (!there.isDirectory()) throw new Error("Not a directory");
    } catch (err) {
      throw named(path, err);
    }
    return new Target(path, true, this.#options, async () => {
      if (there === undefined || preserve) await fs.chmod(path, allowed);
      if (preserve && times !== undefined) await fs.utimes(path, times.accessed, times.modified);
    });
  }

  done(): Promise<void> {
    return this.#finish();
  }

  #at(name: Uint8Array): Buffer {
    return this.#isFolder ? below(this.#path, name) : this.#path;
  }
}

const look = (path: Buffer): Promise<Stats | undefined> => fs.stat(path).catch(() => undefined);

/** The system's reason behind the name that the user knows. */
const named = (path: Buffer, err: unknown): Error => new Error(`${path}: ${reason(err)}`, { cause: err });
