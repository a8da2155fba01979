import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { formatRange, inAddressList, overlap, parseRange } from "./cidr.ts";

suite("ranges of addresses", () => {
  for (const [given, printed] of [
    ["10.1.2.3", "10.1.2.3/32"],
    ["10.1.2.3/8", "10.0.0.0/8"],
    ["0.0.0.0/0", "0.0.0.0/0"],
    ["::1", "::1/128"],
    ["2001:DB8::5/32", "2001:db8::/32"],
    ["::ffff:10.0.0.0/104", "10.0.0.0/8"],
  ] as const) {
    test(`${given} is ${printed}`, () => {
      const range = parseRange(given);
      assert.ok(range);
      assert.equal(formatRange(range), printed);
    });
  }
  for (const bad of ["", "host", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/", "1.2.3.4/8/8", "01.2.3.4"])
    test(`${JSON.stringify(bad)} is none`, () => assert.equal(parseRange(bad), undefined));

  for (const [a, b, both] of [
    ["10.0.0.0/8", "10.2.0.0/16", "10.2.0.0/16"],
    ["10.2.3.4", "10.0.0.0/8", "10.2.3.4/32"],
    ["10.0.0.0/8", "11.0.0.0/8", undefined],
    ["0.0.0.0/0", "::/0", undefined],
    ["::/0", "fd00::/8", "fd00::/8"],
  ] as const) {
    test(`${a} and ${b} have ${both ?? "nothing"} in common`, () => {
      const ranges = [parseRange(a), parseRange(b)] as const;
      assert.ok(ranges[0] && ranges[1]);
      const found = overlap(ranges[0], ranges[1]);
      assert.equal(found && formatRange(found), both);
    });
  }

  test("an address with its interface is the address", () =>
    assert.equal(inAddressList("fe80::/10", "fe80::1%eth0"), true));
});
