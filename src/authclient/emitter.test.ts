import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { second, TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { silentLog } from "#core/log";
import { systemRandom } from "#core/random";
import type { AuditEvent, Draft } from "#events";
import { AuditSender } from "./index.ts";

const id = "0b8f1d5e-32c8-4a9a-9e59-0d9f6d9f1e11";
const draft = (user: string): Draft => ({
  code: "T3007W",
  user,
  server_id: id,
  success: "false",
  error: "no",
  "addr.remote": "10.0.0.1:1",
});
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function world(answer: (events: readonly AuditEvent[]) => void) {
  const clock = new TestClock();
  const sender = new AuditSender({
    client: { "audit.emit": async ({ events }) => answer(events as AuditEvent[]) },
    clock,
    random: systemRandom,
    log: silentLog,
  });
  const stop = new AbortController();
  return { clock, sender, stop, done: sender.run(stop.signal, () => {}) };
}

suite("audit sender", () => {
  test("what came while a batch was under way goes together in the next", async () => {
    const batches: string[][] = [];
    const { sender, stop, done } = world(
      (events) => void batches.push(events.map((e) => ("user" in e ? String(e.user) : ""))),
    );
    await Promise.all([sender.emit(draft("a")), sender.emit(draft("b")), sender.emit(draft("c"))]);
    assert.deepEqual(batches.flat(), ["a", "b", "c"]);
    assert.ok(batches.length <= 2);
    stop.abort();
    await done;
  });

  test("while auth is away events wait, and arrive once and in order", async () => {
    let away = true;
    const got: string[] = [];
    const { clock, sender, stop, done } = world((events) => {
      if (away) throw new Fault("unreachable", "connection refused");
      got.push(...events.map((e) => ("user" in e ? String(e.user) : "")));
    });
    const first = sender.emit(draft("a"));
    await turn();
    await clock.advance(second);
    const then = sender.emit(draft("b"));
    away = false;
    for (let i = 0; i < 6; i++) await clock.advance(2 * second);
    await Promise.all([first, then]);
    assert.deepEqual(got, ["a", "b"]);
    stop.abort();
    await done;
  });

  test("a refused event is its sender's error and holds up nobody", async () => {
    const { sender, stop, done } = world((events) => {
      if (events.some((e) => "user" in e && e.user === "bad")) throw new Fault("access_denied", "not yours");
    });
    await assert.rejects(sender.emit(draft("bad")), (err) => Fault.is(err, "access_denied"));
    await sender.emit(draft("good"));
    stop.abort();
    await done;
  });

  test("at the end what waits is sent, or its sender is told", async () => {
    let tries = 0;
    const { sender, stop, done } = world(() => {
      if (tries++ > 0) throw new Fault("unreachable", "gone");
    });
    stop.abort();
    const sent = sender.emit(draft("a"));
    await done;
    await sent;
  });
});
