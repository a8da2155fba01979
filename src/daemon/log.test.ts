import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { TestClock } from "#core/clock";
import { jsonLog, textLog } from "./log.ts";

suite("log lines", () => {
  const lines: string[] = [];
  const log = textLog({ write: (line) => lines.push(line), severity: "info", clock: new TestClock() });
  const last = (): string => lines.at(-1) ?? "";

  test("carry time, severity, component, message and fields", () => {
    log
      .with({ component: "proxy" })
      .info("client refused", { from: "10.0.0.1:22", why: "no such user", n: 3 });
    assert.equal(
      last(),
      '2026-01-01T00:00:00.000Z INFO  [PROXY]    client refused from=10.0.0.1:22 why="no such user" n=3\n',
    );
  });

  test("below the severity nothing is written", () => {
    const before = lines.length;
    log.debug("noise");
    assert.equal(lines.length, before);
  });

  test("S66: what a stranger sent can neither end the line nor reach the terminal", () => {
    log.warn("refused", { user: "a\nERROR forged", title: "\u001b]0;x\u0007", bidi: "\u202eabc" });
    assert.equal(last().split("\n").length, 2);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these must not be there
    assert.doesNotMatch(last().slice(0, -1), /[\u0000-\u001f\u202e]/);
    assert.match(last(), /a\\nERROR forged/);
  });

  test("are without time and severity for whoever has their own", () => {
    const given: unknown[] = [];
    const write = (...line: unknown[]): void => void given.push(line);
    const bare = textLog({ write, severity: "info", clock: new TestClock(), stamped: false });
    bare.with({ component: "auth" }).error("went wrong", { n: 1 });
    bare.info("plain");
    assert.deepEqual(given, [
      ["[AUTH] went wrong n=1\n", "error"],
      ["plain\n", "info"],
    ]);
  });
});

suite("log lines as JSON", () => {
  const lines: string[] = [];
  const log = jsonLog({ write: (line) => lines.push(line), severity: "info", clock: new TestClock() });
  const last = (): string => lines.at(-1) ?? "";

  test("are an object each, with the event's own fields", () => {
    log.with({ component: "proxy" }).warn("client refused", { from: "10.0.0.1:22", n: 3, gone: undefined });
    log.debug("noise");
    assert.deepEqual(lines, [
      '{"time":"2026-01-01T00:00:00.000Z","level":"warn","component":"proxy","message":"client refused","from":"10.0.0.1:22","n":3}\n',
    ]);
  });

  test("S66: what a stranger sent can neither end the line, reach the terminal nor stand for what we say", () => {
    const sent = {
      level: "debug",
      user: "a\n{}",
      title: "\u001b]0;x\u0007\u009b2J",
      bidi: "\u202eabc\u2028",
    };
    log.error("refused", sent);
    assert.equal(last().split("\n").length, 2);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these must not be there
    assert.doesNotMatch(last().slice(0, -1), /[\u0000-\u001f\u0080-\u009f\u2028\u202e]/);
    assert.deepEqual(JSON.parse(last()), {
      ...sent,
      time: "2026-01-01T00:00:00.000Z",
      level: "error",
      message: "refused",
    });
  });
});
