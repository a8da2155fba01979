import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { Fault } from "#core/errors";
import { inRanges, sourceOf } from "./source.ts";

suite("sources", () => {
  for (const [address, source] of [
    ["192.0.2.1", "192.0.2.1/32"],
    ["::ffff:192.0.2.1", "192.0.2.1/32"],
    ["2001:db8::1", "2001:db8:0:0:0:0:0:0/64"],
    ["2001:db8::ffff:1:2:3", "2001:db8:0:0:0:0:0:0/64"],
    ["2001:db8:0:1::1", "2001:db8:0:1:0:0:0:0/64"],
    ["fe80::1%eth0", "fe80:0:0:0:0:0:0:0/64"],
    ["unknown", "unknown"],
  ] as const) {
    test(`${address} counts for ${source}`, () => assert.equal(sourceOf(address), source));
  }

  test("networks of other sizes, also such as split a group", () => {
    const block = { ipv4: 20, ipv6: 44 };
    assert.equal(sourceOf("10.1.255.7", block), "10.1.240.0/20");
    assert.equal(sourceOf("2001:db8:abcd::1", block), "2001:db8:abc0:0:0:0:0:0/44");
    assert.equal(sourceOf("10.1.2.3", { ipv4: 0, ipv6: 0 }), sourceOf("192.0.2.1", { ipv4: 0, ipv6: 0 }));
  });

  test("ranges hold their addresses in every dress, and no others", () => {
    const holds = inRanges(["10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "::1"]);
    for (const address of ["10.255.0.1", "::ffff:10.0.0.1", "192.0.2.7", "2001:db8:1::", "::1"])
      assert.ok(holds(address), address);
    for (const address of ["11.0.0.1", "192.0.2.8", "2001:db9::1", "::2", "unknown", ""])
      assert.ok(!holds(address), address);
  });

  for (const range of ["10.0.0.0/33", "::1/129", "localhost", "10.0.0.0/8/9", "10.0.0.0/x", ""]) {
    test(`${JSON.stringify(range)} is no range`, () =>
      assert.throws(
        () => inRanges([range]),
        (err) => Fault.is(err, "bad_parameter"),
      ));
  }
});
