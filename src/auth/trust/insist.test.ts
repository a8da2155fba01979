import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { minute, second, TestClock } from "#core/clock";
import { Fault, type FaultKind } from "#core/errors";
import { memoryLog } from "#core/log";
import { systemRandom } from "#core/random";
import { insist, type Telling } from "./insist.ts";

function world(fraction = 1) {
  const [clock, log, stop] = [new TestClock(), memoryLog(), new AbortController()];
  const waits: number[] = [];
  const noted = {
    now: () => clock.now(),
    uptime: () => clock.uptime(),
    sleep: (ms: number, signal?: AbortSignal) => {
      waits.push(ms);
      return clock.sleep(ms, signal);
    },
  };
  const random = { ...systemRandom, fraction: () => fraction };
  return {
    log,
    stop,
    waits,
    start: (work: (telling: Telling) => Promise<void>) =>
      insist({ clock: noted, random, log, signal: stop.signal }, "x", work),
    /** As long as the last wait. */
    pass: () => clock.advance(waits.at(-1) ?? assert.fail("nobody waits")),
  };
}

suite("what is tried until it succeeds", () => {
  for (const [kind, waits] of [
    ["unreachable", [5, 10, 20, 40, 80, 160, 300, 300]],
    ["protocol", [5, 10]],
    ["access_denied", [300, 600, 1200, 2400, 3600, 3600]],
    ["already_exists", [300, 600]],
    ["bad_parameter", [300, 600]],
  ] as const satisfies [FaultKind, number[]][]) {
    test(`after ${kind} it waits longer and longer: ${waits.join(", ")} s`, async () => {
      const w = world();
      let left = waits.length;
      const done = w.start(async () => {
        if (left-- > 0) throw new Fault(kind, "no");
      });
      for (const _ of waits) {
        await new Promise<void>((resolve) => setImmediate(resolve));
        await w.pass();
      }
      await done;
      assert.deepEqual(
        w.waits.map((ms) => ms / second),
        waits,
      );
    });
  }

  test("another kind of failure begins anew; those who failed together come apart, by half at most", async () => {
    const w = world(0);
    const kinds: FaultKind[] = ["access_denied", "access_denied", "unreachable"];
    const done = w.start(async () => {
      const kind = kinds.shift();
      if (kind) throw new Fault(kind, "no");
    });
    for (let i = 0; i < 3; i++) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      await w.pass();
    }
    await done;
    assert.deepEqual(w.waits, [2.5 * minute, 5 * minute, 2.5 * second]);
  });

  test("each reason is told once, whatever times and counts are in it", async () => {
    const w = world();
    const whys = ["locked until 12:00", "locked until 12:20", "gone", "locked until 13:00"];
    const news: boolean[] = [];
    const done = w.start(async ({ isNews }) => {
      const why = whys.shift();
      if (why === undefined) return;
      news.push(isNews(why));
      throw new Fault("unreachable", why);
    });
    for (let i = 0; i < 4; i++) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      await w.pass();
    }
    await done;
    assert.deepEqual(news, [true, false, true, false]);
    assert.deepEqual(
      w.log.lines.map(({ level, fields }) => `${level} ${fields.key}: ${fields.why}`),
      ["warn x: locked until 12:00", "warn x: gone"],
    );
  });

  test("it ends with its signal, and says nothing of what that broke", async () => {
    const w = world();
    const done = w.start(async () => {
      w.stop.abort();
      throw new Fault("unreachable", "no");
    });
    await done;
    assert.deepEqual([w.log.lines, w.waits], [[], []]);
  });
});
