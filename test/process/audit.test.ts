import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { suite, test } from "node:test";
import { openAuditLog } from "#audit";
import { systemClock } from "#core/clock";
import { silentLog } from "#core/log";
import { systemRandom } from "#core/random";
import { tempDir } from "../support/temp-dir.ts";

suite("the audit log of a process that is killed", () => {
  test("holds every event that was acknowledged", async () => {
    await using dir = await tempDir();
    const folder = dir.at("log");
    const program = `
      import { systemClock } from "#core/clock";
      import { silentLog } from "#core/log";
      import { systemRandom } from "#core/random";
      import { openAuditLog } from "#audit";
      const audit = await openAuditLog([{ scheme: "file", folder: ${JSON.stringify(folder)} }], {
        clock: systemClock, random: systemRandom, log: silentLog, stdout: async () => {},
      });
      const emit = async (user: string) => {
        await audit.emit({ code: "T1003I", user, time: "2026-11-22T12:00:00Z" });
        console.log(user);
      };
      for (let i = 0; ; i++) await Promise.all([0, 1, 2, 3].map((n) => emit(i + "." + n)));`;
    const emitter = spawn(process.execPath, ["--input-type=module-typescript", "--eval", program], {
      cwd: join(import.meta.dirname, "../.."),
      stdio: ["ignore", "pipe", "inherit"],
    });
    let said = "";
    emitter.stdout.on("data", (chunk) => {
      said += chunk;
      if (said.split("\n").length > 200) emitter.kill("SIGKILL");
    });
    await once(emitter, "close");
    const acknowledged = said.split("\n").slice(0, -1);
    assert.ok(acknowledged.length >= 200);
    await using audit = await openAuditLog([{ scheme: "file", folder }], {
      clock: systemClock,
      random: systemRandom,
      log: silentLog,
      stdout: async () => {},
    });
    const { events } = await audit.search({ from: 0, to: Date.UTC(2030, 0), limit: 10_000 });
    const kept = new Set(events.map((event) => ("user" in event ? event.user : "")));
    assert.deepEqual(
      acknowledged.filter((user) => !kept.has(user)),
      [],
    );
  });
});
