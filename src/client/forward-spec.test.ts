import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { Fault } from "#core/errors";
import { type ForwardFlag, parseForward, parseListening, placeText } from "./forward-spec.ts";

const show = (place: Parameters<typeof placeText>[0] | "socks"): string =>
  place === "socks" ? place : placeText(place);

suite("forwards as they are written", () => {
  for (const [flag, text, listen, to] of [
    ["L", "8080:db:80", "127.0.0.1:8080", "db:80"],
    ["L", "0.0.0.0:8080:db:80", "0.0.0.0:8080", "db:80"],
    ["L", ":8080:db:80", "*:8080", "db:80"],
    ["L", "*:8080:db:80", "*:8080", "db:80"],
    ["L", "[::1]:8080:[2001:db8::1]:80", "[::1]:8080", "[2001:db8::1]:80"],
    ["L", "8080:/run/db.sock", "127.0.0.1:8080", "/run/db.sock"],
    ["L", "localhost:8080:/run/db.sock", "localhost:8080", "/run/db.sock"],
    ["L", "/tmp/here:db:80", "/tmp/here", "db:80"],
    ["L", "/tmp/here:/run/there", "/tmp/here", "/run/there"],
    ["L", "local.sock:remote.sock", "local.sock", "remote.sock"],
    ["L", "./local.sock:db:80", "./local.sock", "db:80"],
    ["L", "/tmp/a\\:b:db:80", "/tmp/a:b", "db:80"],
    ["R", "8080:localhost:80", "localhost:8080", "localhost:80"],
    ["R", "0:localhost:80", "localhost:0", "localhost:80"],
    ["R", "*:8080:localhost:80", "*:8080", "localhost:80"],
    ["R", "/run/there:/tmp/here", "/run/there", "/tmp/here"],
    ["R", "1080", "localhost:1080", "socks"],
    ["R", "0.0.0.0:1080", "0.0.0.0:1080", "socks"],
    ["D", "1080", "127.0.0.1:1080", "socks"],
    ["D", ":1080", "*:1080", "socks"],
    ["D", "[::1]:1080", "[::1]:1080", "socks"],
  ] as const) {
    test(`-${flag} ${text}: from ${listen} to ${to}`, () => {
      const got = parseForward(flag, text);
      assert.deepEqual([show(got.listen), show(got.to)], [listen, to]);
      assert.equal(got.side, flag === "R" ? "remote" : "local");
      assert.equal(got.text, `-${flag} ${text}`);
    });
  }
  for (const [flag, text] of [
    ["L", ""],
    ["L", "8080"],
    ["L", "a:8080"],
    ["L", "8080:db"],
    ["L", "localhost:db:80"],
    ["L", "8080:db:http"],
    ["L", "8080:db:0"],
    ["L", "0:db:80"],
    ["L", "70000:db:80"],
    ["L", "8080:db:70000"],
    ["L", "8080::80"],
    ["L", "1:2:3:4:5"],
    ["L", "8080:d b:80"],
    ["L", "8080:db:80\n"],
    ["L", "[::1:8080:db:80"],
    ["R", "x"],
    ["D", "a/b"],
    ["D", "socks"],
    ["D", "1:2:3"],
    ["D", "0"],
  ] as const) {
    test(`-${flag} ${JSON.stringify(text)} is refused with an example`, () => {
      assert.throws(
        () => parseForward(flag, text),
        (err) =>
          Fault.is(err, "bad_parameter") &&
          /^Invalid port forwarding spec: '.*Could be like/s.test(err.message),
      );
    });
  }
  test("GatewayPorts opens what names no address", () => {
    assert.equal(show(parseForward("L", "8080:db:80", { gatewayPorts: true }).listen), "*:8080");
    assert.equal(
      show(parseForward("L", "127.0.0.1:8080:db:80", { gatewayPorts: true }).listen),
      "127.0.0.1:8080",
    );
  });
  test("a forward is ended by what it listens on", () => {
    assert.equal(show(parseListening("L", "8080")), "127.0.0.1:8080");
    assert.equal(show(parseListening("L", "/tmp/x")), "/tmp/x");
    assert.throws(() => parseListening("D", "a:b:c"));
  });
  test("any text is a forward or a refusal", () => {
    const part = fc.oneof(
      fc.constantFrom("", "80", "db", "::1", "[::1]", "/a", "*", "0", "\\", "[", "]", ":"),
      fc.string({ maxLength: 6 }),
    );
    fc.assert(
      fc.property(
        fc.constantFrom<ForwardFlag>("L", "R", "D"),
        fc.array(part, { maxLength: 6 }).map((parts) => parts.join(":")),
        (flag, text) => {
          try {
            const { listen } = parseForward(flag, text);
            if (listen.kind === "tcp") assert.ok(listen.port <= 65_535);
          } catch (err) {
            assert.ok(Fault.is(err, "bad_parameter"));
          }
        },
      ),
    );
  });
});
