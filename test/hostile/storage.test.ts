import assert from "node:assert/strict";
import { readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { suite, test } from "node:test";
import { Program } from "../support/program.ts";
import { type Ran, run } from "../support/run.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";
import { configText, freePorts, teleport } from "./cluster.ts";

/** A data folder that a daemon has made, its storage, and a way to start another on it. */
async function stopped(folder: TempDir): Promise<{ file: string; start: () => Promise<Ran> }> {
  const config = folder.at("t.yaml");
  await writeFile(config, configText(await freePorts(), folder.at("data")));
  await using daemon = await Program.start(teleport, ["start", "-c", config]);
  await daemon.line(/\[SSH\] .*Service is starting on/);
  daemon.kill("SIGTERM");
  await daemon.ended();
  const names = await readdir(folder.at("data"), { recursive: true });
  const name = names.find((found) => found.endsWith(".db"));
  assert.ok(name, names.join());
  return {
    file: join(folder.at("data"), name),
    start: () => run(teleport, ["start", "-c", config], { timeout: 30_000 }),
  };
}

suite("a storage that cannot be used", { concurrency: 2 }, () => {
  for (const [why, damage] of [
    ["cut off", (file: string) => truncate(file, 5000)],
    ["overwritten", (file: string) => writeFile(file, Buffer.alloc(40_000, 0x5a))],
  ] as const) {
    test(`one that was ${why} is refused with what to do, and left alone`, async () => {
      await using folder = await tempDir();
      const { file, start } = await stopped(folder);
      for (const beside of ["-wal", "-shm"]) await rm(file + beside, { force: true });
      await damage(file);
      const before = await readFile(file);
      const ran = await start();
      assert.equal(ran.code, 1, ran.err);
      assert.match(ran.err, /^error: the storage .* is damaged: .*put back a backup.*\n$/m);
      assert.ok(ran.err.includes(file));
      assert.doesNotMatch(ran.err, /^\s+at /m);
      assert.deepEqual(await readFile(file), before);
    });
  }

  test("one of a newer version is refused with both format numbers", async () => {
    await using folder = await tempDir();
    const { file, start } = await stopped(folder);
    const db = new DatabaseSync(file);
    db.exec("PRAGMA user_version = 99");
    db.close();
    const ran = await start();
    assert.notEqual(ran.code, 0);
    assert.match(ran.err, /^error: .*newer version.*format 99, this one knows \d+/m);
    assert.doesNotMatch(ran.err, /^\s+at /m);
  });
});
