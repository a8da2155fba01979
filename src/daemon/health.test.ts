import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { minute, second, TestClock } from "#core/clock";
import { Health } from "./health.ts";

const statusOf = ({ refusal }: Health): number => refusal?.status ?? 200;

suite("health of the process", () => {
  test("it is not ready until every part is, and says which it waits for", () => {
    const health = new Health(new TestClock());
    const [node, proxy] = [health.expect("ssh_service"), health.expect("proxy_service")];
    assert.equal(health.illness, undefined);
    node();
    assert.deepEqual(health.refusal, {
      status: 503,
      why: "teleport is starting and waits for: proxy_service",
    });
    proxy();
    assert.equal(health.refusal, undefined);
  });

  test("a lost heartbeat degrades it; two minutes of good ones bring it back, over 400", async () => {
    const clock = new TestClock();
    const health = new Health(clock);
    const [node, proxy] = [health.heartbeats("node"), health.heartbeats("proxy")];
    node.good();
    assert.equal(statusOf(health), 200);
    node.lost();
    assert.equal(health.illness, undefined);
    assert.deepEqual(health.refusal, {
      status: 503,
      why: "teleport is in a degraded state, check logs for details",
    });
    proxy.good();
    assert.equal(statusOf(health), 503, "the other's heartbeats are no help");
    node.good();
    assert.equal(statusOf(health), 400);
    await clock.advance(2 * minute - second);
    node.good();
    assert.equal(statusOf(health), 400);
    await clock.advance(second);
    assert.equal(statusOf(health), 400, "time alone proves nothing");
    node.good();
    assert.equal(statusOf(health), 200);
  });

  test("one lost on the way begins the two minutes anew, of either member", async () => {
    const clock = new TestClock();
    const health = new Health(clock);
    const [node, proxy] = [health.heartbeats("node"), health.heartbeats("proxy")];
    node.lost();
    node.good();
    await clock.advance(minute);
    proxy.lost();
    assert.equal(statusOf(health), 503);
    proxy.good();
    node.lost();
    node.good();
    await clock.advance(minute + second);
    node.good();
    proxy.good();
    assert.equal(statusOf(health), 400);
    await clock.advance(minute);
    for (const member of [node, proxy]) member.good();
    assert.equal(statusOf(health), 200);
  });

  test("an event loop that stood still for over 5 s is told for 10 s, for probes could not ask meanwhile", async () => {
    const clock = new TestClock();
    const health = new Health(clock);
    const stop = new AbortController();
    const watching = health.watchLoop(stop.signal);
    await clock.advance(second);
    await clock.advance(5 * second);
    assert.equal(health.illness, undefined, "a few seconds may pass");
    await clock.advance(7 * second);
    assert.match(health.illness ?? "", /blocked for over 5 s/);
    assert.equal(statusOf(health), 503);
    for (let i = 0; i < 9; i++) await clock.advance(second);
    assert.match(health.illness ?? "", /blocked/);
    await clock.advance(second);
    assert.equal(health.illness, undefined);
    stop.abort();
    await watching;
  });

  test("a failed part is why it is ill, for ever; the first of several", () => {
    const health = new Health(new TestClock());
    health.failed("web", new Error("the port is taken"));
    health.failed("node", new Error("so is this"));
    assert.equal(health.illness, "web: the port is taken");
    assert.equal(statusOf(health), 503);
  });
});
