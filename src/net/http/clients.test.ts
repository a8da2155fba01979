import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { minute, TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { AddressBuckets, clientAddress } from "./clients.ts";

suite("client addresses", () => {
  for (const [remoteAddress, text] of [
    ["192.0.2.1", "192.0.2.1:99"],
    ["::ffff:192.0.2.1", "192.0.2.1:99"],
    ["2001:db8::1", "[2001:db8::1]:99"],
  ] as const) {
    test(`${remoteAddress} is written ${text}`, () =>
      assert.equal(clientAddress({ remoteAddress, remotePort: 99 }), text));
  }
});

suite("buckets an address", () => {
  const setUp = (burst = 2, perSecond = 0.5) => {
    const clock = new TestClock();
    const buckets = new AddressBuckets({ clock, burst, perSecond });
    const takes = (remoteAddress: string): boolean => {
      try {
        buckets.take({ remoteAddress });
        return true;
      } catch (error) {
        assert.ok(Fault.is(error, "limit_exceeded"));
        return false;
      }
    };
    return { clock, buckets, takes };
  };

  test("give the burst, then as many as time brings", async () => {
    const { clock, takes } = setUp();
    assert.deepEqual([takes("a"), takes("a"), takes("a"), takes("b")], [true, true, false, true]);
    await clock.advance(2000);
    assert.deepEqual([takes("a"), takes("a")], [true, false]);
    await clock.advance(60 * minute);
    assert.deepEqual([takes("a"), takes("a"), takes("a")], [true, true, false]);
  });

  test("say in seconds when to come back", () => {
    const { buckets } = setUp(1, 0.25);
    buckets.take({ remoteAddress: "a" });
    assert.throws(
      () => buckets.take({ remoteAddress: "a" }),
      (err) => Fault.is(err, "limit_exceeded") && err.details.retryAfter === 4,
    );
  });

  for (const [one, two, same] of [
    ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true],
    ["2001:db8::1", "2001:db8:0:0:5::", true],
    ["2001:db8:1:2::1", "2001:db8:1:3::1", false],
    ["::ffff:192.0.2.1", "192.0.2.1", true],
    ["192.0.2.1", "192.0.2.2", false],
    ["fe80::1%eth0", "fe80::2%eth0", true],
  ] as const) {
    test(`${one} and ${two} ${same ? "share one" : "have their own"}`, () => {
      const { takes } = setUp(1);
      takes(one);
      assert.equal(takes(two), !same);
    });
  }

  test("a flood of addresses does not free those that were emptied last", () => {
    const { takes } = setUp(1);
    for (let i = 0; i < 40_000; i++) takes(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`);
    assert.equal(takes("10.0.156.63"), false);
  });
});
