import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { Fault } from "#core/errors";
import type { Attributes } from "./attributes.ts";
import type { Files, OpenFile } from "./files.ts";
import * as wire from "./messages.ts";
import { type SftpLink, serveSftp } from "./server.ts";

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const bytes = (value: string): Uint8Array => new TextEncoder().encode(value);
const gone = (): Error => Object.assign(new Error("no such file or directory"), { code: "ENOENT" });

/** Files in memory: enough to be served. `log` tells what was called; `gates` hold looks back. */
function memoryFiles() {
  const contents = new Map<string, Buffer>();
  const log: string[] = [];
  const gates = new Map<string, Promise<void>>();
  const open = (name: string): OpenFile => ({
    read(into, offset) {
      const from = (contents.get(name) as Buffer).subarray(Number(offset));
      return from.copy(into);
    },
    write(data, offset) {
      const old = contents.get(name) as Buffer;
      const next = Buffer.alloc(Math.max(old.length, Number(offset) + data.length));
      old.copy(next);
      next.set(data, Number(offset));
      contents.set(name, next);
    },
    stat: async () => sizeOf(name),
    setstat: async () => {},
    statvfs: () => Promise.reject(gone()),
    sync: async () => void log.push(`sync ${name}`),
    close: async (cut) => void log.push(`${cut ?? "close"} ${name}`),
  });
  const sizeOf = (name: string): Attributes => {
    const file = contents.get(name);
    if (file === undefined) throw gone();
    return { size: BigInt(file.length) };
  };
  const files: Files = {
    async open(path, { create, truncate }) {
      const name = text(path);
      if (!contents.has(name) && !create) throw gone();
      if (!contents.has(name) || truncate) contents.set(name, Buffer.alloc(0));
      log.push(`open ${name}`);
      return open(name);
    },
    async openFolder() {
      const batches = [["a", "b"], ["c"], []];
      return {
        read: async () =>
          (batches.shift() ?? []).map((name) => ({
            name: bytes(name),
            line: bytes(`-- ${name}`),
            attributes: {},
          })),
        close: async () => void log.push("close folder"),
      };
    },
    async stat(path) {
      await gates.get(text(path));
      log.push(`stat ${text(path)}`);
      return sizeOf(text(path));
    },
    lstat: async (path) => sizeOf(text(path)),
    setstat: async (path, { permissions }) =>
      void log.push(`chmod ${permissions?.toString(8)} ${text(path)}`),
    lsetstat: async (path) => void log.push(`lsetstat ${text(path)}`),
    async remove(path) {
      log.push(`remove ${text(path)}`);
      if (!contents.delete(text(path))) throw gone();
    },
    mkdir: async (path, permissions) => void log.push(`mkdir ${permissions?.toString(8)} ${text(path)}`),
    rmdir: () => Promise.reject(Object.assign(new Error("permission denied"), { code: "EACCES" })),
    rename: () => Promise.reject(Object.assign(new Error("file already exists"), { code: "EEXIST" })),
    posixRename: async (from, to) => void log.push(`rename ${text(from)} ${text(to)}`),
    readlink: async () => bytes("target"),
    symlink: async (target, path) => void log.push(`symlink ${text(path)} to ${text(target)}`),
    hardlink: async (from, to) => void log.push(`link ${text(from)} ${text(to)}`),
    realpath: async (path) => bytes(`/home/${text(path)}`),
    expandPath: async (path) => bytes(text(path).replace("~", "/home/ada")),
    statvfs: async () => space,
    userNames: async (ids) => ids.map((id) => bytes(id === 0 ? "root" : "")),
    groupNames: async (ids) => ids.map(() => bytes("staff")),
  };
  return { files, contents, log, gates };
}

const space = {
  ...{ bsize: 4096n, frsize: 4096n, blocks: 10n, bfree: 9n, bavail: 8n, files: 7n, ffree: 6n },
  ...{ favail: 5n, fsid: 4n, flag: 3n, namemax: 255n },
};

/** Sends requests, all at once unless `steps` says otherwise, and gives the answers. */
async function exchange(
  requests: readonly Uint8Array[],
  { files = memoryFiles().files, maxHandles = 10, version = 3, step = Number.POSITIVE_INFINITY } = {},
): Promise<Uint8Array[]> {
  const stream = Buffer.concat(
    [wire.Init.encode({ version, extensions: new Uint8Array() }), ...requests].flatMap((message) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(message.length);
      return [length, message];
    }),
  );
  const answers: Uint8Array[] = [];
  let at = 0;
  const link: SftpLink = {
    read(into) {
      const from = at;
      at += stream.copy(into, 0, from, Math.min(from + step, from + into.length));
      return at - from;
    },
    write(sent) {
      assert.equal(Buffer.from(sent).readUInt32BE(0), sent.length - 4);
      answers.push(sent.slice(4));
    },
  };
  await serveSftp(link, files, { maxHandles });
  return answers.slice(1);
}

const openFor = (path: string, flags: number, id = 1): Uint8Array =>
  wire.Open.encode({ id, path: bytes(path), flags, attributes: {} });
const { read, write, create } = wire.openFlags;
/** The first handle of a session. */
const first = Uint8Array.of(0, 0, 0, 1);
const second = Uint8Array.of(0, 0, 0, 2);
const statusOf = (answer: Uint8Array | undefined): number | string =>
  answer?.[0] === wire.StatusAnswer.id ? wire.StatusAnswer.decode(answer).code : `message ${answer?.[0]}`;

suite("SFTP server", () => {
  test("says version 3 and every extension that it serves", async () => {
    const sent: Uint8Array[] = [];
    const hello = Buffer.concat([
      Uint8Array.of(0, 0, 0, 5),
      wire.Init.encode({ version: 6, extensions: new Uint8Array() }),
    ]);
    let given = false;
    const read = (into: Uint8Array): number => {
      if (given) return 0;
      given = true;
      return hello.copy(into);
    };
    await serveSftp({ read, write: (b) => sent.push(b.slice(4)) }, memoryFiles().files, { maxHandles: 1 });
    const { version, extensions } = wire.Version.decode(sent[0] as Uint8Array);
    assert.equal(version, 3);
    assert.deepEqual(
      extensions.map(({ name, data }) => `${name} ${data}`),
      [
        "posix-rename@openssh.com 1",
        "statvfs@openssh.com 2",
        "fstatvfs@openssh.com 2",
        "hardlink@openssh.com 1",
        "fsync@openssh.com 1",
        "lsetstat@openssh.com 1",
        "limits@openssh.com 1",
        "expand-path@openssh.com 1",
        "copy-data 1",
        "users-groups-by-id@openssh.com 1",
      ],
    );
  });

  test("a file is written, read back and closed, all sent without waiting", async () => {
    const { files, contents, log } = memoryFiles();
    const answers = await exchange(
      [
        openFor("f", read | write | create),
        wire.Write.encode({ id: 2, handle: first, offset: 0n, data: bytes("hello ") }),
        wire.Write.encode({ id: 3, handle: first, offset: 6n, data: bytes("world") }),
        wire.Read.encode({ id: 4, handle: first, offset: 3n, length: 1000 }),
        wire.Read.encode({ id: 5, handle: first, offset: 11n, length: 1000 }),
        wire.Close.encode({ id: 6, handle: first }),
        wire.Read.encode({ id: 7, handle: first, offset: 0n, length: 1 }),
      ],
      { files },
    );
    assert.equal(contents.get("f")?.toString(), "hello world");
    assert.deepEqual(wire.HandleAnswer.decode(answers[0] as Uint8Array), { id: 1, handle: first });
    assert.deepEqual(
      [1, 2].map((i) => statusOf(answers[i])),
      [0, 0],
    );
    assert.deepEqual(wire.DataAnswer.decode(answers[3] as Uint8Array), { id: 4, data: bytes("lo world") });
    assert.deepEqual(
      [4, 5, 6].map((i) => statusOf(answers[i])),
      [wire.status.endOfFile, wire.status.ok, wire.status.failure],
    );
    assert.deepEqual(log, ["open f", "close f"]);
  });

  test("a read of more than an answer may hold is answered with less", async () => {
    const { files, contents } = memoryFiles();
    contents.set("big", Buffer.alloc(1024 * 1024));
    const answers = await exchange(
      [openFor("big", read), wire.Read.encode({ id: 2, handle: first, offset: 0n, length: 0xffff_ffff })],
      { files },
    );
    assert.equal(wire.DataAnswer.decode(answers[1] as Uint8Array).data.length, 255 * 1024);
  });

  test("looks overlap and are answered as they complete; a change waits for those before it", async () => {
    const { files, contents, log, gates } = memoryFiles();
    const slow = Promise.withResolvers<void>();
    gates.set("slow", slow.promise);
    gates.set("fast", Promise.resolve().then(() => setImmediate(slow.resolve)) as Promise<never>);
    for (const name of ["slow", "fast"]) contents.set(name, Buffer.alloc(1));
    const answers = await exchange(
      [
        wire.Stat.encode({ id: 1, path: bytes("slow") }),
        wire.Stat.encode({ id: 2, path: bytes("fast") }),
        wire.Remove.encode({ id: 3, path: bytes("slow") }),
        wire.Stat.encode({ id: 4, path: bytes("slow") }),
      ],
      { files },
    );
    assert.deepEqual(
      answers.map((answer) => wire.envelope(answer).id),
      [2, 1, 3, 4],
    );
    assert.deepEqual(log, ["stat fast", "stat slow", "remove slow", "stat slow"]);
    assert.equal(statusOf(answers[3]), wire.status.noSuchFile);
  });

  test("1,000 looks at once are all answered", async () => {
    const { files, contents } = memoryFiles();
    contents.set("f", Buffer.alloc(1));
    const requests = Array.from({ length: 1000 }, (_, id) => wire.Stat.encode({ id, path: bytes("f") }));
    const answers = await exchange(requests, { files, step: 5000 });
    const ids = new Set(answers.map((answer) => wire.AttrsAnswer.decode(answer).id));
    assert.equal(ids.size, 1000);
  });

  test("S65: of all looks at once only so many are worked on at a time", async () => {
    const { files, contents } = memoryFiles();
    contents.set("f", Buffer.alloc(1));
    let [working, most] = [0, 0];
    const counted: Files = {
      ...files,
      async stat(path) {
        most = Math.max(most, ++working);
        await new Promise((resolve) => setImmediate(resolve));
        working--;
        return files.stat(path);
      },
    };
    const requests = Array.from({ length: 1000 }, (_, id) => wire.Stat.encode({ id, path: bytes("f") }));
    assert.equal((await exchange(requests, { files: counted })).length, 1000);
    assert.equal(most, 64);
  });

  test("a handle is good for what it was given for only, and only whole", async () => {
    const { files, contents } = memoryFiles();
    contents.set("f", Buffer.from("secret"));
    const reading = (id: number, handle: Uint8Array) =>
      wire.Read.encode({ id, handle, offset: 0n, length: 6 });
    const answers = await exchange(
      [
        openFor("f", read),
        wire.Opendir.encode({ id: 2, path: bytes("d") }),
        reading(3, Uint8Array.of(...first, 0)),
        reading(4, first.subarray(1)),
        reading(5, new Uint8Array(0)),
        reading(6, second),
        wire.Readdir.encode({ id: 7, handle: first }),
        reading(8, first),
      ],
      { files },
    );
    const why = answers.slice(2, 7).map((answer) => wire.StatusAnswer.decode(answer).message);
    const noFile = "this is no handle of an open file";
    assert.deepEqual(why, [noFile, noFile, noFile, noFile, "this is no handle of an open folder"]);
    assert.equal(text(wire.DataAnswer.decode(answers[7] as Uint8Array).data), "secret");
  });

  test("a folder is given in pieces until its end", async () => {
    const readdir = (id: number): Uint8Array => wire.Readdir.encode({ id, handle: first });
    const answers = await exchange([
      wire.Opendir.encode({ id: 1, path: bytes("d") }),
      readdir(2),
      readdir(3),
      readdir(4),
      wire.Read.encode({ id: 5, handle: first, offset: 0n, length: 1 }),
    ]);
    const names = (i: number): string[] =>
      wire.NameAnswer.decode(answers[i] as Uint8Array).names.map(({ longname }) => text(longname));
    assert.deepEqual([names(1), names(2)], [["-- a", "-- b"], ["-- c"]]);
    assert.deepEqual(
      [statusOf(answers[3]), statusOf(answers[4])],
      [wire.status.endOfFile, wire.status.failure],
    );
  });

  test("what was left open is closed when the client leaves", async () => {
    const { files, log } = memoryFiles();
    await exchange([openFor("f", write | create), wire.Opendir.encode({ id: 2, path: bytes("d") })], {
      files,
    });
    assert.deepEqual(log, ["open f", "cut f", "close folder"]);
  });

  test("no more files than the limit are open at a time", async () => {
    const answers = await exchange(
      [
        openFor("a", write | create),
        openFor("b", write | create),
        openFor("c", write | create, 3),
        wire.Close.encode({ id: 4, handle: first }),
        openFor("c", write | create, 5),
      ],
      { maxHandles: 2 },
    );
    assert.equal(statusOf(answers[2]), wire.status.failure);
    // A handle is not used again.
    assert.deepEqual(wire.HandleAnswer.decode(answers[4] as Uint8Array).handle, Uint8Array.of(0, 0, 0, 3));
  });

  for (const [request, want] of [
    [wire.Mkdir.encode({ id: 1, path: bytes("d"), attributes: { permissions: 0o750 } }), "mkdir 750 d"],
    [wire.Setstat.encode({ id: 1, path: bytes("f"), attributes: { permissions: 0o600 } }), "chmod 600 f"],
    [wire.Symlink.encode({ id: 1, target: bytes("t"), path: bytes("l") }), "symlink l to t"],
    [extended("posix-rename@openssh.com", { from: bytes("a"), to: bytes("b") }), "rename a b"],
    [extended("hardlink@openssh.com", { from: bytes("a"), to: bytes("b") }), "link a b"],
    [extended("lsetstat@openssh.com", { path: bytes("a"), attributes: {} }), "lsetstat a"],
  ] as const) {
    test(want, async () => {
      const { files, log } = memoryFiles();
      const [answer] = await exchange([request], { files });
      assert.deepEqual([statusOf(answer), log], [wire.status.ok, [want]]);
    });
  }

  for (const [what, request, want] of [
    ["a path", wire.Realpath.encode({ id: 1, path: bytes("x") }), "/home/x"],
    ["a link", wire.Readlink.encode({ id: 1, path: bytes("x") }), "target"],
    ["a home", extended("expand-path@openssh.com", { path: bytes("~/x") }), "/home/ada/x"],
  ] as const) {
    test(`${what} is answered with one name`, async () => {
      const [answer] = await exchange([request]);
      const { names } = wire.NameAnswer.decode(answer as Uint8Array);
      assert.deepEqual(
        names.map(({ filename }) => text(filename)),
        [want],
      );
    });
  }

  for (const [code, why, request] of [
    [2, "what is not there", openFor("none", read)],
    [3, "what is not allowed", wire.Rmdir.encode({ id: 1, path: bytes("d") })],
    [4, "a name that is taken", wire.Rename.encode({ id: 1, from: bytes("a"), to: bytes("b") })],
    [4, "a handle that nobody gave", wire.Close.encode({ id: 1, handle: bytes("stolen") })],
    [5, "a path that is cut short", Uint8Array.of(wire.Stat.id, 0, 0, 0, 1, 0, 0, 0, 9, 47)],
    [5, "bytes after the last field", Uint8Array.of(wire.Close.id, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1)],
    [5, "an extended request without a name", Uint8Array.of(wire.Extended.id, 0, 0, 0, 1)],
    [8, "a message that nobody knows", Uint8Array.of(77, 0, 0, 0, 1)],
    [
      8,
      "an extension that nobody knows",
      wire.Extended.encode({ id: 1, request: "x@y", data: new Uint8Array() }),
    ],
  ] as const) {
    test(`${why} is answered with status ${code}, and the session goes on`, async () => {
      const answers = await exchange([request, wire.Realpath.encode({ id: 2, path: bytes("x") })]);
      assert.equal(statusOf(answers[0]), code);
      assert.equal(wire.envelope(answers[1] as Uint8Array).id, 2);
    });
  }

  test("says its limits, the space that is left, and names", async () => {
    const data = async (request: Uint8Array): Promise<Uint8Array> => {
      const [answer] = await exchange([request], { maxHandles: 7 });
      return wire.ExtendedAnswer.decode(answer as Uint8Array).data;
    };
    assert.deepEqual(wire.Limits.decode(await data(extended("limits@openssh.com", {}))), {
      maxMessage: 262_144n,
      maxRead: 261_120n,
      maxWrite: 261_120n,
      maxHandles: 7n,
    });
    assert.deepEqual(
      wire.FileSystem.decode(await data(extended("statvfs@openssh.com", { path: bytes("/") }))),
      space,
    );
    const asked = { users: [0, 5], groups: [50] };
    const names = wire.UsersGroups.decode(await data(extended("users-groups-by-id@openssh.com", asked)));
    assert.deepEqual([names.users.map(text), names.groups.map(text)], [["root", ""], ["staff"]]);
    const tooMany = { users: Array(1000).fill(0), groups: Array(25).fill(0) };
    const [refused] = await exchange([extended("users-groups-by-id@openssh.com", tooMany)]);
    assert.match(wire.StatusAnswer.decode(refused as Uint8Array).message, /at most 1024 names/);
  });

  test("a copy to the end of a file that grows by it ends", async () => {
    const { files, contents } = memoryFiles();
    contents.set("a", Buffer.from("abc"));
    const copy = { from: first, fromOffset: 1n, length: 0n, to: second, toOffset: 3n };
    const answers = await exchange([openFor("a", read), openFor("a", write), extended("copy-data", copy)], {
      files,
    });
    assert.equal(statusOf(answers[2]), wire.status.ok);
    assert.equal(contents.get("a")?.toString(), "abcbc");
  });

  test("copies from file to file: a part, and to the end; never onto itself", async () => {
    const { files, contents } = memoryFiles();
    contents.set("a", Buffer.from("0123456789"));
    const copy = { from: first, fromOffset: 2n, length: 3n, to: second, toOffset: 1n };
    const answers = await exchange(
      [
        openFor("a", read),
        openFor("b", write | create),
        extended("copy-data", copy),
        extended("copy-data", { ...copy, fromOffset: 7n, length: 0n, toOffset: 4n }),
        extended("copy-data", { ...copy, fromOffset: 8n, length: 5n, toOffset: 7n }),
        extended("copy-data", { ...copy, to: first }),
      ],
      { files },
    );
    assert.deepEqual(answers.slice(2).map(statusOf), [0, 0, wire.status.endOfFile, wire.status.failure]);
    assert.equal(contents.get("b")?.toString("latin1"), "\x00234789" + "89");
  });

  for (const [why, stream, sentence] of [
    ["does not begin with INIT", [0, 0, 0, 5, 17, 0, 0, 0, 1], /has to begin with INIT/],
    ["speaks version 2", [0, 0, 0, 5, 1, 0, 0, 0, 2], /version 2 is not served/],
    ["says INIT and no version", [0, 0, 0, 1, 1], /short/],
    ["sends a message of 4 GiB", [0xff, 0xff, 0xff, 0xff], /4294967295 bytes/],
    ["sends a request without an id", [0, 0, 0, 5, 1, 0, 0, 0, 3, 0, 0, 0, 2, 17, 0], /short/],
  ] as const) {
    test(`a client that ${why} is ended`, async () => {
      let given = false;
      const link: SftpLink = {
        read(into) {
          if (given) return 0;
          given = true;
          into.set(stream);
          return stream.length;
        },
        write() {},
      };
      await assert.rejects(
        serveSftp(link, memoryFiles().files, { maxHandles: 1 }),
        (err) => Fault.is(err, "protocol") && sentence.test(err.message),
      );
    });
  }

  test("a client that takes no answer ends the session, with its files closed", async () => {
    const { files, log } = memoryFiles();
    let answers = 0;
    const request = Buffer.concat(
      [
        wire.Init.encode({ version: 3, extensions: new Uint8Array() }),
        openFor("f", write | create),
        wire.Stat.encode({ id: 2, path: bytes("f") }),
        wire.Stat.encode({ id: 3, path: bytes("f") }),
      ].flatMap((message) => [Uint8Array.of(0, 0, 0, message.length), message]),
    );
    const link: SftpLink = {
      read: (into) => request.copy(into),
      write() {
        if (++answers > 2) throw new Error("broken pipe");
      },
    };
    await assert.rejects(serveSftp(link, files, { maxHandles: 9 }), /broken pipe/);
    assert.equal(log.at(-1), "cut f");
  });

  test("any requests: each is answered once, or the session ends by a protocol fault", async () => {
    const anyMessage = fc
      .tuple(
        fc.constantFrom(3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 77, 200),
        fc.array(fc.oneof({ weight: 9, arbitrary: fc.nat(4) }, fc.nat(255)), { minLength: 4, maxLength: 40 }),
      )
      .map(([type, body]) => Uint8Array.of(type, ...body));
    await fc.assert(
      fc.asyncProperty(
        fc.array(anyMessage, { maxLength: 20 }),
        fc.integer({ min: 1, max: 200 }),
        async (all, step) => {
          const answers = await exchange(all, { step });
          const ids = (list: readonly Uint8Array[]): number[] => list.map((m) => wire.envelope(m).id).sort();
          assert.deepEqual(ids(answers), ids(all));
        },
      ),
      { numRuns: Number(process.env.FUZZ_RUNS ?? 200) },
    );
  });
});

function extended<N extends keyof typeof wire.extendedRequests>(
  request: N,
  values: ReturnType<(typeof wire.extendedRequests)[N]["decode"]>,
): Uint8Array {
  return wire.Extended.encode({
    id: 1,
    request,
    data: wire.extendedRequests[request].encode(values as never),
  });
}
