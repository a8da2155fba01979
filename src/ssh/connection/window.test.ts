import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { Millis } from "#core/clock";
import { WindowBudget } from "./limits.ts";
import { ReceiveWindow } from "./window.ts";

const KiB = 1024;
const MiB = 1024 * KiB;
const packet = 32 * KiB;

interface Line {
  /** Until a byte, or credit, has come across. */
  readonly oneWay: Millis;
  /** Bytes a millisecond, of the peer and of who reads. */
  readonly peer: number;
  readonly reader: number;
}

/** Bytes that have been read each second while a peer sends all it may, and how large the window was then. */
function transfer({ oneWay, peer, reader }: Line, seconds: number, budget = new WindowBudget({})) {
  let now = 1e12;
  const size = budget.grant() ?? 0;
  const window = new ReceiveWindow(size, { uptime: () => now }, (at) => budget.grow(at));
  const under: { due: Millis; bytes: number }[] = [];
  const credit: { due: Millis; bytes: number }[] = [{ due: now, bytes: size }];
  let [allowed, unread, mayRead, maySend] = [0, 0, 0, 0];
  const each: { read: number; window: number }[] = [];
  for (let second = 0; second < seconds; second++) {
    let read = 0;
    for (let ms = 0; ms < 1000; ms++, now++) {
      for (; credit[0] && credit[0].due <= now; credit.shift()) allowed += credit[0].bytes;
      // What is not sent in time is lost, but for the rest of a packet.
      maySend = Math.min(maySend, packet) + peer;
      while (allowed > 0 && maySend >= packet) {
        const bytes = Math.min(packet, allowed);
        under.push({ due: now + oneWay, bytes });
        allowed -= bytes;
        maySend -= bytes;
      }
      for (; under[0] && under[0].due <= now; under.shift()) {
        window.spend(under[0].bytes);
        unread += under[0].bytes;
      }
      mayRead = Math.min(mayRead, packet) + reader;
      while (unread > 0 && mayRead >= packet) {
        const bytes = Math.min(packet, unread);
        unread -= bytes;
        mayRead -= bytes;
        read += bytes;
        const back = window.consumed(bytes);
        if (back > 0) credit.push({ due: now + oneWay, bytes: back });
      }
    }
    each.push({ read, window: window.size });
  }
  return each;
}

suite("a receive window", () => {
  test("grows on a long line until the line is full", () => {
    const each = transfer({ oneWay: 50, peer: 125_000, reader: 1e6 }, 4);
    assert.ok((each[0]?.read ?? 0) > 20 * MiB, "at first it limits the speed");
    assert.ok((each[3]?.read ?? 0) > 0.95 * 125_000_000, `${each[3]?.read} bytes in the fourth second`);
    assert.equal(each[3]?.window, 16 * MiB - 8);
  });

  for (const [name, line] of Object.entries({
    "a short line": { oneWay: 0, peer: 125_000, reader: 1e6 },
    "a long line that is slow": { oneWay: 50, peer: 12_500, reader: 1e6 },
    "a short line with a slow peer": { oneWay: 1, peer: 500, reader: 1e6 },
    "a long line with a slow reader": { oneWay: 50, peer: 125_000, reader: 5_000 },
    "a short line with a slow reader": { oneWay: 1, peer: 125_000, reader: 5_000 },
  })) {
    test(`stays as it is on ${name}`, () => {
      const each = transfer(line, 4);
      assert.equal(each[3]?.window, 2 * MiB - 1);
      const possible = Math.min(line.peer, line.reader) * 1000;
      assert.ok((each[3]?.read ?? 0) > 0.95 * possible, `${each[3]?.read} bytes in the fourth second`);
    });
  }

  test("S65: grows only by what the connection has to spare", () => {
    const budget = new WindowBudget({ maxBuffered: 24 * MiB, maxChannels: 64 });
    const long = { oneWay: 50, peer: 125_000, reader: 1e6 };
    const sizes = [1, 2, 3].map(() => transfer(long, 2, budget)[1]?.window ?? 0);
    assert.ok((sizes[0] ?? 0) > 8 * MiB);
    for (let i = 3; i < 64; i++) sizes.push(budget.grant() ?? 0);
    assert.ok(sizes.every((size) => size >= 64 * KiB));
    assert.ok(sizes.reduce((sum, size) => sum + size) <= 24 * MiB);
  });

  test("a window that was read by a quarter gives that back", () => {
    const window = new ReceiveWindow(400, { uptime: () => 0 }, () => 0);
    window.spend(400);
    assert.equal(window.consumed(99), 0);
    assert.equal(window.consumed(1), 100);
    assert.throws(() => window.spend(101), /101 bytes into a window of 100/);
  });
});
