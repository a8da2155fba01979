import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { link, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { systemClock } from "#core/clock";
import { Fault, type FaultKind } from "#core/errors";
import { play, RecordingWriter } from "#recording";
import { RecordingFiles } from "./recordings.ts";

const sid = "8c9e6679-7425-40de-944b-e07fc1f90ae7";

interface World extends AsyncDisposable {
  readonly folder: string;
  readonly store: RecordingFiles;
}
async function world(): Promise<World> {
  const above = await mkdtemp(join(tmpdir(), "recordings-"));
  const folder = join(above, "sessions", "default");
  return {
    folder,
    store: await RecordingFiles.open(folder, { clock: systemClock }),
    [Symbol.asyncDispose]: () => rm(above, { recursive: true, force: true }),
  };
}

const { bytes, log } = new RecordingWriter().output(Buffer.from("hello, world\r\n"), Date.UTC(2026, 0));
const sha256 = (data: Uint8Array): string => createHash("sha256").update(data).digest("hex");
const digests = { bytes: sha256(bytes), log: sha256(log) };
const refused = (kind: FaultKind, call: Promise<unknown>): Promise<void> =>
  assert.rejects(call, (err) => Fault.is(err, kind) || assert.fail(`not ${kind}: ${err}`));
const names = async (folder: string): Promise<string[]> => (await readdir(folder)).sort();
const published = [`${sid}.session.bytes`, `${sid}.session.log`];

suite("recordings as files", () => {
  test("what was put is there under the names of the guide, and can be played", async () => {
    await using w = await world();
    assert.deepEqual(await w.store.put(sid, { bytes: [bytes], log: [log] }), digests);
    assert.deepEqual(await names(w.folder), published);
    assert.deepEqual(await readFile(join(w.folder, `${sid}.session.bytes`)), Buffer.from(bytes));
    const frames = await Array.fromAsync(
      play(w.store.events(sid), (at, n) => w.store.read(sid, "bytes", at, n)),
    );
    assert.equal(frames.length, 1);
    assert.ok(frames[0]?.type === "output");
    assert.deepEqual(Buffer.from(frames[0].data), Buffer.from(bytes));
  });

  test("the folder has mode 0750 and files 0640, whatever the umask", async () => {
    for (const umask of [0o000, 0o077]) {
      const before = process.umask(umask);
      try {
        await using w = await world();
        await w.store.put(sid, { bytes: [bytes], log: [log] });
        assert.equal((await stat(w.folder)).mode & 0o777, 0o750);
        for (const name of published) assert.equal((await stat(join(w.folder, name))).mode & 0o777, 0o640);
      } finally {
        process.umask(before);
      }
    }
  });

  test("an upload goes on where it stopped, also after a restart", async () => {
    await using w = await world();
    assert.equal(await w.store.received(sid, "bytes"), 0);
    assert.equal(await w.store.receive(sid, "bytes", 0, [bytes.subarray(0, 5)]), 5);
    const after = await RecordingFiles.open(w.folder, { clock: systemClock });
    assert.equal(await after.received(sid, "bytes"), 5);
    await after.receive(sid, "bytes", 5, [bytes.subarray(5, 6), bytes.subarray(6)]);
    await after.receive(sid, "log", 0, [log]);
    await refused("not_found", after.read(sid, "bytes", 0, 1));
    await after.publish(sid, digests);
    assert.equal(await after.received(sid, "bytes"), bytes.length);
    assert.deepEqual(Buffer.from(await after.read(sid, "bytes", 0, 100)), Buffer.from(bytes));
  });

  test("a sender that breaks off leaves what had arrived", async () => {
    await using w = await world();
    const breaking = async function* (): AsyncGenerator<Uint8Array> {
      yield bytes.subarray(0, 4);
      throw new Error("gone");
    };
    await assert.rejects(w.store.receive(sid, "bytes", 0, breaking()), /gone/);
    assert.equal(await w.store.received(sid, "bytes"), 4);
  });

  test("a piece for another place is refused with the right place", async () => {
    await using w = await world();
    await w.store.receive(sid, "bytes", 0, [bytes]);
    for (const offset of [0, 3, bytes.length + 1])
      await assert.rejects(w.store.receive(sid, "bytes", offset, [bytes]), (err) => {
        assert.ok(Fault.is(err, "compare_failed"));
        assert.equal(err.details.offset, bytes.length);
        return true;
      });
    assert.equal(await w.store.received(sid, "bytes"), bytes.length);
  });

  test("of two senders of one part at once the second is refused", async () => {
    await using w = await world();
    const { promise, resolve } = Promise.withResolvers<void>();
    const slow = async function* (): AsyncGenerator<Uint8Array> {
      yield bytes;
      await promise;
    };
    const first = w.store.receive(sid, "bytes", 0, slow());
    await refused("compare_failed", w.store.receive(sid, "bytes", 0, [bytes]));
    await refused("compare_failed", w.store.publish(sid, digests));
    resolve();
    assert.equal(await first, bytes.length);
  });

  test("parts that differ from their digests are dropped, not published", async () => {
    await using w = await world();
    await w.store.receive(sid, "bytes", 0, [bytes, Buffer.from("!")]);
    await w.store.receive(sid, "log", 0, [log]);
    await refused("compare_failed", w.store.publish(sid, digests));
    assert.deepEqual(await names(w.folder), []);
    assert.equal(await w.store.received(sid, "bytes"), 0);
  });

  test("a part that is missing keeps the other", async () => {
    await using w = await world();
    await w.store.receive(sid, "bytes", 0, [bytes]);
    await refused("not_found", w.store.publish(sid, digests));
    assert.equal(await w.store.received(sid, "bytes"), bytes.length);
  });

  test("a check that objects keeps the recording out", async () => {
    await using w = await world();
    await w.store.receive(sid, "bytes", 0, [bytes]);
    await w.store.receive(sid, "log", 0, [log]);
    const check = (): never => {
      throw new Fault("access_denied", "not yours");
    };
    await refused("access_denied", w.store.publish(sid, digests, check));
    await refused("not_found", w.store.read(sid, "bytes", 0, 1));
  });

  test("publishing the same again is fine, another under the same id is refused", async () => {
    await using w = await world();
    await w.store.put(sid, { bytes: [bytes], log: [log] });
    await w.store.publish(sid, digests);
    await refused("already_exists", w.store.publish(sid, { ...digests, bytes: sha256(log) }));
    await refused("already_exists", w.store.put(sid, { bytes: [Buffer.from("forged")], log: [log] }));
    assert.deepEqual(Buffer.from(await w.store.read(sid, "bytes", 0, 100)), Buffer.from(bytes));
    assert.deepEqual(await names(w.folder), published);
  });

  test("a crash between its two links is mended by the next try", async () => {
    await using w = await world();
    for (const leftover of ["same", "other"]) {
      await w.store.receive(sid, "bytes", 0, [bytes]);
      await w.store.receive(sid, "log", 0, [log]);
      const [final] = published.map((name) => join(w.folder, name));
      if (leftover === "same") await link(`${final}.part`, String(final));
      else await writeFile(String(final), "of an upload before");
      await refused("not_found", w.store.read(sid, "bytes", 0, 1));
      await w.store.publish(sid, digests);
      assert.deepEqual(Buffer.from(await w.store.read(sid, "bytes", 0, 100)), Buffer.from(bytes));
      for (const name of await names(w.folder)) await rm(join(w.folder, name));
    }
  });

  test("uploads that nobody finished for a month are cleared away", async () => {
    await using w = await world();
    await w.store.receive(sid, "bytes", 0, [bytes]);
    await w.store.receive(sid, "log", 0, [log]);
    const old = new Date("2020-01-01");
    await utimes(join(w.folder, `${sid}.session.log.part`), old, old);
    await RecordingFiles.open(w.folder, { clock: systemClock });
    assert.deepEqual(await names(w.folder), [`${sid}.session.bytes.part`]);
  });

  test("reads are bounded and end where the stream ends", async () => {
    await using w = await world();
    await w.store.put(sid, { bytes: [Buffer.alloc(6 * 2 ** 20)], log: [log] });
    assert.equal((await w.store.read(sid, "bytes", 0, 2 ** 40)).length, 5 * 2 ** 20);
    assert.equal((await w.store.read(sid, "bytes", 5 * 2 ** 20, 2 ** 40)).length, 2 ** 20);
    assert.equal((await w.store.read(sid, "bytes", 2 ** 40, 10)).length, 0);
    assert.equal((await w.store.read(sid, "bytes", 0, 0)).length, 0);
    await refused("bad_parameter", w.store.read(sid, "bytes", -1, 10));
    await refused("bad_parameter", w.store.read(sid, "bytes", 0, Number.NaN));
  });

  test("a session without a recording is not found", async () => {
    await using w = await world();
    await refused("not_found", w.store.read(sid, "bytes", 0, 1));
    await refused("not_found", Array.fromAsync(w.store.events(sid)));
  });

  for (const bad of [
    "../../etc/passwd",
    `../${sid}`,
    `${sid}/..`,
    `${sid}\0`,
    "",
    "*",
    sid.toUpperCase(),
    `${sid}\n`,
  ]) {
    test(`S43: ${JSON.stringify(bad)} is not a session and names no file`, async () => {
      await using w = await world();
      await refused("bad_parameter", w.store.put(bad, { bytes: [bytes], log: [log] }));
      await refused("bad_parameter", w.store.received(bad, "log"));
      await refused("bad_parameter", w.store.receive(bad, "log", 0, [log]));
      await refused("bad_parameter", w.store.publish(bad, digests));
      await refused("bad_parameter", w.store.read(bad, "bytes", 0, 1));
      await refused("bad_parameter", Array.fromAsync(w.store.events(bad)));
      assert.deepEqual(await names(join(w.folder, "../..")), ["sessions"]);
      assert.deepEqual(await names(w.folder), []);
    });
  }
});
