import assert from "node:assert/strict";
import { test } from "node:test";
import { second, TestClock } from "#core/clock";
import { type Engine, idleMemory } from "./idle-memory.ts";

/** An engine that does as it is told, and says how often it collected. */
const fake = (): Engine & { bytes: number; busy: number; collections: number } => ({
  bytes: 100,
  busy: 0,
  collections: 0,
  collect() {
    this.collections++;
    this.bytes = 100;
  },
  used() {
    return this.bytes;
  },
  load() {
    return this.busy;
  },
});

test("garbage is looked for once a daemon that has grown is idle, twice, and not again while it does not grow", async () => {
  const clock = new TestClock();
  const engine = fake();
  const stop = new AbortController();
  const done = idleMemory(engine, clock).run(stop.signal, () => {});
  const wait = async (): Promise<number> => {
    await clock.advance(5 * second);
    return engine.collections;
  };
  assert.equal(await wait(), 0, "as small as at the start");
  Object.assign(engine, { bytes: 200, busy: 0.5 });
  assert.equal(await wait(), 0, "busy");
  engine.busy = 0.01;
  assert.equal(await wait(), 1);
  engine.busy = 0.5;
  assert.equal(await wait(), 1, "busy again");
  engine.busy = 0;
  assert.equal(await wait(), 2);
  assert.equal(await wait(), 2, "nothing has come since");
  engine.bytes = 110;
  assert.equal(await wait(), 2, "too little to stop for");
  stop.abort();
  await clock.advance(5 * second);
  await done;
});
