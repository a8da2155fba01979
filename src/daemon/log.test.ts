import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { TestClock } from "#core/clock";
import { textLog } from "./log.ts";

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
});
