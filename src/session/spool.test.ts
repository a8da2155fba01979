import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, suite, test } from "node:test";
import { second, TestClock } from "#core/clock";
import { memoryLog, silentLog } from "#core/log";
import { systemRandom } from "#core/random";
import { stamp } from "#events";
import { type Digests, recordTo, Spool, uploader } from "./index.ts";
import { markOf } from "./process-mark.ts";

const sid = "8c9e6679-7425-40de-944b-e07fc1f90ae7";
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const sha256 = (data: Uint8Array): string => createHash("sha256").update(data).digest("hex");

suite("recordings on their way", () => {
  let dir: string;
  let spool: Spool;
  const clock = new TestClock();
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), "spool-"));
    spool = await Spool.open(join(dir, "spool"));
  });
  afterEach(() => rm(dir, { recursive: true }));

  const record = async (into = spool, options: { limit?: number } = {}) => {
    const recorder = await recordTo(into, sid, { clock, log: silentLog, ...options });
    await recorder.output(bytes("hello "));
    await recorder.output(bytes("world"));
    return recorder;
  };
  const names = async (): Promise<string[]> => (await readdir(join(dir, "spool"))).sort();
  const send = async (_sid: string, files: Record<"bytes" | "log", string>): Promise<Digests> => ({
    bytes: sha256(await readFile(files.bytes)),
    log: sha256(await readFile(files.log)),
  });
  /** Runs an uploader until `scans` scans are done. */
  async function upload(options: Partial<Parameters<typeof uploader>[0]>, scans = 1): Promise<void> {
    const stop = new AbortController();
    const time = new TestClock();
    const done = uploader({ spool, upload: send, clock: time, log: silentLog, ...options }).run(
      stop.signal,
      () => {},
    );
    for (let i = 0; i < scans; i++) {
      while (time.sleeping === 0) await new Promise((resolve) => setImmediate(resolve));
      if (i + 1 < scans) await time.advance(5 * second);
    }
    stop.abort();
    await done;
  }

  test("a recording grows in two files, and is marked when it is whole", async () => {
    const recorder = await record();
    const start = stamp(
      { code: "T2003I", user: "ada", login: "root", server_id: "n", sid },
      { clock, random: systemRandom },
    );
    assert.equal(recorder.event(start).ei, 2);
    assert.deepEqual(await spool.waiting(), []);
    await recorder.end();
    assert.deepEqual(
      (await names()).map((name) => name.replace(/(?<=\.of\.).*/, "me")),
      [`${sid}.completed`, `${sid}.of.me`, `${sid}.session.bytes`, `${sid}.session.log`],
    );
    assert.equal(await readFile(spool.path(sid, "bytes"), "utf8"), "hello world");
    assert.deepEqual(await spool.waiting(), [{ sid, complete: true }]);
  });

  test("S58: the files are the daemon's alone from their first byte, whatever the umask", async () => {
    const umask = process.umask(0);
    try {
      const recorder = await record();
      await recorder.end();
      for (const part of ["bytes", "log"] as const)
        assert.equal((await stat(spool.path(sid, part))).mode & 0o777, 0o600);
      assert.equal((await stat(join(dir, "spool"))).mode & 0o777, 0o700);
    } finally {
      process.umask(umask);
    }
  });

  test("S53: a link in the place of a recording is not written through", async () => {
    const victim = join(dir, "victim");
    await writeFile(victim, "");
    await symlink(victim, spool.path(sid, "bytes"));
    const log = memoryLog();
    const recorder = await recordTo(spool, sid, { clock, log });
    await recorder.output(bytes("x"));
    await recorder.end();
    assert.equal(await readFile(victim, "utf8"), "");
    assert.equal(log.lines[0]?.message, "a session is not recorded");
  });

  test("beyond the limit there is a digest", async () => {
    const recorder = await record(spool, { limit: 8 });
    assert.deepEqual(recorder.measure(), {
      bytes: 8,
      unrecorded: { bytes: 3, sha256: sha256(bytes("rld")) },
    });
    await recorder.end();
    assert.equal(await readFile(spool.path(sid, "bytes"), "utf8"), "hello wo");
  });

  test("is uploaded, and deleted here once the store has said the same digests", async () => {
    await (await record()).end();
    const sent: string[] = [];
    await upload({
      upload: async (id, files) => {
        sent.push(id);
        return send(id, files);
      },
    });
    assert.deepEqual(sent, [sid]);
    assert.deepEqual(await names(), []);
  });

  test("stays when the store has something else, and is tried again", async () => {
    await (await record()).end();
    const log = memoryLog();
    let tries = 0;
    await upload(
      {
        log,
        upload: async (id, files) => (++tries < 2 ? { bytes: "00", log: "00" } : send(id, files)),
      },
      2,
    );
    assert.equal(tries, 2);
    assert.deepEqual(await names(), []);
    assert.match(String(log.lines[0]?.fields.error), /other bytes/);
  });

  test("stays when the store cannot be reached", async () => {
    await (await record()).end();
    await upload({ upload: () => Promise.reject(new Error("no store")) });
    assert.equal((await names()).length, 4);
  });

  test("what a kill left while one was begun or removed is cleared away, but nothing of a process that runs", async () => {
    const [second, third] = ["8c9e6679-7425-40de-944b-e07fc1f90ae8", "8c9e6679-7425-40de-944b-e07fc1f90ae9"];
    const dead = `${markOf(process.ppid)}0`;
    const living = `${third}.of.${markOf(process.ppid)}`;
    for (const name of [
      ...[
        `${sid}.session.bytes`,
        `${sid}.completed`,
        `${sid}.of.${dead}`,
        `${second}.of.${markOf(process.pid)}`,
      ],
      ...[living, `${third}.session.bytes`],
    ])
      await writeFile(join(dir, "spool", name), "");
    assert.deepEqual(await spool.waiting(), []);
    assert.equal((await names()).length, 6);
    assert.deepEqual(await spool.waiting(), []);
    assert.deepEqual(await names(), [living, `${third}.session.bytes`]);
  });

  suite("of another process", () => {
    const given = async (owner: string): Promise<void> => {
      const [mine = ""] = (await names()).filter((name) => name.includes(".of."));
      await rename(join(dir, "spool", mine), join(dir, "spool", `${sid}.of.${owner}`));
      spool = await Spool.open(join(dir, "spool"));
    };

    test("that runs: neither sent nor taken for abandoned, whether it is whole or not", async () => {
      const recorder = await record();
      await given(markOf(process.ppid));
      await upload({ upload: () => assert.fail("it was sent") });
      await recorder.end();
      await upload({ upload: () => assert.fail("it was sent") });
      assert.equal((await names()).length, 4);
    });

    test("that has ended: one of those who find it takes it over", async () => {
      await (await record()).end();
      await given(`${markOf(process.ppid)}0`);
      const found = await Promise.all([spool.waiting(), (await Spool.open(join(dir, "spool"))).waiting()]);
      // Both are this process here, so the one that comes second finds it its own.
      assert.ok(found.flat().length >= 1);
      assert.equal((await names()).filter((name) => name.endsWith(markOf(process.pid))).length, 1);
      await upload({});
      assert.deepEqual(await names(), []);
    });
  });

  test("a session under way is left alone; one that a dead process left is finished and sent", async () => {
    const recorder = await record();
    await upload({});
    assert.equal((await names()).length, 3);
    const [told, sent]: string[][] = [[], []];
    await upload({
      spool: await Spool.open(join(dir, "spool")),
      onAbandoned: async (id) => void told?.push(id),
      upload: async (id, files) => {
        sent?.push(id);
        return send(id, files);
      },
    });
    assert.deepEqual([told, sent], [[sid], [sid]]);
    assert.deepEqual(await names(), []);
    await recorder.end();
  });
});
