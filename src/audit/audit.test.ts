import assert from "node:assert/strict";
import {
  appendFile,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { day, hour, minute, TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { memoryLog, silentLog } from "#core/log";
import { systemRandom } from "#core/random";
import { type AuditEvent, type Draft, stamp } from "#events";
import { AuditLog, type Destination, type EventStore, openAuditLog, parseDestination } from "./index.ts";

const noon = Date.UTC(2026, 10, 22, 12);
const today = "2026-11-22.00:00:00.log";
const sid = "8c9e6679-7425-40de-944b-e07fc1f90ae7";
const draft = (user: string): Draft => ({ code: "T1003I", user });
const join_ = (user: string): Draft => ({ code: "T2001I", user, login: "root", server_id: "n", sid });

interface World extends AsyncDisposable {
  readonly folder: string;
  readonly clock: TestClock;
  readonly audit: AuditLog;
  readonly printed: string[];
  lines(name?: string): Promise<AuditEvent[]>;
}

async function world(...more: Destination[]): Promise<World> {
  const above = await mkdtemp(join(tmpdir(), "audit-"));
  const folder = join(above, "log");
  const clock = new TestClock(noon);
  const printed: string[] = [];
  const audit = await openAuditLog([{ scheme: "file", folder }, ...more], {
    clock,
    random: systemRandom,
    log: silentLog,
    stdout: async (line) => void printed.push(line),
  });
  return {
    folder,
    clock,
    audit,
    printed,
    async lines(name = today) {
      const text = await readFile(join(folder, name), "utf8");
      return text
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as AuditEvent);
    },
    async [Symbol.asyncDispose]() {
      await audit[Symbol.asyncDispose]();
      await rm(above, { recursive: true, force: true });
    },
  };
}

const users = (events: readonly AuditEvent[]): string[] =>
  events.map((e) => ("user" in e ? String(e.user) : ""));
const all = { from: noon - 10 * day, to: noon + 10 * day };

suite("audit files", () => {
  test("an acknowledged event is a line in the file of its day", async () => {
    await using w = await world();
    await w.audit.emit(draft("ada"));
    const [event] = await w.lines();
    assert.equal(event?.event, "user.delete");
    assert.equal(event?.time, "2026-11-22T12:00:00Z");
    assert.equal(await readlink(join(w.folder, "events.log")), today);
  });

  for (const umask of [0o000, 0o077]) {
    test(`under umask ${umask.toString(8)} the folder has mode 0770 and files 0640`, async () => {
      const before = process.umask(umask);
      try {
        await using w = await world();
        await w.audit.emit(draft("ada"));
        assert.equal((await stat(w.folder)).mode & 0o777, 0o770);
        assert.equal((await stat(join(w.folder, today))).mode & 0o777, 0o640);
      } finally {
        process.umask(before);
      }
    });
  }

  test("many at once are all there, each on its line, in order", async () => {
    await using w = await world();
    const names = Array.from({ length: 300 }, (_, i) => `u${i}`);
    await Promise.all(names.map((name) => w.audit.emit(draft(name))));
    assert.deepEqual(users(await w.lines()), names);
  });

  test("after midnight UTC a new file begins, and the link follows", async () => {
    await using w = await world();
    await w.audit.emit(draft("ada"));
    await w.clock.advance(12 * hour);
    await w.audit.emit(draft("bob"));
    assert.deepEqual(users(await w.lines("2026-11-23.00:00:00.log")), ["bob"]);
    assert.deepEqual((await readdir(w.folder)).sort(), [today, "2026-11-23.00:00:00.log", "events.log"]);
    assert.equal(await readlink(join(w.folder, "events.log")), "2026-11-23.00:00:00.log");
  });

  test("an event that arrives late goes to the day it happened, one from the future to today", async () => {
    await using w = await world();
    await w.audit.emit({ ...draft("late"), time: "2026-11-20T08:00:00Z" });
    await w.audit.emit({ ...draft("early"), time: "2026-11-25T08:00:00Z" });
    assert.deepEqual(users(await w.lines("2026-11-20.00:00:00.log")), ["late"]);
    assert.deepEqual(users(await w.lines()), ["early"]);
    assert.equal(await readlink(join(w.folder, "events.log")), today);
  });

  test("an event with line breaks in its fields stays one line", async () => {
    await using w = await world();
    await w.audit.emit(draft('a\nb\r\u2028"}\n{"event":"forged"'));
    assert.deepEqual(users(await w.lines()), ['a\nb\r\u2028"}\n{"event":"forged"']);
  });

  test("a file that was rotated away is begun anew", async () => {
    await using w = await world();
    await w.audit.emit(draft("ada"));
    await rename(join(w.folder, today), join(w.folder, "rotated"));
    await w.audit.emit(draft("bob"));
    assert.deepEqual(users(await w.lines()), ["bob"]);
    assert.deepEqual(users(await w.lines("rotated")), ["ada"]);
  });

  test("a line that another writer left unfinished does not spoil the next", async () => {
    await using w = await world();
    await w.audit.emit(draft("ada"));
    await appendFile(join(w.folder, today), '{"event":"user.del');
    await w.audit.emit(draft("bob"));
    const found = await w.audit.search(all);
    assert.deepEqual(users(found.events), ["bob", "ada"]);
    assert.equal(found.unreadable, 1);
  });

  test("an event too long for any reader is refused", async () => {
    await using w = await world();
    await assert.rejects(w.audit.emit(draft("x".repeat(2 ** 20))), (err) => Fault.is(err, "bad_parameter"));
  });

  test("when the folder is gone the event is not acknowledged", async () => {
    await using w = await world();
    await rm(w.folder, { recursive: true });
    await assert.rejects(w.audit.emit(draft("ada")), (err) => Fault.is(err, "unreachable"));
    assert.equal(w.audit.failures, 1);
  });

  test("several writers of one file lose nothing", async () => {
    await using w = await world();
    const other = await openAuditLog([{ scheme: "file", folder: w.folder }], {
      clock: w.clock,
      random: systemRandom,
      log: silentLog,
      stdout: async () => {},
    });
    const emits = Array.from({ length: 100 }, (_, i) => [
      w.audit.emit(draft(`a${i}`)),
      other.emit(draft(`b${i}`)),
    ]);
    await Promise.all(emits.flat());
    await other[Symbol.asyncDispose]();
    assert.equal(new Set(users(await w.lines())).size, 200);
  });
});

suite("events that may have arrived before", () => {
  const stamped = (user: string, more: Partial<AuditEvent> = {}): AuditEvent =>
    stamp({ ...draft(user), ...more } as Draft, { clock: new TestClock(noon), random: systemRandom });

  test("are kept once, and the others of their batch too", async () => {
    await using w = await world();
    const [a, b, c] = ["a", "b", "c"].map((user) => stamped(user)) as [AuditEvent, AuditEvent, AuditEvent];
    await Promise.all([w.audit.emit(a), w.audit.emit(b)]);
    await w.audit.emitAgain([a, b, c]);
    await Promise.all([w.audit.emitAgain([a, b, c]), w.audit.emitAgain([b, c])]);
    assert.deepEqual(users(await w.lines()), ["a", "b", "c"]);
  });

  test("while they are still being kept", async () => {
    await using w = await world();
    const a = stamped("a");
    await Promise.all([w.audit.emit(a), w.audit.emitAgain([a])]);
    assert.deepEqual(users(await w.lines()), ["a"]);
  });

  test("when the first sending comes after the second, which was waited for no longer", async () => {
    await using w = await world();
    const [a, b] = [stamped("a"), stamped("b")];
    await Promise.all([w.audit.emitAgain([a]), w.audit.emit(a)]);
    await w.audit.emit(a);
    await w.audit.emit(b);
    assert.deepEqual(users(await w.lines()), ["a", "b"]);
  });

  test("and are asked for anew where they could not be kept", async () => {
    await using w = await world();
    const a = stamped("a");
    await rename(w.folder, `${w.folder}.away`);
    await assert.rejects(w.audit.emitAgain([a]));
    await rename(`${w.folder}.away`, w.folder);
    await w.audit.emit(a);
    assert.deepEqual(users(await w.lines()), ["a"]);
  });

  test("also by a server that was started since, on the file of their day or of the day before", async () => {
    await using w = await world();
    const late = stamped("late", { time: "2026-11-20T08:00:00Z" });
    const ahead = stamped("ahead", { time: "2026-11-23T01:00:00Z" });
    await Promise.all([w.audit.emit(late), w.audit.emit(ahead)]);
    await w.clock.advance(14 * hour);
    await using again = await openAuditLog([{ scheme: "file", folder: w.folder }], {
      clock: w.clock,
      random: systemRandom,
      log: silentLog,
      stdout: async () => {},
    });
    await again.emitAgain([late, ahead]);
    assert.deepEqual((await readdir(w.folder)).filter((name) => name.endsWith(".log")).length, 3);
    assert.deepEqual(users((await w.audit.search(all)).events), ["ahead", "late"]);
  });

  test("one of which only a part was written is kept whole", async () => {
    await using w = await world();
    const a = stamped("a");
    await w.audit.emit(stamped("before"));
    await appendFile(join(w.folder, today), JSON.stringify(a).slice(0, -5));
    await w.audit.emitAgain([a]);
    assert.deepEqual(users((await w.audit.search(all)).events), ["a", "before"]);
  });

  test("an id in the text of another event does not count", async () => {
    await using w = await world();
    const a = stamped("a");
    await w.audit.emit(stamped(`{"uid":"${a.uid}"}`));
    await w.audit.emitAgain([a]);
    assert.equal((await w.lines()).length, 2);
  });
});

suite("audit search", () => {
  test("brings the newest first, by time and not by place in the file", async () => {
    await using w = await world();
    await w.audit.emit({ ...draft("b"), time: "2026-11-22T11:00:02Z" });
    await w.audit.emit({ ...draft("a"), time: "2026-11-22T11:00:01Z" });
    await w.audit.emit({ ...draft("c"), time: "2026-11-22T11:00:02Z" });
    await w.audit.emit({ ...draft("z"), time: "2026-11-21T11:00:00Z" });
    assert.deepEqual(users((await w.audit.search(all)).events), ["c", "b", "a", "z"]);
  });

  test("takes what is in the time asked for, both ends included", async () => {
    await using w = await world();
    for (let i = 0; i < 5; i++) {
      await w.audit.emit(draft(`${i}`));
      await w.clock.advance(minute);
    }
    const found = await w.audit.search({ from: noon + minute, to: noon + 3 * minute });
    assert.deepEqual(users(found.events), ["3", "2", "1"]);
  });

  test("filters by name, user and session", async () => {
    await using w = await world();
    for (const one of [draft("ada"), join_("ada"), join_("bob")]) await w.audit.emit(one);
    const search = async (query: object): Promise<string[]> =>
      (await w.audit.search({ ...all, ...query })).events.map((e) => `${e.event} ${users([e])}`);
    assert.deepEqual(await search({ events: ["user.delete"] }), ["user.delete ada"]);
    assert.deepEqual(await search({ events: ["user.delete", "session.join"], user: "ada" }), [
      "session.join ada",
      "user.delete ada",
    ]);
    assert.deepEqual(await search({ sid }), ["session.join bob", "session.join ada"]);
    assert.deepEqual(await search({ events: [] }), []);
  });

  test("stops at the limit and says that there is more", async () => {
    await using w = await world();
    await Promise.all(Array.from({ length: 600 }, (_, i) => w.audit.emit(draft(`${i}`))));
    const usual = await w.audit.search(all);
    assert.equal(usual.events.length, 500);
    assert.equal(usual.more, true);
    assert.deepEqual(users((await w.audit.search({ ...all, limit: 2 })).events), ["599", "598"]);
    assert.equal((await w.audit.search({ ...all, limit: 600 })).more, false);
    assert.equal((await w.audit.search({ ...all, limit: 1e9 })).events.length, 600);
  });

  test("keeps the newest of far more than the limit", async () => {
    await using w = await world();
    const line = (i: number): string =>
      JSON.stringify({
        event: "user.delete",
        code: "T1003I",
        uid: sid,
        namespace: "default",
        user: `${i}`,
        time: new Date(noon + i * 1000).toISOString(),
      });
    // Oldest and newest change places, so that the newest are not simply the last.
    const order = Array.from({ length: 5000 }, (_, i) => (i * 7) % 5000);
    await writeFile(join(w.folder, today), `${order.map(line).join("\n")}\n`);
    const { events } = await w.audit.search({ ...all, limit: 3 });
    assert.deepEqual(users(events), ["4999", "4998", "4997"]);
  });

  test("passes over lines that are damaged or of a newer version, and counts them", async () => {
    await using w = await world();
    await w.audit.emit(draft("ada"));
    const strange = [
      "",
      "null",
      "[1",
      "\0\0\0",
      `{"event":"new.thing","code":"T9","time":"2026-11-22T12:00:00Z"}`,
      "{}",
    ];
    await appendFile(join(w.folder, today), `${strange.join("\n")}\n${"x".repeat(3_000_000)}`);
    const found = await w.audit.search(all);
    assert.deepEqual(users(found.events), ["ada"]);
    assert.ok(found.unreadable >= 5);
  });

  test("looks into the files of the days only", async () => {
    await using w = await world();
    await writeFile(join(w.folder, "2026-11-22.log"), "no");
    await writeFile(join(w.folder, "2026-11-01.00:00:00.log"), "not json");
    assert.deepEqual(await w.audit.search(all), { events: [], more: false, unreadable: 0 });
  });
});

suite("audit destinations", () => {
  const broken = (uri: string): EventStore => ({
    uri,
    append: () => Promise.reject(new Fault("unreachable", "no")),
    async [Symbol.asyncDispose]() {},
  });

  test("each event goes to all", async () => {
    await using w = await world({ scheme: "stdout" });
    await w.audit.emit(draft("ada"));
    assert.deepEqual(JSON.parse(w.printed[0] ?? ""), (await w.lines())[0]);
  });

  test("one that fails does not stop the others; the operator is told", async () => {
    await using w = await world();
    const log = memoryLog();
    const kept: AuditEvent[] = [];
    const good: EventStore = {
      uri: "good://",
      append: async (event) => void kept.push(event),
      search: async () => ({ events: kept, more: false, unreadable: 0 }),
      async [Symbol.asyncDispose]() {},
    };
    const audit = new AuditLog({
      stores: [broken("bad://"), good],
      clock: w.clock,
      random: systemRandom,
      log,
    });
    await audit.emit(draft("ada"));
    assert.deepEqual(users((await audit.search(all)).events), ["ada"]);
    assert.equal(audit.failures, 1);
    assert.equal(log.lines[0]?.fields.uri, "bad://");
  });

  test("what the searched one does not keep is not acknowledged", async () => {
    const clock = new TestClock();
    const main = { ...broken("main://"), search: async () => ({ events: [], more: false, unreadable: 0 }) };
    const kept: AuditEvent[] = [];
    const other: EventStore = { ...broken("x://"), append: async (event) => void kept.push(event) };
    const audit = new AuditLog({ stores: [other, main], clock, random: systemRandom, log: silentLog });
    await assert.rejects(audit.emit(draft("ada")), (err) => Fault.is(err, "unreachable"));
    assert.equal(kept.length, 1);
  });

  for (const [uri, expected] of [
    ["file:///var/lib/teleport/log", { scheme: "file", folder: "/var/lib/teleport/log" }],
    ["/var/log/x", { scheme: "file", folder: "/var/log/x" }],
    ["file:///with%20space", { scheme: "file", folder: "/with space" }],
    ["stdout://", { scheme: "stdout" }],
  ] as const) {
    test(`${uri} is understood`, () => assert.deepEqual(parseDestination(uri), expected));
  }
  for (const [uri, why] of [
    ["x://y", /^unsupported scheme for audit_events_uri: "x", /],
    ["log", /^unsupported scheme for audit_events_uri: "log", /],
    ["etcd://host", /etcd keeps cluster state only/],
    ["file://var/log", /three slashes/],
    ["file:///", /three slashes/],
  ] as const) {
    test(`${uri} is refused with what to do`, () =>
      assert.throws(
        () => parseDestination(uri),
        (err) => Fault.is(err, "bad_parameter") && why.test(err.message),
      ));
  }
});
