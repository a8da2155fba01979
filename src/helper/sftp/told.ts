import { reason, shown as shownWhole } from "#copy";
import { Fault } from "#core/errors";
import type { Attributes, Files, OpenFile, OpenOptions, Path } from "#ssh/sftp";

export type SftpAction =
  | "read"
  | "write"
  | "remove"
  | "rename"
  | "mkdir"
  | "rmdir"
  | "setstat"
  | "symlink"
  | "link";

/**
 * What an SFTP server tells of what it does. A file is told when it is opened and again, under the same number, when it
 * is closed, so that one whose server is killed in between is known too.
 */
export type SftpReport =
  | { readonly opened: number; readonly action: "read" | "write"; readonly path: string }
  | { readonly closed: number; readonly len: number; readonly error: string }
  | {
      readonly action: SftpAction;
      /** Absolute; bytes that are not UTF-8 are shown as replacement characters. */
      readonly path: string;
      readonly target?: string;
      /** Bytes. */
      readonly len?: number;
      /** Empty when it was done. */
      readonly error: string;
    };

type Report = (report: SftpReport) => void;

/** Linux's PATH_MAX: the end of a longer path says nothing, since no call takes it. */
const maxPath = 4096; // bytes
const shown = (path: Path): string => shownWhole(Buffer.from(path.subarray(0, maxPath)));

/** `files`, with a report of everything that reads or changes one, done or not; errors as people know them. */
export function told(files: Files, report: Report): Files {
  const tell = async <T>(work: Promise<T>, action: SftpAction, path: Path, target?: Path): Promise<T> => {
    const about = {
      action,
      path: shown(path),
      ...(target !== undefined && {
        // What a symlink leads to is told as it was written.
        target: action === "symlink" ? Buffer.from(target.subarray(0, maxPath)).toString() : shown(target),
      }),
    };
    try {
      const result = await work;
      report({ ...about, error: "" });
      return result;
    } catch (err) {
      const why = plain(err);
      report({ ...about, error: why.message });
      throw why;
    }
  };
  const look = <T>(work: Promise<T>): Promise<T> =>
    work.catch((err: unknown) => {
      throw plain(err);
    });
  let last = 0;
  return {
    async open(path, options) {
      const about = { action: options.write ? "write" : "read", path: shown(path) } as const;
      try {
        const file = await files.open(path, options);
        const number = ++last;
        report({ opened: number, ...about });
        return new ToldFile(file, { number, path: about.path, options, report });
      } catch (err) {
        const why = plain(err);
        report({ ...about, error: why.message });
        throw why;
      }
    },
    openFolder: async (path) => {
      const folder = await look(files.openFolder(path));
      return { read: () => look(folder.read()), close: () => look(folder.close()) };
    },
    stat: (path) => look(files.stat(path)),
    lstat: (path) => look(files.lstat(path)),
    realpath: (path) => look(files.realpath(path)),
    expandPath: (path) => look(files.expandPath(path)),
    readlink: (path) => look(files.readlink(path)),
    statvfs: (path) => look(files.statvfs(path)),
    userNames: (ids) => files.userNames(ids),
    groupNames: (ids) => files.groupNames(ids),
    setstat: (path, attributes) => tell(files.setstat(path, attributes), "setstat", path),
    lsetstat: (path, attributes) => tell(files.lsetstat(path, attributes), "setstat", path),
    remove: (path) => tell(files.remove(path), "remove", path),
    mkdir: (path, permissions) => tell(files.mkdir(path, permissions), "mkdir", path),
    rmdir: (path) => tell(files.rmdir(path), "rmdir", path),
    rename: (from, to) => tell(files.rename(from, to), "rename", from, to),
    posixRename: (from, to) => tell(files.posixRename(from, to), "rename", from, to),
    symlink: (target, path) => tell(files.symlink(target, path), "symlink", path, target),
    hardlink: (from, to) => tell(files.hardlink(from, to), "link", to, from),
  };
}

/** Counts what is read and written, and remembers the first thing that went wrong with it. */
class ToldFile implements OpenFile {
  readonly #file: OpenFile;
  readonly #about: { number: number; path: string; options: OpenOptions; report: Report };
  #read = 0;
  #written = 0;
  #error = "";

  constructor(file: OpenFile, about: { number: number; path: string; options: OpenOptions; report: Report }) {
    this.#file = file;
    this.#about = about;
  }

  read(into: Uint8Array, offset: bigint): number {
    try {
      const count = this.#file.read(into, offset);
      this.#read += count;
      return count;
    } catch (err) {
      throw this.#failed(err);
    }
  }

  write(data: Uint8Array, offset: bigint): void {
    try {
      this.#file.write(data, offset);
      this.#written += data.length;
    } catch (err) {
      throw this.#failed(err);
    }
  }

  async setstat(attributes: Attributes): Promise<void> {
    const { path, report } = this.#about;
    try {
      await this.#file.setstat(attributes);
      report({ action: "setstat", path, error: "" });
    } catch (err) {
      const why = plain(err);
      report({ action: "setstat", path, error: why.message });
      throw why;
    }
  }

  stat(): Promise<Attributes> {
    return this.#file.stat();
  }

  statvfs(): ReturnType<OpenFile["statvfs"]> {
    return this.#file.statvfs();
  }

  async sync(): Promise<void> {
    await this.#file.sync().catch((err: unknown) => {
      throw this.#failed(err);
    });
  }

  async close(cut?: "cut"): Promise<void> {
    const { number, path, options, report } = this.#about;
    try {
      await this.#file.close();
    } catch (err) {
      throw this.#failed(err);
    } finally {
      if (cut) this.#error ||= "the client left before the file was closed";
      const error = this.#error;
      if (options.write && this.#read > 0) report({ action: "read", path, len: this.#read, error: "" });
      report({ closed: number, len: options.write ? this.#written : this.#read, error });
    }
  }

  #failed(err: unknown): Error {
    const why = plain(err);
    this.#error ||= why.message;
    return why;
  }
}

/** The system's reason without the names of the call and the file; its code stays. */
function plain(err: unknown): Error {
  if (err instanceof Fault) return err;
  const code = err instanceof Error && "code" in err ? { code: err.code } : {};
  return Object.assign(new Error(reason(err), { cause: err }), code);
}
