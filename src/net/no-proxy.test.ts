import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { isOwnHost, noProxy } from "./no-proxy.ts";

suite("NO_PROXY (CON-02)", () => {
  for (const [list, named, others] of [
    ["", [], ["example.com:443", "10.0.0.1:22"]],
    [" , ,", [], ["example.com:443"]],
    ["*", ["example.com:443", "10.0.0.1:22", "2001:db8::1:3080"], []],
    ["*:3024", ["example.com:3024"], ["example.com:3080"]],
    [
      "example.com",
      ["example.com:1", "EXAMPLE.com:1", "a.b.example.com:1", "example.com.:1"],
      ["badexample.com:1"],
    ],
    [".example.com", ["a.example.com:1", "example.com:1"], ["badexample.com:1", "com:1"]],
    ["*.example.com", ["a.example.com:1", "example.com:1"], ["badexample.com:1"]],
    ["Example.COM.", ["a.example.com:1"], ["example.org:1"]],
    ["example.com:3080", ["example.com:3080", "a.example.com:3080"], ["example.com:3024"]],
    ["a.test, b.test\tc.test", ["a.test:1", "b.test:1", "c.test:1"], ["d.test:1"]],
    ["10.1.2.3", ["10.1.2.3:1", "::ffff:10.1.2.3:1"], ["10.1.2.30:1", "1.10.1.2.3.test:1"]],
    ["10.1.2.3:22", ["10.1.2.3:22"], ["10.1.2.3:23"]],
    ["10.0.0.0/8", ["10.255.0.1:1"], ["11.0.0.1:1", "10.0.0.1.test:1"]],
    ["2001:db8::1", ["2001:DB8:0:0:0:0:0:1:1"], ["2001:db8::2:1"]],
    ["[2001:db8::1]", ["2001:db8::1:1"], ["2001:db8::2:1"]],
    ["[2001:db8::1]:22", ["2001:db8::1:22"], ["2001:db8::1:23"]],
    ["fd00::/8", ["fd12::1:1"], ["fe80::1:1", "253.0.0.1:1"]],
    [
      "10.0.0.0/40, 10.0.0.0/x, [fd00::]/8, http://a.test, .",
      [],
      ["10.0.0.1:1", "fd00::1:1", "a.test:1", "10.0.0.0:1"],
    ],
  ] as const) {
    test(`${JSON.stringify(list)} names ${named.join(", ") || "nothing"}`, () => {
      const names = noProxy(list);
      assert.deepEqual(
        [...named, ...others].filter((text) => names(target(text))),
        named,
      );
    });
  }
});

test("this machine is known by every spelling of its loopback addresses, and nothing else is", () => {
  const spellings = [
    ...[
      "localhost",
      "LOCALHOST",
      "localhost.",
      "a.localhost",
      "127.0.0.1",
      "127.8.8.8",
      "127.1",
      "0x7f.0.0.1",
    ],
    ...["2130706433", "::1", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1", "::ffff:7f00:1", "0.0.0.0", "::"],
  ];
  assert.deepEqual(
    spellings.filter((host) => !isOwnHost(host)),
    [],
  );
  const others = ["localhost.example.com", "127.example.com", "128.0.0.1", "10.0.0.1", "::2", "vm", ""];
  assert.deepEqual(others.filter(isOwnHost), []);
});

/** `host:port`, where the host may have colons of its own. */
function target(text: string) {
  const at = text.lastIndexOf(":");
  return { host: text.slice(0, at), port: Number(text.slice(at + 1)) };
}
