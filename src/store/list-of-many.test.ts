import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { MemoryBackend, type Revision, type Stored } from "#backend";
import { second, TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { ListOfMany } from "./list-of-many.ts";

const bytes = (text: string): Uint8Array => Buffer.from(text);
const prefix = "/n/";

function opened(history = 1000) {
  const clock = new TestClock();
  const backend = new MemoryBackend(clock, { history });
  const calls = { read: 0, range: 0 };
  const list = new ListOfMany({
    backend: {
      range(under) {
        calls.range++;
        return backend.range(under);
      },
      since: (under, after) => backend.since(under, after),
    },
    prefix,
    read(item: Stored) {
      calls.read++;
      const text = Buffer.from(item.value).toString();
      if (text === "damaged") throw new Fault("internal", "damaged");
      return { text };
    },
  });
  const texts = async (): Promise<string[]> => (await list.now()).map(({ text }) => text);
  return { clock, backend, list, calls, texts, [Symbol.asyncDispose]: () => backend[Symbol.asyncDispose]() };
}

suite("a list of many", () => {
  test("reads again only what has changed", async () => {
    await using t = opened();
    for (const key of ["a", "b", "c"]) await t.backend.put({ key: prefix + key, value: bytes(key) });
    const before = await t.list.now();
    await t.backend.put({ key: "/elsewhere", value: bytes("x") });
    await t.backend.put({ key: `${prefix}b`, value: bytes("B") });
    const after = await t.list.now();
    assert.deepEqual(
      after.map(({ text }) => text),
      ["a", "B", "c"],
    );
    assert.equal(after[0], before[0]);
    assert.deepEqual(t.calls, { read: 4, range: 1 });
  });

  test("is what the storage's own list is, whatever was written, deleted, or has ended", async () => {
    const key = fc.constantFrom("a", "B", "ü", "日本", "\ufb01", "👋", "a/b", "");
    const step = fc.oneof(
      fc.record({ do: fc.constant("put" as const), key, text: fc.string(), ends: fc.boolean() }),
      fc.record({ do: fc.constant("delete" as const), key }),
      fc.record({ do: fc.constant("wait" as const) }),
      fc.record({ do: fc.constant("list" as const) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        // So short a history that some lists have to be read anew.
        await using t = opened(3);
        const check = async (): Promise<void> => {
          const stored: string[] = [];
          for await (const { value } of t.backend.range(prefix)) stored.push(Buffer.from(value).toString());
          assert.deepEqual(await t.texts(), stored);
        };
        for (const one of steps) {
          if (one.do === "put")
            await t.backend.put({
              key: prefix + one.key,
              value: bytes(one.text),
              ...(one.ends && { expires: t.clock.now() + second }),
            });
          else if (one.do === "delete") await t.backend.commit([{ type: "delete", key: prefix + one.key }]);
          else if (one.do === "wait") await t.clock.advance(second);
          else await check();
        }
        await check();
      }),
    );
  });

  test("leaves out what the storage says is over, and has it again when it is not", async () => {
    const item = (key: string): Stored => ({ key, value: bytes(key), revision: "1" as Revision });
    let over: string[] = [];
    const list = new ListOfMany({
      backend: {
        range: () => ({
          revision: async () => "1" as Revision,
          async *[Symbol.asyncIterator]() {
            yield* [item("/n/a"), item("/n/b")];
          },
        }),
        since: async (_prefix, revision) => ({ changes: [], over, revision }),
      },
      prefix,
      read: ({ key }) => key,
    });
    assert.deepEqual(await list.now(), ["/n/a", "/n/b"]);
    over = ["/n/a"];
    assert.deepEqual(await list.now(), ["/n/b"]);
    over = [];
    assert.deepEqual(await list.now(), ["/n/a", "/n/b"]);
  });

  test("of two lists at once, the one that is answered last does not bring back what the other saw go", async () => {
    await using t = opened();
    await t.backend.put({ key: `${prefix}a`, value: bytes("1") });
    const held = Promise.withResolvers<void>();
    let holding = false;
    const list = new ListOfMany({
      backend: {
        range: (under) => t.backend.range(under),
        async since(under, after) {
          const news = await t.backend.since(under, after);
          if (holding) {
            holding = false;
            await held.promise;
          }
          return news;
        },
      },
      prefix,
      read: (item) => Buffer.from(item.value).toString(),
    });
    await list.now();
    await t.backend.put({ key: `${prefix}a`, value: bytes("2") });
    holding = true;
    const slow = list.now();
    await t.backend.delete(`${prefix}a`);
    assert.deepEqual(await list.now(), []);
    held.resolve();
    assert.deepEqual(await slow, ["2"]);
    assert.deepEqual(await list.now(), []);
  });

  test("fails while a record is damaged, and no longer", async () => {
    await using t = opened();
    await t.backend.put({ key: `${prefix}a`, value: bytes("a") });
    assert.deepEqual(await t.texts(), ["a"]);
    await t.backend.put({ key: `${prefix}b`, value: bytes("damaged") });
    for (let i = 0; i < 2; i++) await assert.rejects(t.list.now(), (err) => Fault.is(err, "internal"));
    await t.backend.put({ key: `${prefix}b`, value: bytes("b") });
    assert.deepEqual(await t.texts(), ["a", "b"]);
  });

  test("what its caller does to it is the caller's own", async () => {
    await using t = opened();
    await t.backend.put({ key: `${prefix}a`, value: bytes("a") });
    (await t.list.now()).length = 0;
    (await t.list.now()).length = 0;
    assert.deepEqual(await t.texts(), ["a"]);
  });
});
