import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { Fault } from "#core/errors";
import { maxMessage } from "./messages.ts";
import { Packets } from "./packets.ts";

/** What comes out when `stream` is read in steps of the given sizes. */
function cut(stream: Uint8Array, steps: readonly number[]): Uint8Array[] {
  const packets = new Packets();
  const out: Uint8Array[] = [];
  for (let at = 0, turn = 0; at < stream.length; turn++) {
    const room = packets.room();
    assert.ok(room.length > 0, "there is always room for more of a message");
    const step = stream.subarray(at, at + Math.min(room.length, steps[turn % steps.length] ?? 1));
    room.set(step);
    packets.filled(step.length);
    at += step.length;
    for (let one = packets.next(); one !== undefined; one = packets.next()) out.push(one.slice());
  }
  return out;
}

function framed(messages: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(
    messages.flatMap((message) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(message.length);
      return [length, message];
    }),
  );
}

suite("messages in a stream of bytes", () => {
  test("come out whole however they were cut", () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ minLength: 1 }), { minLength: 1 }),
        fc.array(fc.integer({ min: 1, max: 70_000 }), { minLength: 1 }),
        (messages, steps) => {
          const got = cut(framed(messages), steps);
          assert.deepEqual(got.map(hex), messages.map(hex));
        },
      ),
    );
  });

  test("many of the longest, too", () => {
    const messages = [1, 2, 3, 4, 5].map((n) => new Uint8Array(maxMessage).fill(n));
    const got = cut(framed(messages), [65_536, 1000, 300_000]);
    assert.equal(got.length, messages.length);
    for (const [i, message] of messages.entries())
      assert.ok(Buffer.compare(got[i] as Uint8Array, message) === 0);
  });

  for (const [what, length] of [
    ["an empty one", 0],
    ["one longer than OpenSSH takes", maxMessage + 1],
    ["one of 4 GiB", 0xffff_ffff],
  ] as const) {
    test(`${what} is refused before its first byte`, () => {
      const head = Buffer.alloc(4);
      head.writeUInt32BE(length);
      assert.throws(
        () => cut(head, [4]),
        (err) => Fault.is(err, "protocol"),
      );
    });
  }
});

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
