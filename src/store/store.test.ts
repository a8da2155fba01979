import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { MemoryBackend } from "#backend";
import { hour, second, TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { Node, neverTime, Role, User } from "#model";
import { openStore, withLock } from "./index.ts";
import { keyPart } from "./record.ts";

const user = (name: string, spec: object = {}): User =>
  User.parse({ kind: "user", version: "v2", metadata: { name }, spec });
const role = (name: string): Role =>
  Role.parse({ kind: "role", version: "v3", metadata: { name }, spec: {} });
const kind = (is: "not_found" | "already_exists" | "internal") => (err: unknown) => Fault.is(err, is);

async function opened() {
  const clock = new TestClock();
  const backend = new MemoryBackend(clock);
  return {
    clock,
    backend,
    store: await openStore(backend, clock),
    [Symbol.asyncDispose]: () => backend[Symbol.asyncDispose](),
  };
}

suite("records", () => {
  test("are created once, found, listed by name, replaced, deleted", async () => {
    await using t = await opened();
    const { users } = t.store;
    await users.create(user("joe"));
    await assert.rejects(
      users.create(user("joe")),
      (err) => kind("already_exists")(err) && /user 'joe' already exists/.test(String(err)),
    );
    await users.put(user("ann"));
    assert.deepEqual(
      (await users.list()).map((u) => u.metadata.name),
      ["ann", "joe"],
    );
    assert.deepEqual(await users.find("joe"), user("joe"));
    await users.delete("joe");
    assert.equal(await users.find("joe"), undefined);
    await assert.rejects(users.get("joe"), kind("not_found"));
    await assert.rejects(users.delete("joe"), kind("not_found"));
  });

  test("a list of nodes is what is there now, however often it was read", async () => {
    await using t = await opened();
    const node = (name: string, hostname: string): Node =>
      Node.parse({ kind: "node", version: "v2", metadata: { name }, spec: { hostname } });
    const names = async (): Promise<string[]> =>
      (await t.store.nodes.list()).map(({ spec }) => spec.hostname);
    await t.store.nodes.put(node("1", "a"), t.clock.now() + 10 * second);
    await t.store.nodes.put(node("2", "b"));
    assert.deepEqual(await names(), ["a", "b"]);
    await t.store.nodes.put(node("2", "c"));
    await t.store.nodes.put(node("3", "d"));
    assert.deepEqual(await names(), ["a", "c", "d"]);
    await t.clock.advance(10 * second);
    await t.store.nodes.delete("3");
    assert.deepEqual(await names(), ["c"]);
    await t.store.nodes.put(node("3", "e"));
    assert.deepEqual(await names(), ["c", "e"]);
  });

  test("whatever a name holds, it has a key of its own, inside its collection", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (a, b) => {
        assert.equal(keyPart(a) === keyPart(b), a === b);
        // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what may not be there
        assert.doesNotMatch(keyPart(a), /[/\u0000-\u001f\u007f]/);
      }),
    );
  });

  test("one web user cannot be read through the name of another", async () => {
    await using t = await opened();
    const session = { user: "joe", id: "1", bearer: "b", bearerExpires: 1, expires: t.clock.now() + hour };
    await t.store.webSessions("joe").create(session);
    for (const name of ["jo", "joe/1", "joe/", "", "."])
      assert.equal(await t.store.webSessions(name).find("1"), undefined);
    assert.deepEqual(await t.store.webSessions("joe").find("1"), session);
  });

  test("AUTH-43: end at the earlier of their two times; the zero time is never", async () => {
    await using t = await opened();
    const at = (ms: number) => new Date(t.clock.now() + ms).toISOString();
    await t.store.users.put(user("joe", { expires: at(10 * second) }));
    await t.store.users.put({
      ...user("ann", { expires: neverTime }),
      metadata: { name: "ann", expires: at(20 * second) },
    });
    await t.store.users.put(user("eve", { expires: neverTime }));
    const names = async () => (await t.store.users.list()).map((u) => u.metadata.name);
    await t.clock.advance(10 * second);
    assert.deepEqual(await names(), ["ann", "eve"]);
    await t.clock.advance(10 * second);
    assert.deepEqual(await names(), ["eve"]);
  });

  test("of many changes at once none is lost", async () => {
    await using t = await opened();
    await t.store.otps.put({ user: "joe", seed: "A", lastStep: 0 });
    await Promise.all(
      Array.from({ length: 15 }, () =>
        t.store.otps.update("joe", (now) => now && { ...now, lastStep: now.lastStep + 1 }),
      ),
    );
    assert.equal((await t.store.otps.get("joe")).lastStep, 15);
  });

  test("a damaged or newer record is refused, naming it", async () => {
    await using t = await opened();
    for (const text of ["{", '{"format":1,"value":{"kind":"role"}}', '{"format":9,"value":{}}', "null"]) {
      await t.backend.put({ key: "/roles/x", value: Buffer.from(text) });
      await assert.rejects(
        t.store.roles.get("x"),
        (err) => kind("internal")(err) && /\/roles\/x/.test(String(err)),
      );
    }
  });
});

suite("the lock", () => {
  test("lets one in at a time, and goes on after a holder that died", async () => {
    await using t = await opened();
    const parts = { backend: t.backend, clock: t.clock };
    const log: string[] = [];
    const work = (name: string) => async () => {
      log.push(`+${name}`);
      await t.clock.sleep(second);
      log.push(`-${name}`);
    };
    const both = Promise.all([withLock(parts, "x", work("a")), withLock(parts, "x", work("b"))]);
    let done = false;
    void both.then(() => {
      done = true;
    });
    while (!done) await t.clock.advance(second);
    assert.deepEqual(log, ["+a", "-a", "+b", "-b"]);
    await t.backend.create({
      key: "/locks/x",
      value: new Uint8Array(),
      expires: t.clock.now() + 60 * second,
    });
    let freed = false;
    void withLock(parts, "x", async () => {
      freed = true;
    });
    for (let i = 0; i < 59; i++) await t.clock.advance(second);
    assert.equal(freed, false);
    for (let i = 0; i < 3; i++) await t.clock.advance(second);
    assert.equal(freed, true);
  });

  test("stays with a holder who works long, and is soon free of one who died", async () => {
    await using t = await opened();
    const parts = { backend: t.backend, clock: t.clock };
    const long = Promise.withResolvers<void>();
    const first = withLock(parts, "x", () => long.promise);
    let begun = false;
    const next = withLock(parts, "x", async () => {
      begun = true;
    });
    for (let i = 0; i < 60; i++) await t.clock.advance(second);
    assert.equal(begun, false);
    long.resolve();
    await first;
    for (let i = 0; i < 2; i++) await t.clock.advance(second);
    await next;

    // Its clock stands still from here on, so it neither renews nor ends.
    void withLock(
      { backend: t.backend, clock: new TestClock(t.clock.now()) },
      "y",
      () => new Promise(() => {}),
    );
    await t.clock.advance(0);
    let freed = false;
    void withLock(parts, "y", async () => {
      freed = true;
    });
    for (let i = 0; i < 8; i++) await t.clock.advance(second);
    assert.equal(freed, false);
    for (let i = 0; i < 4; i++) await t.clock.advance(second);
    assert.equal(freed, true);
  });

  test("is free again after work that failed", async () => {
    await using t = await opened();
    const parts = { backend: t.backend, clock: t.clock };
    await assert.rejects(
      withLock(parts, "x", () => Promise.reject(new Error("boom"))),
      /boom/,
    );
    assert.equal(await withLock(parts, "x", async () => 7), 7);
  });
});

test("a role is stored as it was written", async () => {
  await using t = await opened();
  await t.store.roles.put(role("ops"));
  assert.deepEqual(await t.store.roles.get("ops"), role("ops"));
});
