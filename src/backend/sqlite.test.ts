import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, open, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { suite, test } from "node:test";
import { TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { memoryLog, silentLog } from "#core/log";
import { backendContract } from "./backend.contract.ts";
import { openBackend } from "./index.ts";
import { SqliteBackend } from "./sqlite.ts";
import { migrate } from "./sqlite-file.ts";

backendContract("sqlite", async (clock, history) => {
  const folder = await mkdtemp(join(tmpdir(), "backend-"));
  const backend = await SqliteBackend.open(folder, { clock, log: silentLog, history });
  const close = backend[Symbol.asyncDispose].bind(backend);
  backend[Symbol.asyncDispose] = async () => {
    await close();
    await rm(folder, { recursive: true, force: true });
  };
  return backend;
});

const value = (s: string): Uint8Array => Uint8Array.from(Buffer.from(s));

interface Folder extends AsyncDisposable {
  readonly path: string;
  readonly file: string;
}
async function temporary(): Promise<Folder> {
  const above = await mkdtemp(join(tmpdir(), "backend-"));
  const path = join(above, "backend");
  return {
    path,
    file: join(path, "sqlite.db"),
    [Symbol.asyncDispose]: () => rm(above, { recursive: true, force: true }),
  };
}
const reopen = (folder: Folder, clock = new TestClock()): Promise<SqliteBackend> =>
  SqliteBackend.open(folder.path, { clock, log: silentLog });

suite("sqlite backend", () => {
  test("what was written is there after opening again, and revisions still grow", async () => {
    await using folder = await temporary();
    let last: string;
    {
      await using backend = await reopen(folder);
      await backend.put({ key: "/a", value: value("1") });
      last = await backend.put({ key: "/b", value: value("2") });
      await backend.delete("/b");
    }
    await using backend = await reopen(folder);
    assert.deepEqual((await backend.get("/a")).value, value("1"));
    assert.ok((await backend.put({ key: "/c", value: value("3") })) > last);
  });

  for (const umask of [0o000, 0o277]) {
    test(`S58: under umask ${umask.toString(8)} nobody else can read the files or enter the folder`, async () => {
      await using folder = await temporary();
      const before = process.umask(umask);
      try {
        await using backend = await reopen(folder);
        await backend.put({ key: "/secret", value: value("1") });
        const files = await readdir(folder.path);
        assert.deepEqual(files.sort(), ["sqlite.db", "sqlite.db-shm", "sqlite.db-wal"]);
        for (const file of files)
          assert.equal((await stat(join(folder.path, file))).mode & 0o777, 0o600, file);
        assert.equal((await stat(folder.path)).mode & 0o777, 0o700);
      } finally {
        process.umask(before);
      }
    });
  }

  test("S58: files are made closed, not closed after they are made", async (t) => {
    await using folder = await temporary();
    // With chmod doing nothing, the modes are those of the first moment.
    await using handle = await open(process.execPath);
    t.mock.method(Object.getPrototypeOf(handle), "chmod", async () => {});
    const before = process.umask(0);
    try {
      await using backend = await reopen(folder);
      await backend.put({ key: "/secret", value: value("1") });
      for (const file of await readdir(folder.path))
        assert.equal((await stat(join(folder.path, file))).mode & 0o777, 0o600, file);
    } finally {
      process.umask(before);
    }
  });

  test("S58: a file that others could read is closed to them, a folder that others could write is reported", async () => {
    await using folder = await temporary();
    await mkdir(folder.path);
    await chmod(folder.path, 0o777);
    await (await open(folder.file, "w", 0o644)).close();
    const log = memoryLog();
    await using backend = await SqliteBackend.open(folder.path, { clock: new TestClock(), log });
    await backend.put({ key: "/a", value: value("") });
    assert.equal((await stat(folder.file)).mode & 0o777, 0o600);
    assert.equal(log.lines[0]?.level, "warn");
  });

  test("history is forgotten by age, so that a deleted secret does not stay in the file", async () => {
    await using folder = await temporary();
    const clock = new TestClock();
    const tokens = Array.from({ length: 50 }, (_, i) => ({
      key: `/token/${i}`,
      value: value("planted-secret".repeat(20)),
    }));
    {
      await using backend = await reopen(folder, clock);
      await Promise.all(tokens.map((token) => backend.put(token)));
    }
    assert.ok((await readFile(folder.file)).includes("planted-secret"));
    {
      await using backend = await reopen(folder, clock);
      await backend.deletePrefix("/token/");
      await clock.advance(12 * 60_000);
      await backend.put({ key: "/other", value: value("x") });
    }
    assert.ok(!(await readFile(folder.file)).includes("planted-secret"));
  });

  test("expired items are swept from the file", async () => {
    await using folder = await temporary();
    const clock = new TestClock();
    {
      await using backend = await reopen(folder, clock);
      await backend.put({ key: "/a", value: value(""), expires: clock.now() + 1000 });
      await clock.advance(1000);
      await backend.get("/a").catch(() => {});
    }
    const db = new DatabaseSync(folder.file);
    assert.deepEqual(db.prepare("SELECT key FROM items").all(), []);
    db.close();
  });
});

suite("sqlite file", () => {
  const refuses = (folder: Folder, kind: "internal" | "bad_parameter", sentence: RegExp): Promise<void> =>
    assert.rejects(reopen(folder), (err) => {
      assert.ok(Fault.is(err, kind), String(err));
      assert.match(err.message, sentence);
      assert.ok(err.message.includes(folder.file));
      return true;
    });

  test("one of a newer version is refused and left alone", async () => {
    await using folder = await temporary();
    await (await reopen(folder))[Symbol.asyncDispose]();
    const db = new DatabaseSync(folder.file);
    db.exec("PRAGMA user_version = 99");
    db.close();
    const before = await readFile(folder.file);
    await refuses(folder, "bad_parameter", /newer version.*format 99/);
    assert.deepEqual(await readFile(folder.file), before);
  });

  test("one of an older version is brought up to date, all or nothing", async () => {
    const db = new DatabaseSync(":memory:");
    const steps = ["CREATE TABLE a (x)", "INSERT INTO a VALUES (1)", "INSERT INTO a VALUES (2)"];
    const rows = (): unknown[] =>
      db
        .prepare("SELECT x FROM a")
        .all()
        .map((row) => row.x);
    migrate(db, "f", steps.slice(0, 2));
    assert.deepEqual(rows(), [1]);
    assert.throws(() => migrate(db, "f", [...steps, "INSERT INTO none VALUES (3)"]), /none/);
    assert.deepEqual(rows(), [1]);
    migrate(db, "f", steps);
    migrate(db, "f", steps);
    assert.deepEqual(rows(), [1, 2]);
    assert.throws(
      () => migrate(db, "f", steps.slice(0, 2)),
      (err) => Fault.is(err, "bad_parameter"),
    );
  });

  test("a database of another program is refused and left alone", async () => {
    await using folder = await temporary();
    await mkdir(folder.path);
    const db = new DatabaseSync(folder.file);
    db.exec("CREATE TABLE theirs (x)");
    db.close();
    const before = await readFile(folder.file);
    await refuses(folder, "bad_parameter", /another program/);
    assert.deepEqual(await readFile(folder.file), before);
  });

  test("something that is no database is refused with what to do", async () => {
    await using folder = await temporary();
    await mkdir(folder.path);
    await writeFile(folder.file, "garbage ".repeat(1000));
    await refuses(folder, "internal", /damaged.*backup/);
    assert.match(await readFile(folder.file, "utf8"), /^garbage/);
  });

  test("a database with overwritten pages is refused with what to do", async () => {
    await using folder = await temporary();
    {
      await using backend = await reopen(folder);
      for (let i = 0; i < 50; i++) await backend.put({ key: `/${i}`, value: new Uint8Array(4000).fill(65) });
    }
    const { size } = await stat(folder.file);
    const handle = await open(folder.file, "r+");
    await handle.write(Buffer.alloc(size - 8192, 0x5a), 0, size - 8192, 8192);
    await handle.close();
    await refuses(folder, "internal", /damaged.*backup/);
  });
});

test("the drivers dir and sqlite are one, in <data_dir>/backend by default", async () => {
  await using folder = await temporary();
  const context = { clock: new TestClock(), log: silentLog, dataDir: join(folder.path, "..") };
  {
    await using backend = await openBackend({ type: "dir" }, context);
    await backend.put({ key: "/a", value: value("1") });
  }
  await using backend = await openBackend({ type: "sqlite", path: folder.path }, context);
  assert.deepEqual((await backend.get("/a")).value, value("1"));
});
