import { bytes, type Field, message, Reader, rest, text, uint32, uint64, upTo } from "../wire/codec.ts";
import { structure } from "../wire/structure.ts";
import { type Attributes, attributes } from "./attributes.ts";

/** SFTP version 3 (draft-ietf-secsh-filexfer-02). Messages travel behind a uint32 with their length. */

/** What we speak, and every client that matters. */
export const version = 3;

/** Of a message without its length field, as in OpenSSH. */
export const maxMessage = 256 * 1024; // bytes
/** Of the bytes in one read or write, as in OpenSSH: what is left beside them is room for the other fields. */
export const maxData = maxMessage - 1024; // bytes

/** §6.3 */
export const openFlags = {
  read: 0x01,
  write: 0x02,
  append: 0x04,
  create: 0x08,
  truncate: 0x10,
  exclusive: 0x20,
};

/** §7 */
export const status = {
  ok: 0,
  endOfFile: 1,
  noSuchFile: 2,
  permissionDenied: 3,
  failure: 4,
  badMessage: 5,
  unsupported: 8,
} as const;
export type Status = (typeof status)[keyof typeof status];

/** §6.2: opaque, and no longer than this. */
const handle = upTo(256, bytes);

/** Repeats `one` until the message ends. */
const listOf = <T>(one: Field<T>): Field<T[]> => ({
  read(r) {
    const out: T[] = [];
    while (r.left > 0) out.push(one.read(r));
    return out;
  },
  write(w, v) {
    for (const item of v) one.write(w, item);
  },
});

/** Behind a uint32 with their number, which is not believed further than the bytes go. */
const counted = <T>(one: Field<T>): Field<T[]> => ({
  read(r) {
    const count = uint32.read(r);
    const out: T[] = [];
    while (out.length < count) out.push(one.read(r));
    return out;
  },
  write(w, v) {
    uint32.write(w, v.length);
    for (const item of v) one.write(w, item);
  },
});

/** One file of a `NAME` answer. */
export interface Named {
  readonly filename: Uint8Array;
  /** The line of `ls -l`. */
  readonly longname: Uint8Array;
  readonly attributes: Attributes;
}
const named: Field<Named> = structure("name", { filename: bytes, longname: bytes, attributes });

// §4: the start.
export const Init = message(1, "SSH_FXP_INIT", { version: uint32, extensions: rest });
export const Version = message(2, "SSH_FXP_VERSION", {
  version: uint32,
  extensions: listOf(structure("extension", { name: text, data: text })),
});

// §6: what a client asks for.
export const Open = message(3, "SSH_FXP_OPEN", { id: uint32, path: bytes, flags: uint32, attributes });
export const Close = message(4, "SSH_FXP_CLOSE", { id: uint32, handle });
export const Read = message(5, "SSH_FXP_READ", { id: uint32, handle, offset: uint64, length: uint32 });
export const Write = message(6, "SSH_FXP_WRITE", { id: uint32, handle, offset: uint64, data: bytes });
export const Lstat = message(7, "SSH_FXP_LSTAT", { id: uint32, path: bytes });
export const Fstat = message(8, "SSH_FXP_FSTAT", { id: uint32, handle });
export const Setstat = message(9, "SSH_FXP_SETSTAT", { id: uint32, path: bytes, attributes });
export const Fsetstat = message(10, "SSH_FXP_FSETSTAT", { id: uint32, handle, attributes });
export const Opendir = message(11, "SSH_FXP_OPENDIR", { id: uint32, path: bytes });
export const Readdir = message(12, "SSH_FXP_READDIR", { id: uint32, handle });
export const Remove = message(13, "SSH_FXP_REMOVE", { id: uint32, path: bytes });
export const Mkdir = message(14, "SSH_FXP_MKDIR", { id: uint32, path: bytes, attributes });
export const Rmdir = message(15, "SSH_FXP_RMDIR", { id: uint32, path: bytes });
export const Realpath = message(16, "SSH_FXP_REALPATH", { id: uint32, path: bytes });
export const Stat = message(17, "SSH_FXP_STAT", { id: uint32, path: bytes });
export const Rename = message(18, "SSH_FXP_RENAME", { id: uint32, from: bytes, to: bytes });
export const Readlink = message(19, "SSH_FXP_READLINK", { id: uint32, path: bytes });
/** In the order of OpenSSH, which is not the draft's (OpenSSH PROTOCOL §4.1) and which everybody follows. */
export const Symlink = message(20, "SSH_FXP_SYMLINK", { id: uint32, target: bytes, path: bytes });
export const Extended = message(200, "SSH_FXP_EXTENDED", { id: uint32, request: text, data: rest });

// §7: what a server answers.
export const StatusAnswer = message(101, "SSH_FXP_STATUS", {
  id: uint32,
  code: uint32,
  message: text,
  language: text,
});
export const HandleAnswer = message(102, "SSH_FXP_HANDLE", { id: uint32, handle });
export const DataAnswer = message(103, "SSH_FXP_DATA", { id: uint32, data: bytes });
export const NameAnswer = message(104, "SSH_FXP_NAME", { id: uint32, names: counted(named) });
export const AttrsAnswer = message(105, "SSH_FXP_ATTRS", { id: uint32, attributes });
export const ExtendedAnswer = message(201, "SSH_FXP_EXTENDED_REPLY", { id: uint32, data: rest });

/** What follows the name in an `Extended` request (OpenSSH PROTOCOL §4.3 and on). */
export const extendedRequests = {
  "posix-rename@openssh.com": structure("posix-rename", { from: bytes, to: bytes }),
  "statvfs@openssh.com": structure("statvfs", { path: bytes }),
  "fstatvfs@openssh.com": structure("fstatvfs", { handle }),
  "hardlink@openssh.com": structure("hardlink", { from: bytes, to: bytes }),
  "fsync@openssh.com": structure("fsync", { handle }),
  "lsetstat@openssh.com": structure("lsetstat", { path: bytes, attributes }),
  "limits@openssh.com": structure("limits", {}),
  "expand-path@openssh.com": structure("expand-path", { path: bytes }),
  /** draft-ietf-secsh-filexfer-extensions-00 §7. A length of 0 is "to the end". */
  "copy-data": structure("copy-data", {
    from: handle,
    fromOffset: uint64,
    length: uint64,
    to: handle,
    toOffset: uint64,
  }),
  "users-groups-by-id@openssh.com": structure("users-groups-by-id", {
    users: inString(uint32),
    groups: inString(uint32),
  }),
};

/** In the order of the announcement. Versions as OpenSSH has them. */
export const extensionVersions: Record<keyof typeof extendedRequests, string> = {
  "posix-rename@openssh.com": "1",
  "statvfs@openssh.com": "2",
  "fstatvfs@openssh.com": "2",
  "hardlink@openssh.com": "1",
  "fsync@openssh.com": "1",
  "lsetstat@openssh.com": "1",
  "limits@openssh.com": "1",
  "expand-path@openssh.com": "1",
  "copy-data": "1",
  "users-groups-by-id@openssh.com": "1",
};

/** Answer of `statvfs@openssh.com` and `fstatvfs@openssh.com`; the fields of statvfs(3). */
export const FileSystem = structure("file system", {
  bsize: uint64, // bytes
  frsize: uint64, // bytes; the unit of the next three
  blocks: uint64,
  bfree: uint64,
  bavail: uint64,
  files: uint64,
  ffree: uint64,
  favail: uint64,
  fsid: uint64,
  flag: uint64,
  namemax: uint64,
});

/** Bits of `flag` in `FileSystem`. */
export const fileSystemFlags = { readOnly: 1n, noSetuid: 2n };

/** Answer of `limits@openssh.com`. */
export const Limits = structure("limits", {
  maxMessage: uint64, // bytes
  maxRead: uint64, // bytes
  maxWrite: uint64, // bytes
  maxHandles: uint64,
});

/** Answer of `users-groups-by-id@openssh.com`: one for each that was asked for, empty for those without a name. */
export const UsersGroups = structure("users and groups", { users: inString(bytes), groups: inString(bytes) });

/** As many of `one` as fill a string. */
function inString<T>(one: Field<T>): Field<T[]> {
  const all = listOf(one);
  const whole = structure("list", { all });
  return {
    read: (r) => whole.decode(bytes.read(r)).all,
    write: (w, v) => bytes.write(w, whole.encode({ all: v })),
  };
}

/** What every message starts with but `Init` and `Version`. Throws `protocol` when it is shorter. */
export function envelope(message: Uint8Array): { type: number; id: number } {
  const r = new Reader(message);
  return { type: r.byte(), id: r.uint32() };
}
