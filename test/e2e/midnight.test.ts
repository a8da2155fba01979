import assert from "node:assert/strict";
import { readdir, readFile, readlink, stat } from "node:fs/promises";
import { join } from "node:path";
import { suite, test } from "node:test";
import { skipUnless } from "../support/installed.ts";
import { Program } from "../support/program.ts";
import { ShiftedClock } from "../support/shifted-clock.ts";
import { tempDir } from "../support/temp-dir.ts";
import { type Event, login, startCluster } from "./cluster.ts";
import { programs, quiet } from "./daemon.ts";

suite("a daemon at midnight, UTC", { skip: skipUnless("faketime") }, () => {
  test("ACC-15: begins a file of the new day, of mode 0640, under the same open session", async () => {
    await using folder = await tempDir();
    const clock = await ShiftedClock.at(folder, yesterdayAt(23, 30));
    await using cluster = await startCluster({ command: ["env", ...clock.assignments, programs.teleport] });
    const env = { ...quiet, ...clock.env, HOME: cluster.home };
    await cluster.makeUser("joe");
    await cluster.logIn("joe", { env });
    await using session = await Program.start(
      programs.tsh,
      ["ssh", `${login}@testnode`, "echo started; read line; exit 3"],
      { env },
    );
    await session.line(/started/);

    await clock.jump(45 * 60);
    session.write("\n");
    assert.equal(await session.ended(), 3);
    await cluster.event("the command's end", (event) => event.event === "exec");
    await cluster.makeUser("ann");
    await cluster.logIn("ann", { env });
    await cluster.event("a login of the new day", (e) => e.event === "user.login" && e.user === "ann");

    const log = join(cluster.dataDir, "log");
    const [yesterday, today] = [-1, 0].map((days) => `${dateOf(days)}.00:00:00.log`) as [string, string];
    const days = (await readdir(log)).filter((name) => name.endsWith(".log") && name !== "events.log").sort();
    assert.deepEqual(days, [yesterday, today]);
    const kinds = new Map<string, Set<string>>();
    for (const day of days) {
      assert.equal((await stat(join(log, day))).mode & 0o7777, 0o640, day);
      const lines = (await readFile(join(log, day), "utf8")).trimEnd().split("\n");
      const events = lines.map((line) => JSON.parse(line) as Event);
      for (const event of events) assert.equal(String(event.time).slice(0, 10), day.slice(0, 10));
      kinds.set(day, new Set(events.map(({ event }) => event)));
    }
    assert.ok(kinds.get(yesterday)?.has("user.login"));
    assert.ok(kinds.get(today)?.has("exec"));
    assert.equal(await readlink(join(log, "events.log")), today);
  });
});

const dateOf = (days: number): string => new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10);
const yesterdayAt = (hours: number, minutes: number): number =>
  Date.parse(`${dateOf(-1)}T00:00:00Z`) + (hours * 60 + minutes) * 60_000;
