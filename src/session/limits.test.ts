import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { minute, TestClock } from "#core/clock";
import { activity, untilLimit } from "./index.ts";

suite("limits of a connection", () => {
  test("an idle client is sent away, one that types is not", async () => {
    const clock = new TestClock();
    const seen = activity(clock);
    const stop = new AbortController();
    let reason: string | undefined;
    const over = untilLimit({ idle: 10 * minute, expires: undefined }, seen, clock, stop.signal).then(
      (why) => {
        reason = why;
      },
    );
    await clock.advance(9 * minute);
    seen.touch();
    await clock.advance(9 * minute);
    assert.equal(reason, undefined);
    await clock.advance(1 * minute);
    await over;
    assert.equal(reason, "client is idle for 10m0s, exceeded idle timeout of 10m0s");
  });

  test("the end of the certificate counts, however busy the client is", async () => {
    const clock = new TestClock(Date.UTC(2026, 0, 1));
    const seen = activity(clock);
    const expires = clock.now() + 5 * minute;
    const over = untilLimit({ idle: 0, expires }, seen, clock, new AbortController().signal);
    await clock.advance(4 * minute);
    seen.touch();
    await clock.advance(1 * minute);
    assert.equal(await over, "client certificate expired at 2026-01-01T00:05:00.000Z");
  });

  test("without limits nothing is waited for", async () => {
    const clock = new TestClock();
    const over = untilLimit(
      { idle: 0, expires: undefined },
      activity(clock),
      clock,
      new AbortController().signal,
    );
    assert.equal(await over, undefined);
    assert.equal(clock.sleeping, 0);
  });

  test("the end of the connection ends the watch", async () => {
    const clock = new TestClock();
    const stop = new AbortController();
    const over = untilLimit({ idle: minute, expires: undefined }, activity(clock), clock, stop.signal);
    stop.abort();
    assert.equal(await over, undefined);
  });
});
