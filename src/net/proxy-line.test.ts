import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { Fault } from "#core/errors";
import { beginsProxyLine, isNearby, readProxyLine } from "./proxy-line.ts";

const read = (text: string) => readProxyLine(Buffer.from(text, "latin1"));

suite("the PROXY protocol, version 1", () => {
  for (const [line, host, port] of [
    ["PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\nrest", "192.0.2.1", 56_324],
    ["PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\nrest", "2001:db8::1", 1],
  ] as const) {
    test(line.trim(), () => {
      const got = read(line);
      assert.deepEqual(got?.client, { host, port });
      assert.equal(String(got?.rest), "rest");
    });
  }

  test("a balancer that knows no client says so", () =>
    assert.deepEqual(read("PROXY UNKNOWN\r\n"), { client: undefined, rest: Buffer.alloc(0) }));

  test("a line that has begun is waited for", () => {
    assert.equal(read("PROXY TCP4 192.0.2.1 198."), undefined);
    for (const begun of ["P", "PRO", "PROXY ", "PROXY TCP4"]) assert.ok(beginsProxyLine(Buffer.from(begun)));
    for (const other of ["", "POST / HTTP/1.1", "\u0016\u0003", "PROXYTCP4"])
      assert.ok(!beginsProxyLine(Buffer.from(other, "latin1")), other);
  });

  for (const broken of [
    "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
    "PROXY TCP4 192.0.2.256 198.51.100.1 1 2\r\n",
    "PROXY TCP4 192.0.2.1 198.51.100.1 65536 2\r\n",
    "PROXY TCP5 192.0.2.1 198.51.100.1 1 2\r\n",
    "PROXY TCP4 192.0.2.1\r\n",
    `PROXY ${"x".repeat(200)}`,
    `PROXY UNKNOWN ${"x".repeat(200)}\r\n`,
  ]) {
    test(`refuses ${JSON.stringify(broken.slice(0, 50))}`, () =>
      assert.throws(
        () => read(broken),
        (err) => Fault.is(err, "protocol"),
      ));
  }

  test("no bytes make the reader throw anything else", () =>
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 150 }), (text) => {
        try {
          read(`PROXY ${text}`);
        } catch (err) {
          assert.ok(Fault.is(err, "protocol"));
        }
      }),
    ));

  test("S64: who is on the internet is not nearby", () => {
    for (const near of [
      "127.0.0.1",
      "::1",
      "::ffff:10.1.2.3",
      "172.31.0.1",
      "192.168.1.1",
      "fd00::1",
      "fe80::1%eth0",
    ])
      assert.ok(isNearby(near), near);
    for (const far of ["8.8.8.8", "172.32.0.1", "2001:db8::1", "::ffff:11.0.0.1", "", "localhost"])
      assert.ok(!isNearby(far), far);
  });
});
