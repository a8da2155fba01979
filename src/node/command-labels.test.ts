import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { minute, second, TestClock } from "#core/clock";
import { CommandLabels } from "./command-labels.ts";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** The labels `up` (every minute) and `arch` (every hour), whose commands a test ends as it likes. */
function started() {
  const clock = new TestClock();
  const stop = new AbortController();
  const running: { name: string; print: (value: string) => void }[] = [];
  const seen = { changes: 0, ready: false };
  const labels = new CommandLabels({
    commands: [
      { name: "up", command: ["uptime", "-p"], period: minute },
      { name: "arch", command: ["uname", "-m"], period: 60 * minute },
    ],
    run: ([name = ""]) => new Promise((resolve) => running.push({ name, print: resolve })),
    changed: () => void seen.changes++,
    clock,
  });
  const done = labels.run(stop.signal, () => {
    seen.ready = true;
  });
  const print = async (name: string, value: string): Promise<void> => {
    const i = running.findIndex((one) => one.name === name);
    assert.ok(i >= 0, `${name} is not running`);
    running.splice(i, 1)[0]?.print(value);
    await turn();
  };
  const end = async (): Promise<void> => {
    stop.abort();
    for (const { print } of running) print("");
    await done;
  };
  return { clock, labels, running, seen, print, end };
}

suite("labels by command (SSH-50)", () => {
  test("all run at the start; the node goes on when all have a value", async () => {
    const t = started();
    assert.deepEqual(
      t.running.map(({ name }) => name),
      ["uptime", "uname"],
    );
    await t.print("uname", "x86_64");
    assert.equal(t.seen.ready, false);
    await t.print("uptime", "up 1 minute");
    assert.equal(t.seen.ready, true);
    assert.deepEqual(t.labels.labels(), { up: "up 1 minute", arch: "x86_64" });
    assert.deepEqual(t.labels.record(), {
      up: { command: ["uptime", "-p"], period: "1m0s", result: "up 1 minute" },
      arch: { command: ["uname", "-m"], period: "1h0m0s", result: "x86_64" },
    });
    await t.end();
  });

  test("each runs again every period, and only another value is a change", async () => {
    const t = started();
    await t.print("uptime", "a");
    await t.print("uname", "x86_64");
    assert.equal(t.seen.changes, 2);
    await t.clock.advance(minute);
    assert.deepEqual(
      t.running.map(({ name }) => name),
      ["uptime"],
    );
    await t.print("uptime", "a");
    assert.equal(t.seen.changes, 2);
    await t.clock.advance(minute);
    await t.print("uptime", "b");
    assert.equal(t.seen.changes, 3);
    assert.equal(t.labels.labels().up, "b");
    await t.end();
  });

  test("one that hangs holds up the start for two seconds and nothing else; its label is empty until then (SSH-51)", async () => {
    const t = started();
    await t.print("uname", "x86_64");
    await t.clock.advance(1999);
    assert.equal(t.seen.ready, false);
    await t.clock.advance(1);
    await turn();
    assert.equal(t.seen.ready, true);
    assert.deepEqual(t.labels.labels(), { up: "", arch: "x86_64" });
    await t.clock.advance(60 * minute);
    assert.equal(t.running.filter(({ name }) => name === "uptime").length, 1, "it is not started twice");
    await t.print("uname", "aarch64");
    assert.equal(t.labels.labels().arch, "aarch64");
    await t.end();
  });

  test("a run that took longer than its period is followed by the next at once, never by two", async () => {
    const t = started();
    await t.print("uname", "x86_64");
    await t.clock.advance(150 * second);
    await t.print("uptime", "late");
    assert.deepEqual(
      t.running.map(({ name }) => name),
      [],
    );
    await t.clock.advance(0);
    assert.deepEqual(
      t.running.map(({ name }) => name),
      ["uptime"],
    );
    await t.end();
  });

  test("without commands there is nothing to tell, and the service stays up", async () => {
    const stop = new AbortController();
    const labels = new CommandLabels({
      commands: [],
      run: async () => "",
      changed: () => {},
      clock: new TestClock(),
    });
    let ready = false;
    let over = false;
    const done = labels.run(stop.signal, () => {
      ready = true;
    });
    void done.then(() => {
      over = true;
    });
    for (let i = 0; i < 5; i++) await turn();
    assert.deepEqual([ready, over, labels.record(), labels.labels()], [true, false, undefined, {}]);
    stop.abort();
    await done;
  });
});
