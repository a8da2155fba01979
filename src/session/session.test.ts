import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { second, TestClock } from "#core/clock";
import { silentLog } from "#core/log";
import { Queue } from "#core/queue";
import { systemRandom } from "#core/random";
import type { AuditEvent } from "#events";
import { type Exit, LiveSession, noRecorder, type Party, type Recorder, type Shell } from "./index.ts";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** A session whose program, parties and time the test moves by hand. */
function stage() {
  const clock = new TestClock();
  const events: AuditEvent[] = [];
  const output = new Queue<Uint8Array>();
  const exit = Promise.withResolvers<Exit>();
  const did: string[] = [];
  const shell: Shell = {
    output,
    write: async (chunk) => void did.push(`typed ${Buffer.from(chunk)}`),
    resize: ({ columns, rows }) => void did.push(`${columns}x${rows}`),
    exit: exit.promise,
    hangUp() {
      did.push("hang up");
      output.end();
    },
    kill: () => void did.push("kill"),
  };
  const recorded: string[] = [];
  const recorder: Recorder = {
    ...noRecorder,
    output: async (chunk) => void recorded.push(Buffer.from(chunk).toString()),
  };
  const session = new LiveSession({
    sid: "8c9e6679-7425-40de-944b-e07fc1f90ae7",
    who: { user: "ada", login: "root", server_id: "n", "addr.remote": "192.0.2.1:1" },
    shell,
    size: { columns: 80, rows: 25 },
    recorder,
    telling: {
      emitter: { emit: async (draft) => void events.push(draft as AuditEvent) },
      clock,
      random: systemRandom,
      log: silentLog,
    },
  });
  const party = (user = "ada") => {
    const input = new Queue<Uint8Array>();
    const gone = Promise.withResolvers<void>();
    const saw: string[] = [];
    const own: Party = {
      user,
      input,
      gone: gone.promise,
      write: async (chunk) => void saw.push(Buffer.from(chunk).toString()),
    };
    return { ...own, party: own, input, saw, leave: () => gone.resolve() };
  };
  const stop = new AbortController();
  return {
    stop,
    clock,
    events,
    output,
    exit,
    did,
    recorded,
    session,
    party,
    names: () => events.map((e) => e.event),
  };
}

suite("an interactive session", () => {
  test("shows, records, and ends with the program", async () => {
    const s = stage();
    const ada = s.party();
    const over = s.session.run(ada.party, s.stop.signal);
    ada.input.push(bytes("ls\n"));
    s.output.push(bytes("$ "));
    await turn();
    s.output.push(bytes("a b"));
    s.output.end();
    s.exit.resolve({ code: 3 });
    assert.deepEqual(await over, { code: 3 });
    assert.deepEqual(
      [ada.saw, s.recorded],
      [
        ["$ ", "a b"],
        ["$ ", "a b"],
      ],
    );
    assert.deepEqual(s.did, ["typed ls\n", "hang up"]);
    assert.deepEqual(s.names(), ["session.start", "session.leave", "session.end", "session.data"]);
    const data = s.events.at(-1);
    assert.deepEqual(data?.event === "session.data" && [data.tx, data.rx], [3, 5]);
  });

  test("what is written after the program has ended is shown for 5 s", async () => {
    const s = stage();
    const ada = s.party();
    const over = s.session.run(ada.party, s.stop.signal);
    s.exit.resolve({ code: 0 });
    await turn();
    s.output.push(bytes("late"));
    await turn();
    await s.clock.advance(5 * second);
    await over;
    assert.deepEqual(ada.saw, ["late"]);
  });

  test("two see the same, and each types", async () => {
    const s = stage();
    const [ada, bob] = [s.party(), s.party("bob")];
    const over = s.session.run(ada.party, s.stop.signal);
    await turn();
    const joined = s.session.join(bob.party);
    s.output.push(bytes("x"));
    bob.input.push(bytes("y"));
    await turn();
    assert.deepEqual([ada.saw, bob.saw, s.did], [["x"], ["x"], ["typed y"]]);
    ada.leave();
    await turn();
    s.output.push(bytes("z"));
    await turn();
    assert.deepEqual([ada.saw, bob.saw], [["x"], ["x", "z"]]);
    s.output.end();
    s.exit.resolve({ code: 0 });
    await over;
    assert.deepEqual(await joined, { received: 1, sent: 2 });
    const end = s.events.find((e) => e.event === "session.end");
    assert.deepEqual(end?.event === "session.end" && end.participants, ["ada", "bob"]);
  });

  test("left alone it waits 20 s, then hangs up, then kills", async () => {
    const s = stage();
    const ada = s.party();
    const over = s.session.run(ada.party, s.stop.signal);
    ada.leave();
    await turn();
    s.output.push(bytes("still recorded"));
    await s.clock.advance(19 * second);
    assert.deepEqual(s.did, []);
    await s.clock.advance(1 * second);
    assert.deepEqual(s.did, ["hang up"]);
    await s.clock.advance(5 * second);
    assert.deepEqual(s.did, ["hang up", "kill"]);
    s.exit.resolve({ signal: "KILL" });
    assert.deepEqual(await over, { signal: "KILL" });
    assert.deepEqual(s.recorded, ["still recorded"]);
  });

  test("someone who comes within the 20 s keeps it", async () => {
    const s = stage();
    const [ada, bob] = [s.party(), s.party("bob")];
    const over = s.session.run(ada.party, s.stop.signal);
    ada.leave();
    await turn();
    await s.clock.advance(10 * second);
    void s.session.join(bob.party);
    await turn();
    await s.clock.advance(60 * second);
    assert.deepEqual(s.did, []);
    s.output.end();
    s.exit.resolve({ code: 0 });
    assert.deepEqual(await over, { code: 0 });
  });

  test("a node that stops does not wait for anybody to come back", async () => {
    const s = stage();
    const ada = s.party();
    const over = s.session.run(ada.party, s.stop.signal);
    ada.leave();
    await turn();
    s.stop.abort();
    await turn();
    assert.deepEqual(s.did, ["hang up"]);
    s.exit.resolve({ signal: "HUP" });
    await over;
    assert.ok(s.names().includes("session.end"));
  });

  test("a new size is told once", async () => {
    const s = stage();
    const over = s.session.run(s.party().party, s.stop.signal);
    s.session.resize({ columns: 100, rows: 30 });
    s.session.resize({ columns: 100, rows: 30 });
    s.output.end();
    s.exit.resolve({ code: 0 });
    await over;
    assert.deepEqual(s.did, ["100x30", "hang up"]);
    assert.equal(s.names().filter((name) => name === "resize").length, 1);
  });

  test("a party that cannot be written to has left", async () => {
    const s = stage();
    const ada = s.party();
    const over = s.session.run(
      { ...ada.party, write: () => Promise.reject(new Error("gone")) },
      s.stop.signal,
    );
    s.output.push(bytes("x"));
    await turn();
    assert.ok(s.names().includes("session.leave"));
    s.output.end();
    s.exit.resolve({ code: 0 });
    await over;
  });
});
