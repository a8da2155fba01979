import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { Fault } from "#core/errors";
import { ConnectReply } from "./connect.ts";

/** What came of an answer given in pieces. */
function read(pieces: Iterable<Uint8Array>) {
  const reply = new ConnectReply();
  let got: ReturnType<ConnectReply["take"]>;
  const later: Uint8Array[] = [];
  for (const piece of pieces) {
    if (got) later.push(piece);
    else got = reply.take(piece);
  }
  return got && { ...got, rest: Buffer.concat([got.rest, ...later]).toString("latin1") };
}
const whole = (text: string) => read([Buffer.from(text, "latin1")]);

suite("a proxy's answer to CONNECT", () => {
  for (const [answer, status, line, rest] of [
    ["HTTP/1.1 200 Connection established\r\n\r\n", 200, "HTTP/1.1 200 Connection established", ""],
    ["HTTP/1.0 200 OK\r\nVia: x\r\n\r\nSSH-2.0-x\r\n", 200, "HTTP/1.0 200 OK", "SSH-2.0-x\r\n"],
    ["HTTP/1.1 200\r\n\r\n\r\n\r\n", 200, "HTTP/1.1 200", "\r\n\r\n"],
    ["HTTP/1.1 200 OK\nA: b\n\nrest\r\n\r\n", 200, "HTTP/1.1 200 OK", "rest\r\n\r\n"],
    ["HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", 200, "HTTP/1.1 200 OK", "body"],
    ["HTTP/1.1 407 Say who you are\r\n\r\n<html>", 407, "HTTP/1.1 407 Say who you are", "<html>"],
    ["HTTP/1.1 403 \x1b[2J\x07no\x9b1m\r\n\r\n", 403, "HTTP/1.1 403  [2J no 1m", ""],
    [`HTTP/1.1 500 ${"a".repeat(5000)}\r\n\r\n`, 500, `HTTP/1.1 500 ${"a".repeat(187)}`, ""],
  ] as const) {
    test(`${JSON.stringify(answer.slice(0, 40))} is ${status}, and what is behind it is the target's`, () =>
      assert.deepEqual(whole(answer), { status, line, rest }));
  }

  test("the same however it is cut; no byte behind it is lost", () => {
    const answer = "HTTP/1.1 200 OK\r\nProxy-Agent: x\r\n\r\n";
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.array(fc.nat({ max: 110 })), (payload, cuts) => {
        const all = Buffer.concat([Buffer.from(answer), payload]);
        const ends = [...new Set(cuts.filter((at) => at < all.length))].sort((a, b) => a - b);
        const pieces = [0, ...ends].map((from, i) => all.subarray(from, ends[i]));
        assert.deepEqual(read(pieces), {
          status: 200,
          line: "HTTP/1.1 200 OK",
          rest: Buffer.from(payload).toString("latin1"),
        });
      }),
    );
  });

  for (const [what, answer, why] of [
    ["SSH", "SSH-", /does not answer like one of HTTP/],
    ["TLS", "\x15\x03\x01", /does not answer like one of HTTP/],
    ["a line without a status", "HTTP/1.1 OK\r\n\r\n", /does not answer like one of HTTP/],
    ["a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n", /does not answer like one of HTTP/],
    ["a header without end", `HTTP/1.1 200 OK\r\n${"A: b\r\n".repeat(3000)}`, /a header without end/],
    [
      "a header that ends too late",
      `HTTP/1.1 200 OK\r\n${"A: b\r\n".repeat(3000)}\r\n`,
      /a header without end/,
    ],
  ] as const) {
    test(`refuses ${what}`, () =>
      assert.throws(
        () => whole(answer),
        (err) => Fault.is(err, "protocol") && why.test(err.message),
      ));
  }

  test("any bytes are read, waited for or refused, and nothing else", () => {
    const begun = fc.constantFrom("", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\n\r\n");
    fc.assert(
      fc.property(begun, fc.array(fc.uint8Array({ maxLength: 40 })), (before, pieces) => {
        try {
          read([Buffer.from(before), ...pieces]);
        } catch (err) {
          assert.ok(Fault.is(err, "protocol"), String(err));
        }
      }),
    );
  });
});
