import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { TestClock } from "#core/clock";
import type { Frame } from "#recording";
import { Player, playerKeys } from "./play.ts";

const output = (at: number, delayMs: number, text: string): Frame => ({
  type: "output",
  at,
  delayMs,
  data: Buffer.from(text),
});

/** Two words, ten seconds apart. */
const recording = {
  async *frames(from: number): AsyncGenerator<Frame> {
    yield output(0, 0, "one ");
    yield output(10_000, Math.max(0, 10_000 - from), "two ");
  },
};

function player() {
  const clock = new TestClock();
  const shown: string[] = [];
  const it = new Player({
    recording,
    clock,
    write: async (data) => void shown.push(Buffer.from(data).toString()),
  });
  const stop = new AbortController();
  return { clock, shown, player: it, done: it.play(stop.signal) };
}
const turns = async (): Promise<void> => {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
};

suite("player", () => {
  test("keeps the recording's time", async () => {
    const { clock, shown, done } = player();
    await turns();
    await clock.advance(9_999);
    assert.deepEqual(shown, ["one "]);
    await clock.advance(1);
    await done;
    assert.deepEqual(shown, ["one ", "two "]);
  });

  test("twice as fast takes half the time", async () => {
    const { clock, shown, player: it, done } = player();
    await turns();
    await clock.advance(4_000);
    it.press("faster");
    await turns();
    await clock.advance(3_000);
    await done;
    assert.equal(shown.length, 2);
  });

  test("a pause lasts until the next key and costs nothing", async () => {
    const { clock, shown, player: it, done } = player();
    await turns();
    await clock.advance(9_000);
    it.press("pause");
    await turns();
    await clock.advance(60_000);
    assert.deepEqual(shown, ["one "]);
    it.press("pause");
    await turns();
    await clock.advance(1_000);
    await done;
    assert.equal(shown.length, 2);
  });

  test("seeking back shows the screen anew", async () => {
    const { clock, shown, player: it, done } = player();
    await turns();
    await clock.advance(6_000);
    it.press("back");
    await turns();
    assert.deepEqual(shown, ["one ", "\u001bc", "one "]);
    await clock.advance(9_000);
    await done;
    assert.equal(shown.at(-1), "two ");
  });

  test("stops when asked", async () => {
    const { player: it, done, shown } = player();
    await turns();
    it.press("stop");
    await done;
    assert.deepEqual(shown, ["one "]);
  });

  for (const [typed, keys] of [
    [" ", ["pause"]],
    ["\u001b[C\u001b[D", ["forward", "back"]],
    ["\u001bOA", ["faster"]],
    ["+-q", ["faster", "slower", "stop"]],
    ["\u0003", ["stop"]],
    ["\u001b[?64;1;2c", []],
    ["\u001bP1$r0 q\u001b\\", []],
    ["\u001b]11;rgb:0/0/0\u0007", []],
    ["x", []],
  ] as const) {
    test(`keys ${JSON.stringify(typed)} mean ${keys.join(", ") || "nothing"}`, () =>
      assert.deepEqual(playerKeys(Buffer.from(typed)), keys));
  }
});
