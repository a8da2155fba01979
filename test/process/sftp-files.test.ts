import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, beforeEach, suite, test } from "node:test";
import { TestClock } from "#core/clock";
import type { OpenOptions } from "#ssh/sftp";
import { DiskFiles } from "../../src/helper/sftp/files.ts";
import { type SftpReport, told } from "../../src/helper/sftp/told.ts";

suite("files on disk", () => {
  const base = realpathSync(mkdtempSync(join(tmpdir(), "files-")));
  let dir = base;
  let reports: SftpReport[] = [];
  let turn = 0;
  const disk = new DiskFiles({ home: base, clock: new TestClock() });
  const files = told(disk, (report) => reports.push(report));
  beforeEach(() => {
    dir = join(base, String(turn++));
    mkdirSync(dir);
    reports = [];
  });
  after(() => rmSync(base, { recursive: true }));
  const at = (name: string): Buffer => Buffer.from(join(dir, name));
  const none = { read: false, write: false, append: false, create: false, truncate: false, exclusive: false };
  const options = (some: Partial<OpenOptions>): OpenOptions => ({ ...none, permissions: undefined, ...some });
  const code =
    (want: string) =>
    (err: unknown): boolean =>
      err instanceof Error && "code" in err && err.code === want;

  test("a file is made with the mode that was asked for, written at any place, read, and told", async () => {
    const file = await files.open(
      at("f"),
      options({ read: true, write: true, create: true, permissions: 0o600 }),
    );
    file.write(Buffer.from("world"), 6n);
    file.write(Buffer.from("hello "), 0n);
    const into = Buffer.alloc(100);
    assert.equal(file.read(into, 6n), 5);
    assert.equal(into.subarray(0, 5).toString(), "world");
    assert.equal(file.read(into, 11n), 0);
    assert.equal(file.read(into, 2n ** 62n), 0);
    await file.sync();
    await file.close();
    assert.equal(statSync(at("f")).mode & 0o777, 0o600);
    const path = join(dir, "f");
    assert.deepEqual(reports, [
      { opened: 1, action: "write", path },
      { action: "read", path, len: 5, error: "" },
      { closed: 1, len: 11, error: "" },
    ]);
  });

  test("what is appended goes to the end wherever the client says", async () => {
    writeFileSync(at("f"), "one ");
    const file = await files.open(at("f"), options({ write: true, append: true }));
    file.write(Buffer.from("two"), 0n);
    await file.close();
    assert.equal(readFileSync(at("f"), "utf8"), "one two");
  });

  test("an offset beyond every file is refused, not rounded", async () => {
    const file = await files.open(at("f"), options({ write: true, create: true }));
    assert.throws(() => file.write(Buffer.from("x"), 2n ** 63n + 1n), code("EFBIG"));
    await assert.rejects(file.setstat({ size: 2n ** 60n }), code("EFBIG"));
    await file.close();
    assert.deepEqual(reports.at(-1), {
      closed: reports.flatMap((r) => ("opened" in r ? r.opened : []))[0],
      len: 0,
      error: "file too large",
    });
  });

  test("a pipe that nobody reads is an error, not the end of the session", async () => {
    execFileSync("mkfifo", [join(dir, "pipe")]);
    await assert.rejects(files.open(at("pipe"), options({ write: true })), code("ENXIO"));
  });

  test("a rename never replaces, a POSIX rename does", async () => {
    writeFileSync(at("a"), "a");
    writeFileSync(at("b"), "b");
    await assert.rejects(files.rename(at("a"), at("b")), code("EEXIST"));
    mkdirSync(at("d"));
    mkdirSync(at("empty"));
    await assert.rejects(files.rename(at("d"), at("empty")), code("EEXIST"));
    assert.equal(readFileSync(at("b"), "utf8"), "b");
    await files.rename(at("a"), at("c"));
    await files.rename(at("d"), at("e"));
    await files.posixRename(at("c"), at("b"));
    assert.equal(readFileSync(at("b"), "utf8"), "a");
    assert.deepEqual(
      reports.map((report) =>
        "action" in report && "error" in report ? `${report.action} ${report.error}` : "",
      ),
      ["rename file already exists", "rename file already exists", "rename ", "rename ", "rename "],
    );
  });

  test("attributes: owner before mode, size, times; of a link itself when asked so", async () => {
    writeFileSync(at("f"), "0123456789");
    symlinkSync("f", at("l"));
    const { uid, gid } = statSync(at("f"));
    const times = { accessed: 1_000_000_000, modified: 4_000_000_000 };
    await files.setstat(at("l"), { size: 4n, owner: { uid, gid }, permissions: 0o104711, times });
    const seen = await files.stat(at("f"));
    assert.deepEqual(seen, { size: 4n, owner: { uid, gid }, permissions: 0o104711, times });
    await files.lsetstat(at("l"), { owner: { uid, gid }, times: { accessed: 1, modified: 2 } });
    assert.deepEqual((await files.lstat(at("l"))).times, { accessed: 1, modified: 2 });
    assert.deepEqual((await files.stat(at("l"))).times, times);
    await files.lsetstat(at("f"), { permissions: 0o640 });
    assert.equal(statSync(at("f")).mode & 0o7777, 0o640);
    await assert.rejects(files.lsetstat(at("l"), { permissions: 0o600 }), code("EOPNOTSUPP"));
    await assert.rejects(files.lsetstat(at("l"), { size: 1n }), /no size/);
    assert.equal(statSync(at("f")).mode & 0o7777, 0o640);
  });

  test("links, both kinds, and what they lead to", async () => {
    writeFileSync(at("f"), "f");
    await files.symlink(Buffer.from("no/where"), at("s"));
    assert.equal(readlinkSync(at("s")), "no/where");
    assert.equal(Buffer.from(await files.readlink(at("s"))).toString(), "no/where");
    await files.hardlink(at("f"), at("h"));
    assert.equal(statSync(at("h")).ino, statSync(at("f")).ino);
    assert.deepEqual(reports, [
      { action: "symlink", path: join(dir, "s"), target: "no/where", error: "" },
      { action: "link", path: join(dir, "h"), target: join(dir, "f"), error: "" },
    ]);
  });

  test("a folder: all of it, each once, with what was removed in between left out", async () => {
    for (let i = 0; i < 250; i++) writeFileSync(at(String(i)), "");
    const folder = await files.openFolder(Buffer.from(dir));
    const names: string[] = [];
    for (let some = await folder.read(); some.length > 0; some = await folder.read()) {
      assert.ok(some.length <= 100);
      for (const { name, line } of some) {
        names.push(Buffer.from(name).toString());
        assert.ok(
          Buffer.from(line)
            .toString()
            .endsWith(` ${names.at(-1)}`),
        );
      }
    }
    await folder.close();
    const want = [".", "..", ...Array.from({ length: 250 }, (_, i) => String(i))];
    assert.deepEqual(names.sort(), want.sort());
  });

  test("a path without links, whose last step need not exist", async () => {
    mkdirSync(at("d"));
    symlinkSync("d", at("l"));
    const real = async (path: string): Promise<string> =>
      Buffer.from(await files.realpath(Buffer.from(path))).toString();
    assert.equal(await real(`${dir}/l/../l`), join(dir, "d"));
    assert.equal(await real(join(dir, "l/new/")), join(dir, "d/new"));
    assert.equal(await real("/not-there"), "/not-there");
    assert.equal(await real(""), process.cwd());
    await assert.rejects(real(join(dir, "no/new")), code("ENOENT"));
    await assert.rejects(real(`${dir}/no/..`), code("ENOENT"));
  });

  test("homes: one's own and others'", async () => {
    const expand = async (path: string): Promise<string> =>
      Buffer.from(await files.expandPath(Buffer.from(path))).toString();
    assert.equal(await expand("~"), base);
    assert.equal(await expand("~/x"), join(base, "x"));
    assert.equal(
      await expand("~root/x"),
      `${realpathSync(readFileSync("/etc/passwd", "utf8").split("\n")[0]?.split(":")[5] ?? "")}/x`,
    );
    assert.equal(await expand(join(dir, "~")), join(dir, "~"));
    for (const nobody of ["~no-such-user", "~-V", "~0"]) await assert.rejects(expand(nobody), code("ENOENT"));
  });

  test("names of users and groups, empty where there is none", async () => {
    const text = (names: Uint8Array[]): string[] => names.map((name) => Buffer.from(name).toString());
    assert.deepEqual(text(await files.userNames([4_000_000_000, 0, 0])), ["", "root", "root"]);
    assert.deepEqual(text(await files.groupNames([0, 4_000_000_000])), ["root", ""]);
  });

  test("the space of a file system, by path and by open file", async () => {
    writeFileSync(at("f"), "");
    const file = await files.open(at("f"), options({ read: true }));
    const [byPath, byFile] = [await files.statvfs(at("f")), await file.statvfs()];
    await file.close();
    assert.ok(byPath.blocks > 0n && byPath.bfree <= byPath.blocks);
    assert.deepEqual([byFile.blocks, byFile.fsid, byFile.bsize], [byPath.blocks, byPath.fsid, byPath.bsize]);
  });

  test("and what its mount forbids", async () => {
    const options =
      /^\S+ \/proc proc (\S+)/m.exec(readFileSync("/proc/self/mounts", "utf8"))?.[1]?.split(",") ?? [];
    const { flag } = await files.statvfs(Buffer.from("/proc"));
    assert.equal((flag & 1n) !== 0n, options.includes("ro"));
    assert.equal((flag & 2n) !== 0n, options.includes("nosuid"));
  });

  test("what is forbidden or missing is told as people say it", async () => {
    await assert.rejects(
      files.remove(at("none")),
      (err) => code("ENOENT")(err) && /^no such file/.test(String((err as Error).message)),
    );
    await assert.rejects(files.open(at("none"), options({ read: true })), code("ENOENT"));
    await assert.rejects(files.mkdir(Buffer.from(dir), undefined), code("EEXIST"));
    await assert.rejects(files.stat(Buffer.from("a\0b")), code("ERR_INVALID_ARG_VALUE"));
    const path = join(dir, "none");
    assert.deepEqual(reports, [
      { action: "remove", path, error: "no such file or directory" },
      { action: "read", path, error: "no such file or directory" },
      { action: "mkdir", path: dir, error: "file already exists" },
    ]);
  });

  test("a path that is longer than any is told by its beginning", async () => {
    await assert.rejects(files.remove(Buffer.alloc(200_000, "x")), code("ENAMETOOLONG"));
    const [report] = reports;
    assert.ok(report !== undefined && "path" in report && report.path.endsWith(`/${"x".repeat(4096)}`));
  });

  test("names that are not UTF-8 are files like any other", async () => {
    const odd = Buffer.concat([at(""), Buffer.from("/"), Buffer.from([0xff, 0xfe, 10])]);
    await (await files.open(odd, options({ write: true, create: true }))).close();
    await files.posixRename(odd, Buffer.concat([odd, odd.subarray(-2)]));
    const folder = await files.openFolder(Buffer.from(dir));
    const names = (await folder.read()).map(({ name }) => Buffer.from(name).toString("hex"));
    await folder.close();
    assert.ok(names.includes("fffe0afe0a"));
  });
});
