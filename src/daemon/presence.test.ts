import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { Alive, MirrorChange } from "#contract/auth";
import { minute, second, TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { Leaving } from "#core/leaving";
import { memoryLog } from "#core/log";
import { Queue } from "#core/queue";
import { systemRandom } from "#core/random";
import { Node } from "#model";
import { Heartbeat } from "./heartbeat.ts";
import { presence } from "./presence.ts";

const turn = async (): Promise<void> => {
  for (let i = 0; i < 10; i++) await new Promise<void>((resolve) => setImmediate(resolve));
};
const record = Node.parse({
  kind: "node",
  version: "v2",
  metadata: { name: "33333333-3333-4333-8333-333333333333" },
  spec: { hostname: "db" },
});
/** No jitter. */
const random = { ...systemRandom, fraction: () => 0.5 };

function announcing(troubled?: Error) {
  const clock = new TestClock();
  const did: string[] = [];
  const beats: string[] = [];
  const stop = new AbortController();
  const leaving = new Leaving();
  const trouble: { now: Error | undefined } = { now: troubled };
  let lost: (() => void) | undefined;
  const service = presence({
    kind: "node",
    record: () => record,
    announce: async () => {
      did.push("announce");
      if (trouble.now) throw trouble.now;
    },
    remove: async () => void did.push("remove"),
    heartbeats: { good: () => void beats.push("good"), lost: () => void beats.push("lost") },
    heartbeat: {
      there: (_kind, told) => {
        lost = told.lost;
      },
      gone: () => void did.push("gone"),
    },
    leaving,
    clock,
    random,
    log: memoryLog(),
  });
  let ready = false;
  const done = service.run(stop.signal, () => {
    ready = true;
  });
  return {
    ...{ clock, did, beats, trouble, service, leaving, done },
    isReady: () => ready,
    lost: () => lost?.(),
    end: async () => {
      stop.abort();
      await done;
    },
  };
}

suite("a member's record (OVW-34)", () => {
  test("is announced once, and taken out at the end", async () => {
    const t = announcing();
    await turn();
    assert.ok(t.isReady());
    await t.clock.advance(10 * minute);
    await turn();
    assert.deepEqual(t.did, ["announce"]);
    await t.end();
    assert.deepEqual(t.did.slice(1), ["gone", "remove"]);
  });

  test("is told at once when it has changed, also while it is being told, and when auth has lost it", async () => {
    const t = announcing();
    t.service.changed();
    await turn();
    assert.equal(t.did.length, 2);
    t.service.changed();
    await turn();
    assert.equal(t.did.length, 3);
    t.lost();
    await turn();
    assert.equal(t.did.length, 4);
    await t.end();
  });

  test("is told again every five seconds while auth does not take it", async () => {
    const t = announcing(new Fault("unreachable", "away"));
    await turn();
    for (let i = 0; i < 3; i++) {
      await t.clock.advance(5 * second);
      await turn();
    }
    assert.ok(t.did.length >= 4);
    assert.equal(t.isReady(), false);
    assert.equal(t.beats[0], "lost");
    t.trouble.now = undefined;
    await t.clock.advance(5 * second);
    await turn();
    assert.ok(t.isReady());
    await t.end();
  });
});

suite("a member that leaves", () => {
  test("is taken out of the lists at once, so that nobody is sent to it", async () => {
    const t = announcing();
    await turn();
    t.leaving.begin({ replaced: false });
    await t.done;
    assert.deepEqual(t.did, ["announce", "gone", "remove"]);
  });

  test("leaves its record to the process that has taken its place", async () => {
    const t = announcing();
    await turn();
    t.leaving.begin({ replaced: true });
    await t.end();
    assert.deepEqual(t.did, ["announce", "gone"]);
  });
});

suite("the heartbeat (OVW-34)", () => {
  test("says on the mirror's stream what is there: at once, and every five seconds while the stream lasts", async () => {
    const clock = new TestClock();
    const answers = new Queue<MirrorChange>();
    const said: Alive[] = [];
    const heartbeat = new Heartbeat({
      client: {
        "mirror.watch": async function* (_input, _signal, say) {
          const over = new AbortController();
          const done = (async () => {
            for await (const one of say?.(over.signal) ?? []) said.push(one as Alive);
          })();
          yield* answers;
          over.abort();
          await done;
        },
      },
      clock,
      random,
    });
    let lost = 0;
    const heard: string[] = [];
    const done = (async () => {
      for await (const { type } of heartbeat.client["mirror.watch"]({})) heard.push(type);
    })();
    await turn();
    assert.deepEqual(said, [{ type: "alive", kinds: [] }]);
    const beats: string[] = [];
    const heartbeats = { good: () => void beats.push("good"), lost: () => void beats.push("lost") };
    const told = { record, lost: () => void lost++, heartbeats };
    heartbeat.there("node", told);
    heartbeat.there("proxy", told);
    await clock.advance(5 * second);
    await turn();
    heartbeat.gone("proxy");
    await clock.advance(5 * second);
    await turn();
    assert.deepEqual(
      said.map(({ kinds }) => kinds),
      [[], ["node", "proxy"], ["node"]],
    );
    answers.push({ type: "beat" });
    await turn();
    assert.equal(lost, 0);
    answers.push({ type: "announce" });
    await turn();
    assert.equal(lost, 1);
    assert.deepEqual(beats, ["good", "good"]);
    // The whole record, within five minutes at first.
    const records = () => said.flatMap((one) => one.records ?? []);
    assert.deepEqual(records(), []);
    for (let time = 0; time < 7.5 * minute; time += 5 * second) {
      await clock.advance(5 * second);
      await turn();
    }
    assert.deepEqual(records(), [record, record]);
    const long = { ...record, metadata: { ...record.metadata, labels: { long: "x".repeat(40_000) } } };
    heartbeat.there("node", { ...told, record: long });
    for (let time = 0; time < 3 * minute; time += 5 * second) {
      await clock.advance(5 * second);
      await turn();
    }
    assert.equal(records().length, 2);
    assert.equal(lost, 2, "a record too long for the stream is announced again");
    said.length = 0;
    answers.end();
    await done;
    assert.deepEqual(beats, ["good", "good", "lost"], "the stream has ended");
    assert.deepEqual(heard, ["beat", "beat"], "the mirror hears that auth is there");
    await clock.advance(5 * second);
    await turn();
    assert.equal(said.length, 0, "nothing is said to a stream that is over");
  });
});
