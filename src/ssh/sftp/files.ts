import type { Attributes } from "./attributes.ts";
import type { FileSystem } from "./messages.ts";

/** As bytes: not every name is UTF-8. Relative ones start at the login's home. */
export type Path = Uint8Array;

/** See `FileSystem` of messages.ts. */
export type FileSystemState = ReturnType<typeof FileSystem.decode>;

export interface OpenOptions {
  readonly read: boolean;
  readonly write: boolean;
  readonly append: boolean;
  readonly create: boolean;
  readonly truncate: boolean;
  readonly exclusive: boolean;
  /** For a file that is made; absent: what the umask leaves. */
  readonly permissions: number | undefined;
}

/**
 * What an SFTP server serves. Errors are thrown as the system names them: with a `code` such as `ENOENT`. A symlink at
 * the end of a path is followed where the system call of the same name does.
 */
export interface Files {
  open(path: Path, options: OpenOptions): Promise<OpenFile>;
  openFolder(path: Path): Promise<OpenFolder>;
  stat(path: Path): Promise<Attributes>;
  lstat(path: Path): Promise<Attributes>;
  setstat(path: Path, attributes: Attributes): Promise<void>;
  /** Of a symlink itself. */
  lsetstat(path: Path, attributes: Attributes): Promise<void>;
  remove(path: Path): Promise<void>;
  mkdir(path: Path, permissions: number | undefined): Promise<void>;
  rmdir(path: Path): Promise<void>;
  /** Never replaces what is at `to`. */
  rename(from: Path, to: Path): Promise<void>;
  /** Replaces what is at `to`, as rename(2) does. */
  posixRename(from: Path, to: Path): Promise<void>;
  readlink(path: Path): Promise<Path>;
  symlink(target: Path, path: Path): Promise<void>;
  hardlink(from: Path, to: Path): Promise<void>;
  /** Absolute, without links. The last step need not exist. */
  realpath(path: Path): Promise<Path>;
  /** As `realpath`, after `~` and `~user` at its start have been replaced. */
  expandPath(path: Path): Promise<Path>;
  statvfs(path: Path): Promise<FileSystemState>;
  /** Names in the order of the ids, empty where there is none. */
  userNames(ids: readonly number[]): Promise<Uint8Array[]>;
  groupNames(ids: readonly number[]): Promise<Uint8Array[]>;
}

/**
 * Reads and writes are synchronous: they move at most 256 KiB between memory and the system's cache, and waiting for a
 * thread to do it takes longer.
 */
export interface OpenFile {
  /** Bytes read; 0 at the end of the file. */
  read(into: Uint8Array, offset: bigint): number;
  /** Writes all of it. */
  write(data: Uint8Array, offset: bigint): void;
  stat(): Promise<Attributes>;
  setstat(attributes: Attributes): Promise<void>;
  statvfs(): Promise<FileSystemState>;
  sync(): Promise<void>;
  /** `cut`: the client left without closing it. */
  close(cut?: "cut"): Promise<void>;
}

export interface OpenFolder {
  /** Some more of what is in it, none when all has been given. */
  read(): Promise<FolderEntry[]>;
  close(): Promise<void>;
}

export interface FolderEntry {
  readonly name: Uint8Array;
  /** The line of `ls -l`. */
  readonly line: Uint8Array;
  readonly attributes: Attributes;
}
