import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { minute, second, TestClock } from "#core/clock";
import { memoryLog } from "#core/log";
import type { Random } from "#core/random";
import { Gate, type GateOptions, type Guest } from "./gate.ts";
import { defaultPenalties, type Failure, Penalties } from "./penalties.ts";

/** Of `fraction`, which a test sets. */
const fixed = (fraction: () => number): Random => ({
  bytes: (count) => new Uint8Array(count),
  uuid: () => "",
  fraction,
});

function setUp(options: Partial<GateOptions> = {}) {
  const clock = new TestClock();
  const log = memoryLog();
  const chance = { now: 0 };
  const refused: string[] = [];
  const outcomes: string[] = [];
  const gate = new Gate({
    maxConnections: 1_000_000,
    clock,
    random: fixed(() => chance.now),
    log,
    onRefused: (why) => refused.push(why),
    onLogin: (outcome) => outcomes.push(outcome),
    ...options,
  });
  const enter = (address = "192.0.2.1"): { guest: Guest; leave: () => void } => {
    const entry = gate.enter(address);
    assert.ok(typeof entry !== "string", `refused: ${entry}`);
    return entry;
  };
  const fails = (how: Failure, address?: string): void => {
    const { guest, leave } = enter(address);
    guest.failed(how);
    leave();
  };
  return { clock, log, chance, refused, outcomes, gate, enter, fails };
}

suite("the gate of a listener", () => {
  test("S13: from one source only so many come in before they log in, and each slot is freed by login, failure or end", () => {
    const { gate, enter, refused } = setUp({ unauthenticatedPerSource: 3, penalties: false });
    const [one, two, three] = [enter(), enter(), enter()];
    assert.equal(gate.enter("192.0.2.1"), "unauthenticated_per_source");
    enter("192.0.2.2");
    one.guest.loggedIn();
    enter();
    assert.equal(gate.enter("192.0.2.1"), "unauthenticated_per_source");
    two.guest.failed("broken");
    enter();
    three.leave();
    enter();
    assert.equal(gate.enter("192.0.2.1"), "unauthenticated_per_source");
    assert.deepEqual(refused, Array(3).fill("unauthenticated_per_source"));
    assert.equal(gate.unauthenticated, 4);
    assert.equal(gate.connections, 6);
  });

  test("S13: whoever has an IPv6 network has one source", () => {
    const { gate, enter } = setUp({ unauthenticatedPerSource: 2 });
    enter("2001:db8::1");
    enter("2001:db8::2");
    assert.equal(gate.enter("2001:db8::3"), "unauthenticated_per_source");
    enter("2001:db8:0:1::1");
  });

  test("S13: of all sources, none is refused below the start, some from there on, all at the full", () => {
    const { gate, enter, chance } = setUp({ unauthenticated: { start: 10, rate: 30, full: 20 } });
    for (let i = 0; i < 10; i++) enter(`192.0.2.${i}`);
    // At 10 it is 30 percent, at 15 half way to 100.
    chance.now = 0.299;
    assert.equal(gate.enter("198.51.100.1"), "unauthenticated");
    chance.now = 0.3;
    for (let i = 10; i < 15; i++) {
      chance.now = 0.999;
      enter(`192.0.2.${i}`);
    }
    chance.now = 0.649;
    assert.equal(gate.enter("198.51.100.1"), "unauthenticated");
    chance.now = 0.65;
    enter("192.0.2.15");
    chance.now = 0.9999;
    for (let i = 16; i < 20; i++) enter(`192.0.2.${i}`);
    assert.equal(gate.enter("198.51.100.1"), "unauthenticated");
  });

  test("S13: those who have logged in take no room of those who have not", () => {
    const { enter } = setUp({ unauthenticated: { start: 2, rate: 100, full: 2 } });
    for (let i = 0; i < 300; i++) enter().guest.loggedIn();
  });

  test("S13: a start that is the full is a plain limit", () => {
    const { gate, enter, chance } = setUp({ unauthenticated: { start: 2, rate: 30, full: 2 } });
    chance.now = 0.9999;
    enter();
    enter();
    assert.equal(gate.enter("192.0.2.9"), "unauthenticated");
  });

  test("three hundred who come at once from one address, a NAT or a jump host, come in by default", () => {
    const { enter, gate, chance } = setUp();
    chance.now = 0;
    for (let i = 0; i < 300; i++) enter();
    assert.equal(gate.unauthenticated, 300);
  });

  test("one source has so many connections, logged in or not (CFG-17)", () => {
    const { gate, enter } = setUp({ maxConnections: 2 });
    const one = enter();
    enter().guest.loggedIn();
    assert.equal(gate.enter("192.0.2.1"), "connections_per_source");
    enter("192.0.2.2");
    one.leave();
    one.leave();
    enter();
    assert.equal(gate.enter("192.0.2.1"), "connections_per_source");
  });

  test("a source whose connections fail is blocked for a while, and others are not", async () => {
    const { gate, fails, clock, enter, log } = setUp();
    for (let i = 0; i < 6; i++) fails("late");
    assert.equal(gate.enter("192.0.2.1"), "penalty");
    enter("192.0.2.2");
    await clock.advance(59 * second);
    assert.equal(gate.enter("192.0.2.1"), "penalty");
    await clock.advance(second);
    enter();
    assert.deepEqual(
      log.lines.map(({ message }) => message),
      [
        "a source is blocked for a while, for its failed connections",
        "a connection was turned away",
        "a connection was turned away",
      ],
    );
  });

  test("hundreds of users behind one address, of whom some fail, are not blocked", () => {
    const { fails, enter } = setUp();
    for (let i = 0; i < 600; i++) {
      const { guest, leave } = enter();
      guest.loggedIn();
      leave();
      if (i % 2 === 0) fails("refused");
    }
  });

  test("a login that fails every second goes on for ever, two of them do not", async () => {
    const { fails, clock, gate } = setUp();
    for (let i = 0; i < 300; i++) {
      fails("refused");
      await clock.advance(second);
    }
    let refused = 0;
    for (let i = 0; i < 200; i++) {
      for (let j = 0; j < 2; j++) {
        const entry = gate.enter("192.0.2.1");
        if (typeof entry === "string") refused++;
        else {
          entry.guest.failed("refused");
          entry.leave();
        }
      }
      await clock.advance(second);
    }
    assert.ok(refused > 50, String(refused));
  });

  test("who leaves without a word costs nothing: load balancers look whether a port is open", () => {
    const { enter, gate, outcomes } = setUp();
    for (let i = 0; i < 5000; i++) enter().leave();
    assert.equal(gate.penalized, 0);
    assert.deepEqual(outcomes, []);
  });

  test("exempt addresses have no penalties, and limits by number all the same", () => {
    const { fails, enter, gate } = setUp({
      isExempt: (address) => address === "127.0.0.1",
      unauthenticatedPerSource: 5,
    });
    for (let i = 0; i < 300; i++) fails("broken", "127.0.0.1");
    for (let i = 0; i < 5; i++) enter("127.0.0.1");
    assert.equal(gate.enter("127.0.0.1"), "unauthenticated_per_source");
  });

  test("how a login went is told once", () => {
    const { enter, outcomes, gate } = setUp();
    const { guest, leave } = enter();
    guest.loggedIn();
    guest.failed("broken");
    leave();
    assert.deepEqual(outcomes, ["success"]);
    assert.equal(gate.unauthenticated, 0);
    assert.equal(gate.penalized, 0);
  });

  test("a flood is told every ten seconds, with how many there were", async () => {
    const { gate, log, enter, clock } = setUp({ unauthenticatedPerSource: 1 });
    enter();
    for (let i = 0; i < 1000; i++) gate.enter("192.0.2.1");
    await clock.advance(10 * second);
    gate.enter("192.0.2.1");
    assert.deepEqual(
      log.lines.map(({ fields }) => fields),
      [
        { why: "unauthenticated_per_source", source: "192.0.2.1/32" },
        { why: "unauthenticated_per_source", source: "192.0.2.1/32", more: 999 },
      ],
    );
  });

  test("S12: nothing is remembered of who came and went", () => {
    const { gate, enter } = setUp({ penalties: false, maxConnections: 1 });
    for (let i = 0; i < 1000; i++) enter(`198.51.100.${i % 256}`).leave();
    assert.equal(gate.connections, 0);
    enter("198.51.100.1");
  });
});

suite("penalties", () => {
  const rules = { ...defaultPenalties, maxSources: 100 };

  test("a debt ends at its limit, however much was added", async () => {
    const clock = new TestClock();
    const penalties = new Penalties(rules, clock);
    for (let i = 0; i < 10_000; i++) penalties.add("a", "late");
    await clock.advance(10 * minute - 1);
    assert.ok(penalties.blocks("a"));
    await clock.advance(1);
    assert.ok(!penalties.blocks("a"));
    penalties.add("a", "late");
    assert.ok(!penalties.blocks("a"), "the slate is clean");
  });

  test("below the limit of blocking a debt blocks nobody, and melts", async () => {
    const clock = new TestClock();
    const penalties = new Penalties(rules, clock);
    for (let i = 0; i < 5; i++) assert.equal(penalties.add("a", "late"), false);
    assert.ok(!penalties.blocks("a"));
    await clock.advance(10 * second);
    assert.equal(penalties.add("a", "late"), false);
    assert.equal(penalties.add("a", "late"), true);
    assert.equal(penalties.add("a", "late"), false, "told once");
  });

  test("a login does not unblock", () => {
    const penalties = new Penalties(rules, new TestClock());
    for (let i = 0; i < 6; i++) penalties.add("a", "late");
    for (let i = 0; i < 100; i++) penalties.forgive("a");
    assert.ok(penalties.blocks("a"));
  });

  test("a failure that costs nothing is not remembered", () => {
    const penalties = new Penalties({ ...rules, left: 0 }, new TestClock());
    penalties.add("a", "left");
    assert.equal(penalties.size, 0);
  });

  test("memory is bounded: of a hundred sources the oldest go, those of now stay", () => {
    const penalties = new Penalties(rules, new TestClock());
    for (let i = 0; i < 10_000; i++) penalties.add(`${i}`, "broken");
    assert.ok(penalties.size <= 100);
    for (let i = 0; i < 11; i++) penalties.add("9999", "broken");
    assert.ok(penalties.blocks("9999"));
  });
});
