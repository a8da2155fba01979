import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { TestClock } from "#core/clock";
import { columns } from "../text.ts";
import { ProgressBar } from "./progress-bar.ts";

function bar(width = 80) {
  const clock = new TestClock();
  let shown = "";
  const made = new ProgressBar(
    (text) => {
      shown += text;
    },
    () => width,
    clock,
  );
  return { bar: made, clock, lines: () => shown.split(/[\r\n]+/).filter((line) => line !== "") };
}

suite("the progress bar", () => {
  test("tells share, amount, speed and the time that is left, not more than ten times a second", async () => {
    const { bar: at, clock, lines } = bar();
    at.at({ name: "big", done: 0, size: 10 * 1024 * 1024 });
    await clock.advance(50);
    at.at({ name: "big", done: 1024, size: 10 * 1024 * 1024 });
    await clock.advance(950);
    at.at({ name: "big", done: 1024 * 1024, size: 10 * 1024 * 1024 });
    await clock.advance(9000);
    at.end({ path: "/tmp/big", len: 10 * 1024 * 1024, whole: true });
    assert.deepEqual(
      lines().map((line) => line.split(/\s{2,}/).join("|")),
      [
        "big|0%|0 B|0 B/s --:-- ETA",
        "big|10%|1.0 MiB|1.0 MiB/s 00:09 ETA",
        "big|100%|10.0 MiB|1.0 MiB/s|00:10",
      ],
    );
  });
  test("an empty file is done at once, one that broke off ends its line and says no more", () => {
    const { bar: at, lines } = bar();
    at.end({ path: "/tmp/empty", len: 0, whole: true });
    at.end({ path: "/tmp/refused", len: 0, whole: false });
    assert.match(lines().join("|"), /^empty +100% +0 B +0 B\/s +00:00$/);
  });
  for (const name of ["\u001b]0;evil\u0007x\u001b[2J", "a\nb\rc", "语".repeat(60), "x".repeat(300)]) {
    test(`S56: the name ${JSON.stringify(name).slice(0, 30)} stays in its one line`, () => {
      const { bar: at, lines } = bar(60);
      at.at({ name, done: 1, size: 2 });
      const [line = "", ...more] = lines();
      assert.equal(more.length, 0);
      assert.equal(line.includes("\u001b"), false);
      assert.ok(columns(line) < 60, `${columns(line)} columns`);
    });
  }
});
