import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { TestClock } from "#core/clock";
import { silentLog } from "#core/log";
import { systemRandom } from "#core/random";
import { type AuditEvent, type Draft, stamp } from "#events";
import { endAbandoned } from "./index.ts";

const sid = "8c9e6679-7425-40de-944b-e07fc1f90ae7";
const session = { user: "ada", login: "root", server_id: "n", sid };
const clock = new TestClock();
const line = (draft: Draft): string => `${JSON.stringify(stamp(draft, { clock, random: systemRandom }))}\n`;
const start = line({ code: "T2000I", ...session, "addr.remote": "192.0.2.1:1", size: "80:25" });

suite("the log of a recording that broke off", () => {
  for (const [why, log, told] of [
    ["in a session: its end is told", start, ["session.end"]],
    ["in the middle of a line: its end is told", `${start}{"event":"pri`, ["session.end"]],
    ["after the end of the session: nothing", start + line({ code: "T2004I", ...session }), []],
    ["in a command: nothing", "", []],
    ["with rubbish after its start: its end is told", `${start}rubbish\n`, ["session.end"]],
  ] as const) {
    test(why, async () => {
      const dir = await mkdtemp(join(tmpdir(), "abandoned-"));
      const events: AuditEvent[] = [];
      const emitter = { emit: async (draft: Draft) => void events.push(draft as AuditEvent) };
      await writeFile(join(dir, "log"), log);
      await endAbandoned({ emitter, clock, random: systemRandom, log: silentLog })(sid, join(dir, "log"));
      await rm(dir, { recursive: true });
      assert.deepEqual(
        events.map((e) => e.event),
        told,
      );
    });
  }
});
