import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { formatDuration, parseDuration } from "./duration.ts";
import { Fault } from "./errors.ts";

suite("durations", () => {
  for (const [text, ms] of [
    ["0", 0],
    ["300ms", 300],
    ["90s", 90_000],
    ["1h30m", 5_400_000],
    ["1.5h", 5_400_000],
    ["-2m", -120_000],
    [".5s", 500],
  ] as const) {
    test(`${text} is ${ms} ms`, () => assert.equal(parseDuration(text), ms));
  }
  for (const text of ["", "1", "30x", "h", "1h30", "1 h", "--1s", "1e3s", "1".repeat(1_000_000)]) {
    test(`refuses ${JSON.stringify(text.slice(0, 20))}`, () =>
      assert.throws(
        () => parseDuration(text),
        (err) => Fault.is(err, "bad_parameter"),
      ));
  }
  for (const [ms, text] of [
    [0, "0s"],
    [300, "300ms"],
    [90_000, "1m30s"],
    [43_200_000, "12h0m0s"],
    [1500, "1.5s"],
  ] as const) {
    test(`${ms} ms is written ${text}`, () => assert.equal(formatDuration(ms), text));
  }
});
