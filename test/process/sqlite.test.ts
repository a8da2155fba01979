import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { suite, test } from "node:test";
import { systemClock } from "#core/clock";
import { Fault } from "#core/errors";
import { silentLog } from "#core/log";
import { SqliteBackend } from "../../src/backend/sqlite.ts";
import { tempDir } from "../support/temp-dir.ts";

const value = (s: string): Uint8Array => Uint8Array.from(Buffer.from(s));
const open = (path: string): Promise<SqliteBackend> =>
  SqliteBackend.open(path, { clock: systemClock, log: silentLog });

/** Runs a program of ours that has the backend in `path` open as `backend`. */
function child(path: string, body: string): ReturnType<typeof spawn> {
  const program = `
    import { systemClock } from "#core/clock";
    import { silentLog } from "#core/log";
    import { SqliteBackend } from "./src/backend/sqlite.ts";
    const backend = await SqliteBackend.open(${JSON.stringify(path)}, { clock: systemClock, log: silentLog });
    ${body}`;
  return spawn(process.execPath, ["--input-type=module-typescript", "--eval", program], {
    cwd: join(import.meta.dirname, "../.."),
    stdio: ["pipe", "pipe", "inherit"],
  });
}

suite("one SQLite file, several processes", () => {
  test("two processes: a watch sees the other's writes within a second, and of two swaps one wins", async () => {
    await using folder = await tempDir();
    const path = folder.at("backend");
    await using backend = await open(path);
    const revision = await backend.put({ key: "/ca", value: value("0") });
    const stop = new AbortController();
    const changes = await backend.watch("/", { signal: stop.signal });
    const other = child(
      path,
      `process.stdin.once("data", async () => {
         const wrote = await backend.compareAndSwap({ key: "/ca", value: new Uint8Array([2]) }, "${revision}" as never);
         console.log(wrote, Date.now());
         process.exit(0);
       });
       console.log("ready");`,
    );
    const said = other.stdout?.[Symbol.asyncIterator]();
    await said?.next();
    other.stdin?.write("go");
    for await (const change of changes) {
      const seen = Date.now();
      const [wrote, when] = String((await said?.next())?.value).split(" ");
      assert.ok(change.type === "put" && change.item.revision === wrote);
      assert.ok(seen - Number(when) < 1000, `seen after ${seen - Number(when)} ms`);
      break;
    }
    stop.abort();
    await assert.rejects(backend.compareAndSwap({ key: "/ca", value: value("1") }, revision), (err) =>
      Fault.is(err, "compare_failed"),
    );
  });

  test("two processes that write at once both succeed, and nothing is lost", async () => {
    await using folder = await tempDir();
    const path = folder.at("backend");
    await using backend = await open(path);
    const count = 150;
    const writes = (name: string): string =>
      `for (let i = 0; i < ${count}; i++) await backend.put({ key: "/${name}/" + i, value: new Uint8Array(100) });
       process.exit(0);`;
    const others = ["x", "y"].map((name) => child(path, writes(name)));
    const ended = others.map((p) => once(p, "exit"));
    for (let i = 0; i < count; i++) await backend.put({ key: `/z/${i}`, value: value("") });
    for (const [code] of await Promise.all(ended)) assert.equal(code, 0);
    let found = 0;
    for await (const _ of backend.range("/")) found++;
    assert.equal(found, 3 * count);
  });

  test("a process killed while it writes loses nothing that it was told is written", async () => {
    await using folder = await tempDir();
    const path = folder.at("backend");
    await mkdir(path);
    const writer = child(
      path,
      `for (let i = 0; ; i++) {
         const keys = [0, 1, 2].map((n) => "/k/" + i + "/" + n);
         await Promise.all(keys.map((key) => backend.put({ key, value: Buffer.from(key) })));
         console.log(i);
       }`,
    );
    let said = "";
    writer.stdout?.on("data", (chunk) => {
      said += chunk;
      if (said.split("\n").length > 60) writer.kill("SIGKILL");
    });
    await once(writer, "close");
    const acknowledged = said.split("\n").slice(0, -1);
    assert.ok(acknowledged.length >= 60);
    await using backend = await open(path);
    for (const i of acknowledged)
      for (const n of [0, 1, 2])
        assert.equal(Buffer.from((await backend.get(`/k/${i}/${n}`)).value).toString(), `/k/${i}/${n}`);
  });
});
