import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { minute, second, TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { RequestRates } from "./rates.ts";

suite("rates of requests (CFG-19)", () => {
  test("a source has its burst at once, then so many as its average gives, by every rate", async () => {
    const clock = new TestClock();
    const rates = new RequestRates(
      [
        { period: second, average: 1, burst: 2 },
        { period: minute, average: 3, burst: 3 },
      ],
      clock,
    );
    const takes = (n: number): boolean[] => Array.from({ length: n }, () => rates.allows("10.0.0.1"));
    assert.deepEqual(takes(3), [true, true, false]);
    await clock.advance(second);
    assert.deepEqual(takes(2), [true, false]);
    // The first rate would allow two more; the second has one every 20 s.
    await clock.advance(20 * second);
    assert.deepEqual(takes(2), [true, false]);
    assert.ok(rates.allows("10.0.0.2"));
  });

  test("a refusal says when to come back", () => {
    const rates = new RequestRates([{ period: 10 * second, average: 1, burst: 1 }], new TestClock());
    rates.take({ remoteAddress: "::1" });
    assert.throws(
      () => rates.take({ remoteAddress: "::1" }),
      (err) => Fault.is(err, "limit_exceeded") && err.details.retryAfter === 10,
    );
  });

  test("without a rate everything is allowed", () => {
    const rates = new RequestRates([], new TestClock());
    for (let i = 0; i < 1000; i++) assert.ok(rates.allows("10.0.0.1"));
  });
});
