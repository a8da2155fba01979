import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { Fault } from "#core/errors";
import { anyText } from "../../test/support/text.ts";
import { checkLogin, isHost, parseDestination, parseJumps, parseLabels, parseProxy } from "./address.ts";

const refused = (err: unknown): boolean => Fault.is(err, "bad_parameter");

suite("TSH-01: the address of a proxy", () => {
  for (const [text, host, webPort, sshPort] of [
    ["proxy", "proxy", undefined, undefined],
    ["proxy.example.com:443", "proxy.example.com", 443, undefined],
    ["proxy:443,23", "proxy", 443, 23],
    ["proxy:,23", "proxy", undefined, 23],
    ["proxy:443,", "proxy", 443, undefined],
    ["[::1]:443,23", "::1", 443, 23],
    ["https://proxy:443/", "proxy", 443, undefined],
  ] as const) {
    test(text, () => assert.deepEqual(parseProxy(text), { host, webPort, sshPort }));
  }
  for (const text of [
    "",
    ":443",
    "a b",
    "proxy:0",
    "proxy:70000",
    "proxy:1,70000",
    "../x",
    "-x",
    "a/b",
    "proxy:x",
    "a\n",
  ]) {
    test(`refuses ${JSON.stringify(text)}`, () => {
      if (text === "a\n") assert.equal(parseProxy(text).host, "a");
      else assert.throws(() => parseProxy(text), refused);
    });
  }
});

suite("where tsh ssh goes", () => {
  for (const [text, want] of [
    ["db", { login: undefined, kind: "host", host: "db" }],
    ["root@db", { login: "root", kind: "host", host: "db" }],
    ["joe@example.com@db", { login: "joe@example.com", kind: "host", host: "db" }],
    ["root@[::1]", { login: "root", kind: "host", host: "::1" }],
    ["root@env=prod", { login: "root", kind: "labels", labels: { env: "prod" } }],
    ["a=b@c,d=e", { login: undefined, kind: "labels", labels: { a: "b@c", d: "e" } }],
  ] as const) {
    test(text, () => assert.deepEqual(parseDestination(text), want));
  }
  for (const text of [
    "",
    "@db",
    "root@",
    "root@a/b",
    "root@$(id)",
    "-x",
    "root@-x",
    "ro ot@db",
    "$(id)@db",
    "-l@db",
    "a'b@db",
    "a\u0007@db",
    "=x",
  ]) {
    test(`S57: refuses ${JSON.stringify(text)}`, () => assert.throws(() => parseDestination(text), refused));
  }
  test("S57: no login and no host holds what a shell would act on", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const special = /[\s\p{Cc}'"`$;&|<>(){}]|^-/u;
        if (isHost(text)) assert.doesNotMatch(text, /[^A-Za-z0-9_.:-]|^[-.]/);
        try {
          assert.doesNotMatch(checkLogin(text), special);
        } catch (err) {
          if (!refused(err)) throw err;
        }
      }),
    );
  });
});

suite("label selectors", () => {
  test("all pairs, blanks round them do not count", () => {
    assert.deepEqual({ ...parseLabels("a=b, c = d e ,f=") }, { a: "b", c: "d e", f: "" });
  });
  for (const text of ["a", "=b", "a=b,", "-x=y"]) {
    test(`refuses ${JSON.stringify(text)}`, () => assert.throws(() => parseLabels(text), refused));
  }
});

suite("hosts to jump over", () => {
  for (const [text, want] of [
    ["none", []],
    ["proxy", [[undefined, "proxy", undefined]]],
    ["joe@proxy:3023", [["joe", "proxy", 3023]]],
    ["ssh://joe@proxy:3023", [["joe", "proxy", 3023]]],
    ["[::1]:22", [[undefined, "::1", 22]]],
    [
      "one, root@two:22",
      [
        [undefined, "one", undefined],
        ["root", "two", 22],
      ],
    ],
  ] as const) {
    test(text, () => {
      assert.deepEqual(
        parseJumps(text).map(({ login, host, port }) => [login, host, port]),
        want,
      );
    });
  }
  for (const text of ["", "a,", "a:0", "a:70000", "a:x", "-a", "a b", "$(id)", "a;b", "@a", "-x@a"]) {
    test(`S57: refuses ${JSON.stringify(text)}`, () => assert.throws(() => parseJumps(text), refused));
  }
});
