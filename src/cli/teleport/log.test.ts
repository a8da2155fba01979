import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { second, TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { makeIo } from "../io.ts";
import { collector } from "../testing.ts";
import { openLogSink } from "./log.ts";

function inFolder() {
  const folder = mkdtempSync(join(tmpdir(), "log-"));
  const [stdout, stderr] = [collector(), collector()];
  const io = makeIo({
    stdin: process.stdin,
    stdout: stdout.stream,
    stderr: stderr.stream,
    env: {},
    machine: { uid: 1000, home: folder, hostname: "box", user: "joe" },
    openTerminal: () => Promise.reject(new Error("a test has no terminal")),
  });
  return { folder, io, stderr, [Symbol.dispose]: () => rmSync(folder, { recursive: true }) };
}

suite("where the log goes (CFG-20)", () => {
  test("a file that was moved away is begun anew, as logrotate expects", async () => {
    using at = inFolder();
    const path = join(at.folder, "t.log");
    const clock = new TestClock();
    {
      await using sink = await openLogSink({ to: "file", path }, at.io, clock);
      sink.write("one\n", "info");
      renameSync(path, `${path}.1`);
      await clock.advance(second);
      sink.write("two\n", "info");
      while (!existsSync(path) || readFileSync(path).length === 0) {
        sink.write("more\n", "info");
        await setImmediate();
      }
    }
    assert.match(readFileSync(`${path}.1`, "utf8"), /^one\ntwo\n(more\n)*$/);
    assert.match(readFileSync(path, "utf8"), /^(more\n)+$/);
  });

  test("a file that cannot be had is a sentence", async () => {
    using at = inFolder();
    const path = join(at.folder, "none", "t.log");
    await assert.rejects(
      openLogSink({ to: "file", path }, at.io, new TestClock()),
      (err) => Fault.is(err, "access_denied") && err.message.startsWith(`cannot write the log to ${path}`),
    );
  });
});
