import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { TestClock } from "#core/clock";
import { Fault, type FaultKind } from "#core/errors";
import type { Backend, Change, Item, Revision, Stored } from "./index.ts";

/** Opens an empty backend that keeps about `history` changes for its watchers. */
type Open = (clock: TestClock, history: number) => Promise<Backend>;

/** What every backend promises. A new backend is done when this passes. */
export function backendContract(name: string, open: Open): void {
  /** A test with a backend and a clock of its own. */
  const promise = (title: string, body: (backend: Backend, clock: TestClock) => Promise<void>): void =>
    void test(title, async () => {
      const clock = new TestClock();
      await using backend = await open(clock, 20);
      await body(backend, clock);
    });

  suite(`backend contract, ${name}: items`, () => {
    promise("an item comes back as it was put", async (backend, clock) => {
      const item = { key: "/a", value: bytes("1"), expires: clock.now() + 60_000 };
      const revision = await backend.put(item);
      assert.deepEqual(await backend.get("/a"), { ...item, revision });
    });

    promise("a key that is not there is not found", async (backend) => {
      await refused("not_found", backend.get("/a"));
      await refused("not_found", backend.delete("/a"));
    });

    promise("create refuses a key that is there, and leaves it", async (backend) => {
      await backend.create(text("/a", "1"));
      await refused("already_exists", backend.create(text("/a", "2")));
      assert.equal(await read(backend, "/a"), "1");
    });

    promise("a deleted item is gone and can be created again", async (backend) => {
      await backend.create(text("/a", "1"));
      await backend.delete("/a");
      await refused("not_found", backend.get("/a"));
      await backend.create(text("/a", "2"));
      assert.equal(await read(backend, "/a"), "2");
    });

    promise(
      "an extended item lives longer, at its old revision, and nobody is told of a change",
      async (backend, clock) => {
        const revision = await backend.put({ ...text("/a", "1"), expires: clock.now() + 1000 });
        await backend.put(text("/b", "2"));
        const stop = new AbortController();
        const watch = await backend.watch("/", { after: revision, signal: stop.signal });
        const many = Array.from({ length: 2500 }, (_, i) => ({
          key: `/no${i}`,
          expires: clock.now() + 9000,
        }));
        await backend.extend([
          { key: "/a", expires: clock.now() + 3000 },
          { key: "/b", expires: clock.now() + 3000 },
          ...many,
        ]);
        await backend.extend([{ key: "/a", expires: clock.now() + 2000 }]);
        assert.equal((await backend.get("/a")).revision, revision);
        assert.equal((await backend.get("/a")).expires, clock.now() + 3000);
        assert.equal((await backend.get("/b")).expires, undefined, "what never ends is not given an end");
        await refused("not_found", backend.get("/no7"));
        await backend.put(text("/c", "3"));
        const seen: string[] = [];
        for await (const change of watch) {
          seen.push(change.type === "put" ? change.item.key : `-${change.key}`);
          if (seen.length === 2) stop.abort();
        }
        assert.deepEqual(seen, ["/b", "/c"]);
        await clock.advance(2999);
        assert.equal(await read(backend, "/a"), "1");
        await clock.advance(1);
        await refused("not_found", backend.get("/a"));
        await backend.extend([{ key: "/a", expires: clock.now() + 5000 }]);
        await refused("not_found", backend.get("/a"));
      },
    );

    promise("a put without an expiry takes the old one away", async (backend, clock) => {
      await backend.put({ ...text("/a", "1"), expires: clock.now() + 1000 });
      await backend.put(text("/a", "2"));
      await clock.advance(5000);
      assert.equal(await read(backend, "/a"), "2");
    });

    for (const [what, value] of [
      ["no bytes", new Uint8Array(0)],
      ["every byte", Uint8Array.from({ length: 256 }, (_, i) => i)],
      ["text with NUL, quotes and astral letters", bytes("a\0b'\"; DROP TABLE items; --\u{1F511}")],
      ["256 KiB", new Uint8Array(256 * 1024).fill(7)],
    ] as const) {
      promise(`keeps a value of ${what}`, async (backend) => {
        await backend.put({ key: "/v", value });
        assert.deepEqual(Buffer.from((await backend.get("/v")).value), Buffer.from(value));
      });
    }

    promise("refuses a value of more than 256 KiB", async (backend) => {
      await refused("limit_exceeded", backend.put({ key: "/v", value: new Uint8Array(256 * 1024 + 1) }));
    });

    for (const [what, key] of [
      ["empty", ""],
      ["with NUL", "/a\0"],
      ["with a line break", "/a\n"],
      ["with half a letter", "/\ud83d"],
      ["of more than 1024 bytes", `/${"é".repeat(512)}`],
    ] as const) {
      promise(`refuses a key that is ${what}`, async (backend) => {
        await refused("bad_parameter", backend.put(text(key, "")));
        await refused("bad_parameter", backend.get(key));
      });
    }

    promise("a caller that reuses its buffer does not change what is stored", async (backend) => {
      const value = bytes("one");
      const written = backend.put({ key: "/a", value });
      value.fill(0);
      await written;
      (await backend.get("/a")).value.fill(0);
      const got = await read(backend, "/a");
      assert.equal(got, "one");
    });

    promise("revisions grow", async (backend) => {
      const revisions: Revision[] = [];
      for (let i = 0; i < 12; i++) revisions.push(await backend.put(text(`/${i % 3}`, "")));
      assert.deepEqual([...revisions].sort(), revisions);
      assert.equal(new Set(revisions).size, 12);
    });
  });

  suite(`backend contract, ${name}: races`, () => {
    promise("a swap from the current revision happens", async (backend) => {
      const revision = await backend.create(text("/ca", "0"));
      const next = await backend.compareAndSwap(text("/ca", "1"), revision);
      assert.equal((await backend.get("/ca")).revision, next);
      assert.equal(await read(backend, "/ca"), "1");
    });

    promise("of ten swaps from one revision, one wins", async (backend) => {
      const revision = await backend.create(text("/ca", "0"));
      const swaps = Array.from({ length: 10 }, (_, i) =>
        backend.compareAndSwap(text("/ca", `${i}`), revision),
      );
      const results = await Promise.allSettled(swaps);
      const losers = results.filter((r) => r.status === "rejected");
      assert.equal(losers.length, 9);
      assert.ok(losers.every((r) => Fault.is(r.reason, "compare_failed")));
      assert.equal(await read(backend, "/ca"), `${results.findIndex((r) => r.status === "fulfilled")}`);
    });

    promise("of ten creates of one key, one wins", async (backend) => {
      const results = await Promise.allSettled(
        Array.from({ length: 10 }, () => backend.create(text("/a", ""))),
      );
      assert.equal(results.filter((r) => r.status === "fulfilled").length, 1);
    });

    promise(
      "a swap fails on an item that is gone, even if it came back with the same value",
      async (backend) => {
        const revision = await backend.create(text("/ca", "0"));
        await backend.delete("/ca");
        await refused("compare_failed", backend.compareAndSwap(text("/ca", "1"), revision));
        await backend.create(text("/ca", "0"));
        await refused("compare_failed", backend.compareAndSwap(text("/ca", "1"), revision));
      },
    );

    promise("a swap fails on an item that has expired", async (backend, clock) => {
      const revision = await backend.put({ ...text("/lease", "me"), expires: clock.now() + 1000 });
      await clock.advance(1000);
      await refused("compare_failed", backend.compareAndSwap(text("/lease", "me"), revision));
    });
  });

  suite(`backend contract, ${name}: commit`, () => {
    promise("writes several keys at once", async (backend) => {
      const old = await backend.put(text("/old", "x"));
      const revision = await backend.commit(
        [
          { type: "put", item: text("/a", "1") },
          { type: "put", item: text("/b", "2") },
          { type: "delete", key: "/old" },
        ],
        [
          { key: "/old", revision: old },
          { key: "/a", revision: "absent" },
        ],
      );
      assert.deepEqual(await keys(backend, ""), ["/a", "/b"]);
      assert.ok(revision >= (await backend.get("/b")).revision);
    });

    for (const [why, condition] of [
      ["a key that should be absent is there", { key: "/there", revision: "absent" }],
      ["a key that should be there is absent", { key: "/none", revision: "0000000000000001" as Revision }],
      ["a key has another revision", { key: "/there", revision: "0000000000009999" as Revision }],
    ] as const) {
      promise(`writes nothing when ${why}`, async (backend) => {
        await backend.put(text("/there", "old"));
        const ops = [
          { type: "put", item: text("/new", "1") },
          { type: "delete", key: "/there" },
        ] as const;
        await assert.rejects(backend.commit(ops, [condition]), (err) => {
          assert.ok(Fault.is(err, "compare_failed"));
          assert.equal(err.details.key, condition.key);
          return true;
        });
        assert.deepEqual(await keys(backend, ""), ["/there"]);
      });
    }

    promise("one refused among many at the same moment does not hurt the others", async (backend) => {
      await backend.put(text("/taken", ""));
      const results = await Promise.allSettled([
        backend.create(text("/1", "")),
        backend.create(text("/taken", "")),
        backend.delete("/none"),
        backend.create(text("/2", "")),
      ]);
      assert.deepEqual(
        results.map((r) => r.status),
        ["fulfilled", "rejected", "rejected", "fulfilled"],
      );
      assert.deepEqual(await keys(backend, ""), ["/1", "/2", "/taken"]);
    });

    promise("a delete of nothing is no change", async (backend) => {
      const before = await backend.put(text("/a", ""));
      assert.equal(await backend.commit([{ type: "delete", key: "/none" }]), before);
    });

    promise("refuses a key named twice, and more than 64 writes", async (backend) => {
      const put = (key: string) => ({ type: "put", item: text(key, "") }) as const;
      await refused("bad_parameter", backend.commit([put("/a"), { type: "delete", key: "/a" }]));
      await refused("limit_exceeded", backend.commit(Array.from({ length: 65 }, (_, i) => put(`/${i}`))));
      assert.deepEqual(await keys(backend, ""), []);
    });
  });

  suite(`backend contract, ${name}: ranges`, () => {
    promise("come in the order of their bytes", async (backend) => {
      // In UTF-16 order the last two would change places.
      const sorted = ["/A", "/a", "/a-b", "/a/b", "/aa", "/é", "/\uffee", "/\u{1F511}"];
      for (const key of sorted.toReversed()) await backend.put(text(key, ""));
      assert.deepEqual(await keys(backend, ""), sorted);
    });

    promise("take exactly what begins with the prefix", async (backend) => {
      for (const key of ["/node", "/node/", "/node/1", "/node/1/x", "/node/10", "/nodes/1", "/nod", "/node0"])
        await backend.put(text(key, ""));
      assert.deepEqual(await keys(backend, "/node/"), ["/node/", "/node/1", "/node/1/x", "/node/10"]);
      assert.deepEqual(await keys(backend, "/node/1"), ["/node/1", "/node/1/x", "/node/10"]);
      assert.deepEqual(await keys(backend, "/none/"), []);
    });

    promise("take a prefix as it is written, not as a pattern", async (backend) => {
      for (const key of ["/a%b", "/axb", "/a_b", "/a*b"]) await backend.put(text(key, ""));
      for (const key of ["/a%b", "/a_b", "/a*b"]) assert.deepEqual(await keys(backend, key), [key]);
    });

    promise("page by limit and the last key seen", async (backend) => {
      for (let i = 0; i < 10; i++) await backend.put(text(`/p/${i}`, ""));
      await backend.put(text("/q", ""));
      assert.deepEqual(await keys(backend, "/p/", { limit: 4 }), ["/p/0", "/p/1", "/p/2", "/p/3"]);
      assert.deepEqual(await keys(backend, "/p/", { limit: 4, after: "/p/7" }), ["/p/8", "/p/9"]);
      assert.deepEqual(await keys(backend, "/p/", { after: "/p/9" }), []);
      assert.deepEqual(await keys(backend, "/p/", { after: "/p/55" }), ["/p/6", "/p/7", "/p/8", "/p/9"]);
      assert.deepEqual(await keys(backend, "/p/", { limit: 0 }), []);
    });

    promise("go over more items than one read brings", async (backend) => {
      const all = Array.from({ length: 700 }, (_, i) => `/n/${String(i).padStart(4, "0")}`);
      await Promise.all(all.map((key) => backend.put(text(key, key))));
      assert.deepEqual(await keys(backend, "/n/"), all);
      assert.deepEqual(await keys(backend, "/n/", { limit: 512 }), all.slice(0, 512));
    });

    promise("leave out what has expired", async (backend, clock) => {
      await backend.put({ ...text("/a", ""), expires: clock.now() + 1000 });
      await backend.put({ ...text("/b", ""), expires: clock.now() + 2000 });
      await clock.advance(1500);
      assert.deepEqual(await keys(backend, ""), ["/b"]);
    });

    promise("can be stopped half way", async (backend) => {
      for (const key of ["/a", "/b", "/c"]) await backend.put(text(key, ""));
      for await (const { key } of backend.range("")) {
        await backend.delete(key);
        if (key === "/b") break;
      }
      assert.deepEqual(await keys(backend, ""), ["/c"]);
    });

    promise("deletePrefix takes what range shows, and nothing else", async (backend) => {
      for (const key of ["/n/1", "/n/2", "/n", "/n0"]) await backend.put(text(key, ""));
      await backend.deletePrefix("/n/");
      await backend.deletePrefix("/n/");
      assert.deepEqual(await keys(backend, ""), ["/n", "/n0"]);
    });
  });

  suite(`backend contract, ${name}: expiry`, () => {
    promise("an item goes away at its time, not before", async (backend, clock) => {
      await backend.put({ ...text("/token", "t"), expires: clock.now() + 1000 });
      await clock.advance(999);
      assert.equal(await read(backend, "/token"), "t");
      await clock.advance(1);
      await refused("not_found", backend.get("/token"));
      await refused("not_found", backend.delete("/token"));
    });

    promise("an expired key is free for create and absent for a condition", async (backend, clock) => {
      await backend.put({ ...text("/a", "old"), expires: clock.now() + 10 });
      await backend.put({ ...text("/b", "old"), expires: clock.now() + 10 });
      await clock.advance(10);
      await backend.create(text("/a", "new"));
      await backend.commit([{ type: "put", item: text("/b", "new") }], [{ key: "/b", revision: "absent" }]);
      assert.deepEqual([await read(backend, "/a"), await read(backend, "/b")], ["new", "new"]);
    });

    promise("a later time keeps an item alive", async (backend, clock) => {
      for (let i = 0; i < 5; i++) {
        await backend.put({ ...text("/beat", `${i}`), expires: clock.now() + 1000 });
        await clock.advance(900);
      }
      assert.equal(await read(backend, "/beat"), "4");
    });

    promise("an item put after its time is not there", async (backend, clock) => {
      await backend.put({ ...text("/late", ""), expires: clock.now() - 1 });
      await refused("not_found", backend.get("/late"));
    });
  });

  suite(`backend contract, ${name}: news`, () => {
    promise("are what changed under a prefix, in order, and where to go on", async (backend) => {
      const start = await backend.put(text("/nodes/a", "0"));
      await backend.put(text("/nodes/a", "1"));
      await backend.put(text("/users/x", "u"));
      await backend.delete("/nodes/a");
      await backend.put(text("/nodes", "no"));
      const first = await backend.since("/nodes/", start);
      assert.deepEqual(first.changes.map(line), ["+/nodes/a=1", "-/nodes/a"]);
      const revision = await backend.put(text("/nodes/b", "2"));
      const second = await backend.since("/nodes/", first.revision);
      assert.deepEqual(second, {
        changes: [{ type: "put", item: { ...text("/nodes/b", "2"), revision } }],
        over: [],
        revision,
      });
      assert.deepEqual((await backend.since("/nodes/", revision)).changes, []);
    });

    promise(
      "leave no item in a list that is over, and one that was extended is not",
      async (backend, clock) => {
        const until = { expires: clock.now() + 1000 };
        const start = await backend.range("").revision();
        for (const key of ["/a/1", "/a/2", "/b/1"]) await backend.put({ ...text(key, ""), ...until });
        await backend.extend([{ key: "/a/2", expires: clock.now() + 5000 }]);
        const there = async (): Promise<string[]> => {
          const { changes, over } = await backend.since("/a/", start);
          const list = new Set<string>();
          for (const change of changes)
            if (change.type === "put") list.add(change.item.key);
            else list.delete(change.key);
          for (const key of over) list.delete(key);
          assert.ok(over.every((key) => key.startsWith("/a/")));
          return [...list];
        };
        assert.deepEqual(await there(), ["/a/1", "/a/2"]);
        // Without a wait for anything that happens now and then.
        const now = clock.now() + 1000;
        clock.now = () => now;
        assert.deepEqual(await there(), ["/a/2"]);
      },
    );

    test("reach as far as the history, in one piece", async () => {
      await using backend = await open(new TestClock(), 2000);
      const start = await backend.range("").revision();
      const all = Array.from({ length: 900 }, (_, i) => `/n/${i}`);
      await Promise.all(all.flatMap((key) => [backend.put(text(key, "")), backend.put(text("/other", ""))]));
      assert.deepEqual(
        (await backend.since("/n/", start)).changes.map(line),
        all.map((key) => `+${key}=`),
      );
    });

    promise("are refused where the history does not reach", async (backend, clock) => {
      const after = await backend.range("").revision();
      for (let i = 0; i < 100; i++) await backend.put(text("/a", `${i}`));
      await clock.advance(2000);
      await new Promise((resolve) => setImmediate(resolve));
      await backend.put(text("/b", ""));
      await refused("limit_exceeded", backend.since("", after));
      await refused("limit_exceeded", backend.since("", "0000000000999999" as Revision));
      await refused("limit_exceeded", backend.since("", "nonsense" as Revision));
    });

    test("are none of a backend that is closed", async () => {
      const backend = await open(new TestClock(), 20);
      const after = await backend.range("").revision();
      await backend[Symbol.asyncDispose]();
      await refused("unreachable", backend.since("", after));
    });
  });

  suite(`backend contract, ${name}: watch`, () => {
    promise("sees every change under its prefix, in order", async (backend) => {
      await using watch = await watching(backend, "/nodes/");
      await backend.put(text("/users/x", "u"));
      await backend.put(text("/nodes/n", "1"));
      await backend.put(text("/nodes/n", "2"));
      await backend.delete("/nodes/n");
      await backend.put(text("/nodes", "no"));
      await backend.create(text("/nodes/n", "3"));
      assert.deepEqual((await watch.take(4)).map(line), [
        "+/nodes/n=1",
        "+/nodes/n=2",
        "-/nodes/n",
        "+/nodes/n=3",
      ]);
    });

    promise("stands when its promise resolves, though nobody reads yet", async (backend) => {
      await using watch = await watching(backend, "");
      await backend.put(text("/a", "1"));
      assert.deepEqual((await watch.take(1)).map(line), ["+/a=1"]);
    });

    promise("wakes a reader that waits", async (backend) => {
      await using watch = await watching(backend, "/a");
      const next = watch.take(1);
      await new Promise((resolve) => setImmediate(resolve));
      await backend.put(text("/b", ""));
      await backend.put(text("/a", "1"));
      assert.deepEqual((await next).map(line), ["+/a=1"]);
    });

    promise("tells the item with its revision and expiry", async (backend, clock) => {
      await using watch = await watching(backend, "");
      const item = { ...text("/a", "1"), expires: clock.now() + 60_000 };
      const revision = await backend.put(item);
      assert.deepEqual(await watch.take(1), [{ type: "put", item: { ...item, revision } }]);
    });

    promise("tells an expiry as a delete within a second", async (backend, clock) => {
      await backend.put({ ...text("/lease", ""), expires: clock.now() + 10_000 });
      await using watch = await watching(backend, "");
      const next = watch.take(1);
      for (let i = 0; i < 11; i++) await clock.advance(1000);
      assert.deepEqual((await next).map(line), ["-/lease"]);
    });

    promise("tells a key created over its expired self as gone and come", async (backend, clock) => {
      await backend.put({ ...text("/lease", "a"), expires: clock.now() + 10 });
      await using watch = await watching(backend, "");
      await clock.advance(10);
      await backend.create(text("/lease", "b"));
      assert.deepEqual((await watch.take(2)).map(line), ["-/lease", "+/lease=b"]);
    });

    promise("after a list loses nothing, whenever it is started", async (backend) => {
      await backend.put(text("/a", "1"));
      await backend.put(text("/b", "1"));
      const range = backend.range("");
      const after = await range.revision();
      const state = new Map<string, string>();
      for await (const item of range) {
        state.set(item.key, string(item));
        if (item.key === "/a") {
          await backend.put(text("/a", "2"));
          await backend.delete("/b");
          await backend.put(text("/c", "1"));
        }
      }
      await backend.put(text("/d", "1"));
      await using watch = await watching(backend, "", after);
      for (const change of await watch.take(4)) {
        if (change.type === "put") state.set(change.item.key, string(change.item));
        else state.delete(change.key);
      }
      assert.deepEqual([...state].sort(), [
        ["/a", "2"],
        ["/c", "1"],
        ["/d", "1"],
      ]);
    });

    promise("goes on after the last change that was seen", async (backend) => {
      await using first = await watching(backend, "");
      await backend.put(text("/a", "1"));
      await backend.delete("/a");
      const [, deleted] = await first.take(2);
      await backend.put(text("/b", "1"));
      assert.ok(deleted?.type === "delete");
      await using second = await watching(backend, "", deleted.revision);
      assert.deepEqual((await second.take(1)).map(line), ["+/b=1"]);
    });

    promise("tells all of a commit, its changes side by side", async (backend) => {
      await using watch = await watching(backend, "");
      await Promise.all(
        ["1", "2", "3"].map((n) =>
          backend.commit([
            { type: "put", item: text("/a", n) },
            { type: "put", item: text("/b", n) },
          ]),
        ),
      );
      const seen = (await watch.take(6)).map(line);
      for (let i = 0; i < 6; i += 2) assert.equal(seen[i]?.slice(4), seen[i + 1]?.slice(4));
    });

    promise("tells nothing of writes that were refused", async (backend) => {
      await using watch = await watching(backend, "");
      await backend.put(text("/a", "1"));
      await refused("already_exists", backend.create(text("/a", "2")));
      await refused(
        "compare_failed",
        backend.commit([{ type: "put", item: text("/x", "") }], [{ key: "/a", revision: "absent" }]),
      );
      await backend.put(text("/b", "1"));
      assert.deepEqual((await watch.take(2)).map(line), ["+/a=1", "+/b=1"]);
    });

    promise("tells each item that deletePrefix takes", async (backend) => {
      for (const key of ["/a/1", "/a/2", "/b"]) await backend.put(text(key, ""));
      await using watch = await watching(backend, "/a");
      await backend.deletePrefix("/a/");
      assert.deepEqual((await watch.take(2)).map(line).sort(), ["-/a/1", "-/a/2"]);
    });

    promise("gives each watcher all of it", async (backend) => {
      await using one = await watching(backend, "/a");
      await using two = await watching(backend, "/");
      await backend.put(text("/a", "1"));
      for (const watch of [one, two]) assert.deepEqual((await watch.take(1)).map(line), ["+/a=1"]);
    });

    promise("is not changed by a reader that changes what it got", async (backend) => {
      await using one = await watching(backend, "");
      await using two = await watching(backend, "");
      await backend.put(text("/a", "one"));
      const [change] = await one.take(1);
      if (change?.type === "put") change.item.value.fill(0);
      assert.deepEqual((await two.take(1)).map(line), ["+/a=one"]);
    });

    promise("ends when its signal aborts, waiting or not", async (backend) => {
      const stop = new AbortController();
      const changes = await backend.watch("", { signal: stop.signal });
      const iterator = changes[Symbol.asyncIterator]();
      const waiting = iterator.next();
      await new Promise((resolve) => setImmediate(resolve));
      stop.abort();
      assert.equal((await waiting).done, true);
      const late = await backend.watch("", { signal: stop.signal });
      assert.equal((await late[Symbol.asyncIterator]().next()).done, true);
    });

    test("ends when the backend is closed", async () => {
      const backend = await open(new TestClock(), 20);
      const changes = await backend.watch("", { signal: new AbortController().signal });
      const waiting = changes[Symbol.asyncIterator]().next();
      await backend[Symbol.asyncDispose]();
      assert.equal((await waiting).done, true);
      await refused("unreachable", backend.get("/a"));
      await refused("unreachable", backend.put(text("/a", "")));
    });

    promise("ends at once when aborted in the middle of what it has to tell", async (backend) => {
      const stop = new AbortController();
      const changes = await backend.watch("", { signal: stop.signal });
      const iterator = changes[Symbol.asyncIterator]();
      await Promise.all(["/a", "/b", "/c"].map((key) => backend.put(text(key, ""))));
      assert.equal((await iterator.next()).done, false);
      stop.abort();
      assert.equal((await iterator.next()).done, true);
    });

    test("a reader far behind, but within the history, gets it all", async () => {
      await using backend = await open(new TestClock(), 2000);
      await using watch = await watching(backend, "/n/");
      const all = Array.from({ length: 900 }, (_, i) => `/n/${i}`);
      await Promise.all(all.flatMap((key) => [backend.put(text(key, "")), backend.put(text("/other", ""))]));
      assert.deepEqual(
        (await watch.take(900)).map(line),
        all.map((key) => `+${key}=`),
      );
    });

    promise("a reader too slow for the history is told, not given a gap", async (backend, clock) => {
      await using watch = await watching(backend, "");
      for (let i = 0; i < 100; i++) await backend.put(text("/a", `${i}`));
      await clock.advance(2000);
      await new Promise((resolve) => setImmediate(resolve));
      await backend.put(text("/b", ""));
      await refused("limit_exceeded", watch.take(1));
    });

    promise("refuses a start that the history does not reach", async (backend, clock) => {
      const after = await backend.range("").revision();
      for (let i = 0; i < 100; i++) await backend.put(text("/a", `${i}`));
      await clock.advance(2000);
      await new Promise((resolve) => setImmediate(resolve));
      await backend.put(text("/b", ""));
      const { signal } = new AbortController();
      await refused("limit_exceeded", backend.watch("", { after, signal }));
      const future = "0000000000999999" as Revision;
      await refused("limit_exceeded", backend.watch("", { after: future, signal }));
      await refused("limit_exceeded", backend.watch("", { after: "nonsense" as Revision, signal }));
    });

    promise("a quiet watcher keeps up with a busy neighbourhood", async (backend, clock) => {
      await using watch = await watching(backend, "/quiet");
      const next = watch.take(1);
      for (let i = 0; i < 100; i++) {
        await backend.put(text("/busy", `${i}`));
        await new Promise((resolve) => setImmediate(resolve));
        if (i % 10 === 0) await clock.advance(500);
      }
      await backend.put(text("/quiet", "1"));
      assert.deepEqual((await next).map(line), ["+/quiet=1"]);
    });
  });
}

const bytes = (s: string): Uint8Array => Uint8Array.from(Buffer.from(s));
const text = (key: string, s: string): Item => ({ key, value: bytes(s) });
const string = (item: Stored): string => Buffer.from(item.value).toString();
const read = async (backend: Backend, key: string): Promise<string> => string(await backend.get(key));
const line = (c: Change): string => (c.type === "put" ? `+${c.item.key}=${string(c.item)}` : `-${c.key}`);

async function keys(
  backend: Backend,
  prefix: string,
  options?: { limit?: number; after?: string },
): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of backend.range(prefix, options)) found.push(key);
  return found;
}

const refused = (kind: FaultKind, call: Promise<unknown>): Promise<void> =>
  assert.rejects(call, (err) => Fault.is(err, kind) || assert.fail(`not ${kind}: ${err}`));

async function watching(
  backend: Backend,
  prefix: string,
  after?: Revision,
): Promise<AsyncDisposable & { take(count: number): Promise<Change[]> }> {
  const stop = new AbortController();
  const changes = await backend.watch(prefix, {
    signal: stop.signal,
    ...(after === undefined ? {} : { after }),
  });
  const iterator = changes[Symbol.asyncIterator]();
  return {
    async take(count) {
      const taken: Change[] = [];
      while (taken.length < count) {
        const next = await iterator.next();
        assert.ok(!next.done, "the watch ended early");
        taken.push(next.value);
      }
      return taken;
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await iterator.return?.();
    },
  };
}
