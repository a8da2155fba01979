import { Fault } from "#core/errors";
import { done, oneName, statusAnswer } from "./answers.ts";
import type { Files, OpenFile } from "./files.ts";
import type { Handles } from "./handles.ts";
import * as wire from "./messages.ts";
import type { Handler } from "./requests.ts";

/** Ids whose names are looked up for one request. */
const maxIds = 1024;

/** Extended requests by their name (OpenSSH PROTOCOL §4). */
export function extendedHandlers(
  files: Files,
  handles: Handles,
  maxHandles: number,
): ReadonlyMap<string, Handler> {
  const all = new Map<string, Handler>();
  const on =
    (looks: boolean) =>
    <N extends Name>(name: N, run: (asked: Asked<N>, id: number) => Promise<Uint8Array>): void => {
      const { decode } = wire.extendedRequests[name];
      all.set(name, {
        looks,
        run: async (raw) => {
          const { id, data } = wire.Extended.decode(raw);
          return run(decode(data) as Asked<N>, id);
        },
      });
    };
  const [look, change] = [on(true), on(false)];

  look("statvfs@openssh.com", async ({ path }, id) =>
    reply(id, wire.FileSystem.encode(await files.statvfs(path))),
  );
  look("fstatvfs@openssh.com", async ({ handle }, id) =>
    reply(id, wire.FileSystem.encode(await handles.file(handle).statvfs())),
  );
  look("limits@openssh.com", async (_, id) => {
    return reply(
      id,
      wire.Limits.encode({
        maxMessage: BigInt(wire.maxMessage),
        maxRead: BigInt(wire.maxData),
        maxWrite: BigInt(wire.maxData),
        maxHandles: BigInt(maxHandles),
      }),
    );
  });
  look("expand-path@openssh.com", async ({ path }, id) => oneName(id, await files.expandPath(path)));
  look("users-groups-by-id@openssh.com", async (asked, id) => {
    if (asked.users.length + asked.groups.length > maxIds)
      throw new Fault("limit_exceeded", `at most ${maxIds} names may be asked for at a time`);
    const [users, groups] = await Promise.all([files.userNames(asked.users), files.groupNames(asked.groups)]);
    return reply(id, wire.UsersGroups.encode({ users, groups }));
  });
  change("posix-rename@openssh.com", async ({ from, to }, id) => {
    await files.posixRename(from, to);
    return done(id);
  });
  change("hardlink@openssh.com", async ({ from, to }, id) => {
    await files.hardlink(from, to);
    return done(id);
  });
  change("lsetstat@openssh.com", async ({ path, attributes }, id) => {
    await files.lsetstat(path, attributes);
    return done(id);
  });
  change("fsync@openssh.com", async ({ handle }, id) => {
    await handles.file(handle).sync();
    return done(id);
  });
  change("copy-data", async (asked, id) => {
    const [from, to] = [handles.file(asked.from), handles.file(asked.to)];
    if (from === to) throw new Fault("bad_parameter", "a file cannot be copied onto itself");
    const length = asked.length === 0n ? await toEnd(from, asked.fromOffset) : asked.length;
    const whole = copy({ file: from, at: asked.fromOffset }, { file: to, at: asked.toOffset }, length);
    return whole || asked.length === 0n
      ? done(id)
      : statusAnswer(id, wire.status.endOfFile, "the file ended before");
  });
  return all;
}

type Name = keyof typeof wire.extendedRequests;
type Asked<N extends Name> = ReturnType<(typeof wire.extendedRequests)[N]["decode"]>;

const reply = (id: number, data: Uint8Array): Uint8Array => wire.ExtendedAnswer.encode({ id, data });

/** To the end as it is now: it would move away from a copy within one file. */
async function toEnd(file: OpenFile, offset: bigint): Promise<bigint> {
  const { size = 0n } = await file.stat();
  // Files of /proc say 0 and are not: those are read until they end.
  if (size === 0n) return 2n ** 64n;
  return size > offset ? size - offset : 0n;
}

/** False when the file ended before. */
function copy(
  from: { file: OpenFile; at: bigint },
  to: { file: OpenFile; at: bigint },
  length: bigint,
): boolean {
  const buffer = new Uint8Array(wire.maxData);
  let copied = 0n;
  while (copied < length) {
    const left = Math.min(Number(length - copied), buffer.length);
    const count = from.file.read(buffer.subarray(0, left), from.at + copied);
    if (count === 0) return false;
    to.file.write(buffer.subarray(0, count), to.at + copied);
    copied += BigInt(count);
  }
  return true;
}
