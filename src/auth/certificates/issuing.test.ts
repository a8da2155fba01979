import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { Issuing } from "./issuing.ts";

suite("issuing certificates", () => {
  test("each request is told, with its time, also one that fails", async () => {
    const clock = new TestClock();
    const told: unknown[] = [];
    const issuing = new Issuing(clock, {
      begun: () => told.push("begun"),
      throttled: () => told.push("throttled"),
      done: (took) => told.push(took),
    });
    const certs = await issuing.run(async () => {
      await clock.advance(20);
      return "certs";
    });
    assert.equal(certs, "certs");
    await assert.rejects(
      issuing.run(() => Promise.reject(new Error("no"))),
      /no/,
    );
    assert.deepEqual(told, ["begun", 20, "begun", 0]);
  });

  test("more than a thousand at a time are refused, until there is room", async () => {
    let throttled = 0;
    const issuing = new Issuing(new TestClock(), { begun() {}, throttled: () => throttled++, done() {} });
    const { promise: held, resolve } = Promise.withResolvers<void>();
    const all = Array.from({ length: 1000 }, () => issuing.run(() => held));
    await assert.rejects(
      issuing.run(() => held),
      (err) => Fault.is(err, "limit_exceeded"),
    );
    assert.equal(throttled, 1);
    resolve();
    await Promise.all(all);
    assert.equal(await issuing.run(async () => "again"), "again");
  });
});
