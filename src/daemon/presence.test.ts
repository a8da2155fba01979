import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { TestClock } from "#core/clock";
import { Leaving } from "#core/leaving";
import { silentLog } from "#core/log";
import { systemRandom } from "#core/random";
import { presence } from "./presence.ts";

/** A member that is announced, and what it told the cluster. */
async function announced() {
  const told: string[] = [];
  const tell = (what: string) => async (): Promise<void> => void told.push(what);
  const stop = new AbortController();
  const leaving = new Leaving();
  const { promise: ready, resolve } = Promise.withResolvers<void>();
  const done = presence({
    name: "presence",
    announce: tell("announce"),
    alive: tell("alive"),
    remove: tell("remove"),
    leaving,
    clock: new TestClock(),
    random: systemRandom,
    log: silentLog,
  }).run(stop.signal, resolve);
  await ready;
  return {
    told,
    leaving,
    async end() {
      stop.abort();
      await done;
    },
    done,
  };
}

suite("a member's presence", () => {
  test("is over at a clean stop", async () => {
    const it = await announced();
    await it.end();
    assert.deepEqual(it.told, ["announce", "remove"]);
  });

  test("is over as soon as it takes nothing new, so that nobody is sent to it", async () => {
    const it = await announced();
    it.leaving.begin({ replaced: false });
    await it.done;
    assert.deepEqual(it.told, ["announce", "remove"]);
  });

  test("is left to the process that has taken its place", async () => {
    const it = await announced();
    it.leaving.begin({ replaced: true });
    await it.end();
    assert.deepEqual(it.told, ["announce"]);
  });
});
