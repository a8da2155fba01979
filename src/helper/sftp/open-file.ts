import { constants, promises as fs, readSync, type Stats, writeSync } from "node:fs";
import type { Attributes, OpenFile, OpenOptions } from "#ssh/sftp";
import { fileSystemState } from "./file-system.ts";

/** Opens as open(2) does, but never waits: a pipe without the other side is an error, not the end of the session. */
export async function openFile(path: Buffer, options: OpenOptions): Promise<OpenFile> {
  const { O_RDONLY, O_WRONLY, O_RDWR, O_APPEND, O_CREAT, O_TRUNC, O_EXCL, O_NONBLOCK, O_NOCTTY } = constants;
  const flags =
    (options.write ? (options.read ? O_RDWR : O_WRONLY) : O_RDONLY) |
    (options.append ? O_APPEND : 0) |
    (options.create ? O_CREAT : 0) |
    (options.truncate ? O_TRUNC : 0) |
    (options.exclusive ? O_EXCL : 0) |
    O_NONBLOCK |
    O_NOCTTY;
  const mode = options.permissions === undefined ? 0o666 : options.permissions & 0o7777;
  return new DiskFile(await fs.open(path, flags, mode));
}

class DiskFile implements OpenFile {
  readonly #handle: fs.FileHandle;

  constructor(handle: fs.FileHandle) {
    this.#handle = handle;
  }

  read(into: Uint8Array, offset: bigint): number {
    return readSync(this.#handle.fd, into, 0, into.length, offset);
  }

  write(data: Uint8Array, offset: bigint): void {
    const start = fileSize(offset);
    for (let at = 0; at < data.length; )
      at += writeSync(this.#handle.fd, data, at, data.length - at, start + at);
  }

  async stat(): Promise<Attributes> {
    return attributesOf(await this.#handle.stat());
  }

  async setstat({ size, owner, permissions, times }: Attributes): Promise<void> {
    const file = this.#handle;
    if (size !== undefined) await file.truncate(fileSize(size));
    // First, since it takes set-user-id bits away.
    if (owner !== undefined) await file.chown(owner.uid, owner.gid);
    if (permissions !== undefined) await file.chmod(permissions & 0o7777);
    if (times !== undefined) await file.utimes(times.accessed, times.modified);
  }

  /** There is no fstatvfs in Node; this name leads to the open file whatever became of its path. */
  statvfs(): ReturnType<OpenFile["statvfs"]> {
    return fileSystemState(Buffer.from(`/proc/self/fd/${this.#handle.fd}`));
  }

  sync(): Promise<void> {
    return this.#handle.sync();
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

/** Throws `EFBIG`, as the system does a little later, for what is no exact number here. */
export function fileSize(size: bigint): number {
  if (size <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(size);
  throw Object.assign(new Error("file too large"), { code: "EFBIG" });
}

export function attributesOf({ size, uid, gid, mode, atimeMs, mtimeMs }: Stats): Attributes {
  const seconds = (ms: number): number => Math.min(Math.max(Math.floor(ms / 1000), 0), 0xffff_ffff);
  return {
    size: BigInt(size),
    owner: { uid, gid },
    permissions: mode,
    times: { accessed: seconds(atimeMs), modified: seconds(mtimeMs) },
  };
}
