import { constants, promises as fs } from "node:fs";
import type { Clock } from "#core/clock";
import { Fault } from "#core/errors";
import type { Attributes, FileSystemState, Files, OpenFile, OpenFolder, OpenOptions, Path } from "#ssh/sftp";
import { fileSystemState } from "./file-system.ts";
import { openFolder } from "./folder.ts";
import { homeOf, Names } from "./names.ts";
import { attributesOf, fileSize, openFile } from "./open-file.ts";

/** open(2): a file to be named by its descriptor only. Node has no name for it. */
const O_PATH = 0o10000000;

/** The files of this machine, with the rights of this process; relative paths start in its folder. */
export class DiskFiles implements Files {
  readonly #home: string;
  readonly #names = new Names();
  readonly #clock: Pick<Clock, "now">;

  /** `home` is what `~` stands for. */
  constructor({ home, clock }: { home: string; clock: Pick<Clock, "now"> }) {
    this.#home = home;
    this.#clock = clock;
  }

  open(path: Path, options: OpenOptions): Promise<OpenFile> {
    return openFile(buffer(path), options);
  }

  openFolder(path: Path): Promise<OpenFolder> {
    return openFolder(Buffer.from(path), { names: this.#names, clock: this.#clock });
  }

  async stat(path: Path): Promise<Attributes> {
    return attributesOf(await fs.stat(buffer(path)));
  }

  async lstat(path: Path): Promise<Attributes> {
    return attributesOf(await fs.lstat(buffer(path)));
  }

  async setstat(path: Path, { size, owner, permissions, times }: Attributes): Promise<void> {
    const name = buffer(path);
    if (size !== undefined) await fs.truncate(name, fileSize(size));
    // First, since it takes set-user-id bits away.
    if (owner !== undefined) await fs.chown(name, owner.uid, owner.gid);
    if (permissions !== undefined) await fs.chmod(name, permissions & 0o7777);
    if (times !== undefined) await fs.utimes(name, times.accessed, times.modified);
  }

  async lsetstat(path: Path, { size, owner, permissions, times }: Attributes): Promise<void> {
    const name = buffer(path);
    if (size !== undefined) throw new Fault("protocol", "a link has no size that could be set");
    if (owner !== undefined) await fs.lchown(name, owner.uid, owner.gid);
    if (permissions !== undefined) await chmodItself(name, permissions & 0o7777);
    if (times !== undefined) await fs.lutimes(name, times.accessed, times.modified);
  }

  remove(path: Path): Promise<void> {
    return fs.unlink(buffer(path));
  }

  async mkdir(path: Path, permissions: number | undefined): Promise<void> {
    await fs.mkdir(buffer(path), permissions === undefined ? 0o777 : permissions & 0o7777);
  }

  rmdir(path: Path): Promise<void> {
    return fs.rmdir(buffer(path));
  }

  async rename(from: Path, to: Path): Promise<void> {
    const [old, name] = [buffer(from), buffer(to)];
    if ((await fs.lstat(old)).isFile()) {
      // The only way that nobody can come between the look and the change.
      const linked = await fs.link(old, name).then(
        () => true,
        (err: NodeJS.ErrnoException) => {
          if (["EOPNOTSUPP", "ENOTSUP", "ENOSYS", "EPERM", "EMLINK"].includes(err.code ?? "")) return false;
          throw err;
        },
      );
      if (linked) return await fs.unlink(old);
    }
    if (await exists(name)) throw Object.assign(new Error("file already exists"), { code: "EEXIST" });
    await fs.rename(old, name);
  }

  posixRename(from: Path, to: Path): Promise<void> {
    return fs.rename(buffer(from), buffer(to));
  }

  readlink(path: Path): Promise<Path> {
    return fs.readlink(buffer(path), { encoding: "buffer" });
  }

  symlink(target: Path, path: Path): Promise<void> {
    return fs.symlink(buffer(target), buffer(path));
  }

  hardlink(from: Path, to: Path): Promise<void> {
    return fs.link(buffer(from), buffer(to));
  }

  async realpath(path: Path): Promise<Path> {
    const name = path.length === 0 ? Buffer.from(".") : buffer(path);
    return fs.realpath(name, { encoding: "buffer" }).catch((err: NodeJS.ErrnoException) => {
      if (err.code !== "ENOENT") throw err;
      return realParent(name, err);
    });
  }

  async expandPath(path: Path): Promise<Path> {
    const text = Buffer.from(path).toString("latin1");
    if (!text.startsWith("~")) return this.realpath(path);
    const [, user = "", below = ""] = /^~([^/]*)(.*)$/s.exec(text) ?? [];
    const home = user === "" ? this.#home : await homeOf(Buffer.from(user, "latin1").toString());
    if (home === undefined) throw Object.assign(new Error("no such user"), { code: "ENOENT" });
    return this.realpath(Buffer.concat([Buffer.from(home), Buffer.from(below, "latin1")]));
  }

  statvfs(path: Path): Promise<FileSystemState> {
    return fileSystemState(buffer(path));
  }

  async userNames(ids: readonly number[]): Promise<Uint8Array[]> {
    return (await this.#names.of("passwd", ids)).map((name) => Buffer.from(name));
  }

  async groupNames(ids: readonly number[]): Promise<Uint8Array[]> {
    return (await this.#names.of("group", ids)).map((name) => Buffer.from(name));
  }
}

const buffer = (path: Path): Buffer => Buffer.from(path.buffer, path.byteOffset, path.length);

const exists = (path: Buffer): Promise<boolean> =>
  fs.lstat(path).then(
    () => true,
    (err: NodeJS.ErrnoException) => {
      if (err.code === "ENOENT") return false;
      throw err;
    },
  );

/** Where something that is not there yet would be. */
async function realParent(path: Buffer, why: Error): Promise<Buffer> {
  const [, parent = "", last = ""] = /^(.*?)([^/]+)\/*$/s.exec(path.toString("latin1")) ?? [];
  if (last === "" || last === "." || last === "..") throw why;
  const folder = parent === "" ? "." : parent;
  const real = await fs.realpath(Buffer.from(folder, "latin1"), { encoding: "buffer" });
  const slash = real.at(-1) === 0x2f ? "" : "/";
  return Buffer.concat([real, Buffer.from(`${slash}${last}`, "latin1")]);
}

/** chmod(2) that does not follow: by the descriptor of what was found. Linux has no mode for a symlink. */
async function chmodItself(path: Buffer, mode: number): Promise<void> {
  await using found = await fs.open(path, O_PATH | constants.O_NOFOLLOW);
  if ((await found.stat()).isSymbolicLink())
    throw Object.assign(new Error("a link has no mode"), { code: "EOPNOTSUPP" });
  await fs.chmod(`/proc/self/fd/${found.fd}`, mode);
}
