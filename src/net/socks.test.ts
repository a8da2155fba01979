import assert from "node:assert/strict";
import { duplexPair } from "node:stream";
import { suite, test } from "node:test";
import fc from "fast-check";
import { Fault } from "#core/errors";
import { readSocks, SocksServer, type SocksStep } from "./socks.ts";

const bytes = (hex: string): Uint8Array => Uint8Array.fromHex(hex.replaceAll(" ", ""));
const name = Buffer.from("db.example").toString("hex");

/** What came of bytes given in pieces; the replies joined. */
function say(pieces: Iterable<Uint8Array>): SocksStep & { server: SocksServer } {
  const server = new SocksServer();
  const replies: Uint8Array[] = [];
  let step: SocksStep = { reply: new Uint8Array(0) };
  for (const piece of pieces) {
    if (step.target) {
      step = { ...step, target: { ...step.target, rest: Buffer.concat([step.target.rest, piece]) } };
      continue;
    }
    if (step.refusal !== undefined) break;
    step = server.take(piece);
    replies.push(step.reply);
  }
  return { ...step, reply: Buffer.concat(replies), server };
}

const requests = [
  ["SOCKS 5 with a name", `05 01 00 05 01 00 03 0a ${name} 00 50`, "db.example", 80, "0500"],
  ["SOCKS 5 with IPv4", "05 02 02 00 05 01 00 01 0a 00 00 01 1f 90", "10.0.0.1", 8080, "0500"],
  [
    "SOCKS 5 with IPv6",
    "05 01 00 05 01 00 04 20010db8000000000000000000000001 01 bb",
    "2001:db8:0:0:0:0:0:1",
    443,
    "0500",
  ],
  ["SOCKS 4", "04 01 00 16 0a 00 00 01 6d6500", "10.0.0.1", 22, ""],
  ["SOCKS 4a", `04 01 00 50 00 00 00 01 00 ${name} 00`, "db.example", 80, ""],
] as const;

suite("SOCKS", () => {
  for (const [what, hex, host, port, reply] of requests) {
    test(`${what}: the target, and what follows it is data`, () => {
      const got = say([Buffer.concat([bytes(hex), Buffer.from("data")])]);
      assert.deepEqual(
        [got.target?.host, got.target?.port, Buffer.from(got.target?.rest ?? []).toString()],
        [host, port, "data"],
      );
      assert.equal(Buffer.from(got.reply).toString("hex"), reply);
      assert.equal(got.server.answer(true)[1], what.startsWith("SOCKS 4") ? 90 : 0);
      assert.equal(got.server.answer(false)[1], what.startsWith("SOCKS 4") ? 91 : 5);
    });
  }
  test("the same however the bytes are cut", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...requests),
        fc.array(fc.nat({ max: 12 }), { maxLength: 40 }),
        ([, hex, host, port, reply], cuts) => {
          const all = bytes(hex);
          const pieces: Uint8Array[] = [];
          let at = 0;
          for (const cut of cuts) {
            pieces.push(all.subarray(at, at + cut));
            at += cut;
          }
          pieces.push(all.subarray(Math.min(at, all.length)));
          const got = say(pieces);
          assert.deepEqual([got.target?.host, got.target?.port, got.target?.rest.length], [host, port, 0]);
          assert.equal(Buffer.from(got.reply).toString("hex"), reply);
        },
      ),
    );
  });
  for (const [what, hex, reply] of [
    ["a client that insists on a password", "05 01 02", "05ff"],
    ["BIND", "05 01 00 05 02 00 01 0a000001 0050", "0500 05070001000000000000"],
    ["an unknown kind of address", "05 01 00 05 01 00 09 0a000001 0050", "0500 05080001000000000000"],
    ["a name with an escape", "05 01 00 05 01 00 03 02 1b5b 0050", "0500 05010001000000000000"],
    ["an empty name", "05 01 00 05 01 00 03 00 0050", "0500 05010001000000000000"],
    ["SOCKS 4 BIND", "04 02 0050 0a000001 00", "005b000000000000"],
    ["a name with a blank in SOCKS 4a", "04 01 0050 00000001 00 612062 00", "005b000000000000"],
    ["an HTTP client", Buffer.from("GET / HTTP/1.1\r\n").toString("hex"), ""],
    ["SOCKS 6", "06 01 00", ""],
  ] as const) {
    test(`${what} is refused in its own words`, () => {
      const got = say([bytes(hex)]);
      assert.ok(got.refusal);
      assert.equal(Buffer.from(got.reply).toString("hex"), reply.replaceAll(" ", ""));
    });
  }
  test("a SOCKS 4 request that never ends is not kept", () => {
    const got = say([bytes("0401 0050 0a000001"), Buffer.alloc(2000, 0x61)]);
    assert.match(got.refusal ?? "", /too long/);
  });
  test("any bytes come to a target, a refusal, or a wait for more, and never to an error", () => {
    const start = fc.constantFrom(...requests.map(([, hex]) => bytes(hex)));
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 300 }),
          fc.tuple(start, fc.nat(20), fc.nat(255)).map(([from, at, value]) => {
            const changed = Uint8Array.from(from);
            if (at < changed.length) changed[at] = value;
            return changed;
          }),
        ),
        (some) => {
          const { target } = say([some]);
          if (target) assert.match(target.host, /^[\w.:-]+$/);
        },
      ),
    );
  });
  test("on a stream: what came too early is the connection's first data", async () => {
    const [near, far] = duplexPair();
    near.write(Buffer.concat([bytes(requests[0][1]), Buffer.from("hello")]));
    const request = await readSocks(far);
    assert.deepEqual([request.host, request.port], ["db.example", 80]);
    request.answer(true);
    far.end("world");
    near.end();
    assert.equal(Buffer.concat(await far.toArray()).toString(), "hello");
    const got = Buffer.concat(await near.toArray());
    assert.equal(got.toString("hex"), `050005000001000000000000${Buffer.from("world").toString("hex")}`);
  });
  for (const [what, input] of [
    ["goes away", ""],
    ["speaks HTTP", "GET / HTTP/1.1\r\n\r\n"],
  ] as const) {
    test(`on a stream: one that ${what} is over`, async () => {
      const [near, far] = duplexPair();
      near.end(input);
      await assert.rejects(readSocks(far), (err) => Fault.is(err, "protocol"));
      assert.ok(far.writableEnded || far.destroyed);
    });
  }
});
