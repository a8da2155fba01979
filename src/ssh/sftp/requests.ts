import type { Body, Message } from "../wire/codec.ts";
import { done, oneName, statusAnswer } from "./answers.ts";
import type { Files } from "./files.ts";
import type { Handles } from "./handles.ts";
import * as wire from "./messages.ts";

/** How one kind of request is served. */
export interface Handler {
  /** Changes nothing that another request could see. */
  readonly looks: boolean;
  /** Resolves to the answer; rejects with why there is none, `protocol` when the message cannot be read. */
  readonly run: (message: Uint8Array) => Promise<Uint8Array>;
}

/** All requests by their message id, but for reads, writes (server.ts) and extended ones. */
export function handlers(files: Files, handles: Handles): ReadonlyMap<number, Handler> {
  const all = new Map<number, Handler>();
  const on =
    (looks: boolean) =>
    <M extends AnyRequest>(message: M, run: (body: Body<M>) => Promise<Uint8Array>): void => {
      all.set(message.id, { looks, run: async (raw) => run(message.decode(raw) as Body<M>) });
    };
  look(on(true), files, handles);
  change(on(false), files, handles);
  return all;
}

// biome-ignore lint/suspicious/noExplicitAny: a message's shape is invariant, as its fields are
type AnyRequest = Message<string, any>;
type On = <M extends AnyRequest>(message: M, run: (body: Body<M>) => Promise<Uint8Array>) => void;

function look(on: On, files: Files, handles: Handles): void {
  on(wire.Lstat, async ({ id, path }) =>
    wire.AttrsAnswer.encode({ id, attributes: await files.lstat(path) }),
  );
  on(wire.Stat, async ({ id, path }) => wire.AttrsAnswer.encode({ id, attributes: await files.stat(path) }));
  on(wire.Fstat, async ({ id, handle }) =>
    wire.AttrsAnswer.encode({ id, attributes: await handles.file(handle).stat() }),
  );
  on(wire.Realpath, async ({ id, path }) => oneName(id, await files.realpath(path)));
  on(wire.Readlink, async ({ id, path }) => oneName(id, await files.readlink(path)));
}

function change(on: On, files: Files, handles: Handles): void {
  on(wire.Open, async ({ id, path, flags, attributes }) => {
    handles.checkRoom();
    const has = (flag: keyof typeof wire.openFlags): boolean => (flags & wire.openFlags[flag]) !== 0;
    const file = await files.open(path, {
      read: has("read") || !has("write"),
      write: has("write"),
      append: has("append"),
      create: has("create"),
      truncate: has("truncate"),
      exclusive: has("exclusive"),
      permissions: attributes.permissions,
    });
    return wire.HandleAnswer.encode({ id, handle: handles.add({ kind: "file", file }) });
  });
  on(wire.Opendir, async ({ id, path }) => {
    handles.checkRoom();
    const folder = await files.openFolder(path);
    return wire.HandleAnswer.encode({ id, handle: handles.add({ kind: "folder", folder }) });
  });
  // It moves on in the folder.
  on(wire.Readdir, async ({ id, handle }) => {
    const entries = await handles.folder(handle).read();
    if (entries.length === 0) return statusAnswer(id, wire.status.endOfFile, "end of the folder");
    const names = entries.map(({ name, line, attributes }) => ({
      filename: name,
      longname: line,
      attributes,
    }));
    return wire.NameAnswer.encode({ id, names });
  });
  on(wire.Close, ({ id, handle }) => handles.close(handle).then(() => done(id)));
  on(wire.Setstat, ({ id, path, attributes }) => files.setstat(path, attributes).then(() => done(id)));
  on(wire.Fsetstat, ({ id, handle, attributes }) =>
    handles
      .file(handle)
      .setstat(attributes)
      .then(() => done(id)),
  );
  on(wire.Remove, ({ id, path }) => files.remove(path).then(() => done(id)));
  on(wire.Mkdir, ({ id, path, attributes }) =>
    files.mkdir(path, attributes.permissions).then(() => done(id)),
  );
  on(wire.Rmdir, ({ id, path }) => files.rmdir(path).then(() => done(id)));
  on(wire.Rename, ({ id, from, to }) => files.rename(from, to).then(() => done(id)));
  on(wire.Symlink, ({ id, target, path }) => files.symlink(target, path).then(() => done(id)));
}
