import { bytes, type Field, uint32, uint64 } from "../wire/codec.ts";

/** What a message says of a file (draft-ietf-secsh-filexfer-02 §5); what is absent is not told, or not to be changed. */
export interface Attributes {
  /** Bytes. */
  readonly size?: bigint;
  readonly owner?: { readonly uid: number; readonly gid: number };
  /** As st_mode: the kind of file too when a server tells it. */
  readonly permissions?: number;
  /** Seconds since the Unix epoch. */
  readonly times?: { readonly accessed: number; readonly modified: number };
}

const has = { size: 0x1, owner: 0x2, permissions: 0x4, times: 0x8, extended: 0x8000_0000 } as const;

/** Extended attributes are read past: nobody sends them to a server of version 3. */
export const attributes: Field<Attributes> = {
  read(r) {
    const flags = uint32.read(r);
    const told = {
      ...(flags & has.size && { size: uint64.read(r) }),
      ...(flags & has.owner && { owner: { uid: uint32.read(r), gid: uint32.read(r) } }),
      ...(flags & has.permissions && { permissions: uint32.read(r) }),
      ...(flags & has.times && { times: { accessed: uint32.read(r), modified: uint32.read(r) } }),
    };
    if (flags & has.extended) {
      // The count is not believed further than the bytes go.
      for (let left = uint32.read(r); left > 0; left--) {
        bytes.read(r);
        bytes.read(r);
      }
    }
    return told;
  },
  write(w, { size, owner, permissions, times }) {
    const flags =
      (size === undefined ? 0 : has.size) |
      (owner === undefined ? 0 : has.owner) |
      (permissions === undefined ? 0 : has.permissions) |
      (times === undefined ? 0 : has.times);
    uint32.write(w, flags);
    if (size !== undefined) uint64.write(w, size);
    if (owner !== undefined) {
      uint32.write(w, owner.uid);
      uint32.write(w, owner.gid);
    }
    if (permissions !== undefined) uint32.write(w, permissions);
    if (times !== undefined) {
      uint32.write(w, times.accessed);
      uint32.write(w, times.modified);
    }
  },
};
