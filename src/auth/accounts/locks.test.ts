import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { MemoryBackend } from "#backend";
import { minute, TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { neverTime, ProxyServer } from "#model";
import { Attempts } from "../logins/attempts.ts";
import { Crowd } from "../logins/crowd.ts";
import { mostOfSource } from "../logins/sources.ts";
import { account, type Cluster, cluster, hostId, role } from "../testing/cluster.ts";

const denied = (err: unknown): boolean => Fault.is(err, "access_denied");
const attempt = async (c: Cluster, user: string, password: string, client_addr: string): Promise<string> =>
  c.proxy["logins.web"]({ user, password, client_addr }).then(
    () => "in",
    (err: unknown) => {
      assert.ok(denied(err), String(err));
      return (err as Fault).message;
    },
  );
/** Wrong logins from one place, each for another name, so that no name is locked. */
const spray = async (c: Cluster, from: (i: number) => string, times = mostOfSource): Promise<string[]> =>
  Promise.all(Array.from({ length: times }, (_, i) => attempt(c, `nobody${i}`, "wrong", from(i))));
const atOnce = 20;
async function sprayAll(c: Cluster, from: (i: number) => string, times = mostOfSource): Promise<void> {
  for (let i = 0; i < times; i += atOnce) await spray(c, (j) => from(i + j), Math.min(atOnce, times - i));
}

suite("logins that fail from one source (AUTH-40)", () => {
  for (const [what, from, elsewhere] of [
    ["an IPv4 address", (i: number) => `203.0.113.9:${1000 + i}`, "203.0.113.10:1"],
    ["a /64 of IPv6", (i: number) => `[2001:db8:0:1::${i.toString(16)}]:1`, "[2001:db8:0:2::1]:1"],
    ["IPv4 written as IPv6", (i: number) => `[::ffff:203.0.113.9]:${i}`, "203.0.113.10:1"],
  ] as const) {
    test(`lock ${what} for 20 minutes, for right passwords too, and nobody else`, async () => {
      await using c = await cluster();
      await c.signUp("joe");
      await sprayAll(c, from, mostOfSource - 1);
      assert.equal(await attempt(c, "joe", "correct horse", from(1)), "in");
      // A success in between forgives nothing.
      await sprayAll(c, from, 1);
      const said = await attempt(c, "joe", "correct horse", from(2));
      assert.equal(said, "too many failed logins from your address, locked until 2026-01-01T00:20:00.000Z");
      assert.equal(await attempt(c, "joe", "correct horse", elsewhere), "in");
      assert.equal(c.events.filter((e) => e.code === "T4101W").length, 1);
      await c.clock.advance(20 * minute);
      assert.equal(await attempt(c, "joe", "correct horse", from(3)), "in");
    });
  }

  test("are forgotten half an hour after the first of them", async () => {
    await using c = await cluster();
    const from = (): string => "203.0.113.9:1";
    await sprayAll(c, from, mostOfSource - 1);
    await c.clock.advance(31 * minute);
    await sprayAll(c, from, mostOfSource - 1);
    assert.deepEqual(await c.admin["locks.list"]({}), []);
  });

  test("S21: from a source that is locked, who exists is answered as who does not", async () => {
    await using c = await cluster();
    await c.signUp("joe");
    await sprayAll(c, () => "203.0.113.9:1");
    assert.equal(
      await attempt(c, "joe", "correct horse", "203.0.113.9:1"),
      await attempt(c, "nobody", "correct horse", "203.0.113.9:1"),
    );
  });

  for (const [what, address] of [
    ["a proxy's own address, behind which a balancer hides everybody,", "192.0.2.7:40000"],
    ["the machine itself", "127.0.0.1:40000"],
    ["the machine itself by IPv6", "[::1]:40000"],
    ["nowhere that is known", ""],
    ["what is no address", "a place"],
  ] as const) {
    test(`lock nobody out when they come from ${what}`, async () => {
      await using c = await cluster();
      await c.signUp("joe");
      await c.proxy["proxies.announce"](
        ProxyServer.parse({
          kind: "proxy",
          version: "v2",
          metadata: { name: hostId },
          spec: { hostname: "px", addr: "192.0.2.7:3023", web_addr: "192.0.2.7:3080" },
        }),
      );
      await sprayAll(c, () => address);
      assert.equal(await attempt(c, "joe", "correct horse", address), "in");
      assert.deepEqual(await c.admin["locks.list"]({}), []);
    });
  }

  test("stay locked over a restart, with the accounts", async () => {
    const clock = new TestClock();
    await using backend = new MemoryBackend(clock);
    {
      await using c = await cluster({}, { clock, backend });
      await c.signUp("joe");
      for (let i = 0; i < 5; i++) await attempt(c, "joe", "wrong", "198.51.100.1:1");
      await sprayAll(c, () => "203.0.113.9:1");
    }
    await using c = await cluster({}, { clock, backend });
    assert.match(await attempt(c, "joe", "correct horse", "198.51.100.2:1"), /^joe exceeds .* locked until/);
    assert.match(
      await attempt(c, "joe", "correct horse", "203.0.113.9:1"),
      /from your address, locked until/,
    );
  });
});

suite("locks in the hands of administrators", () => {
  test("an account that is closed lets nobody in, with a certificate or a web session neither", async () => {
    await using c = await cluster();
    const { user, id, bearer } = (await c.signUp("joe")).session;
    const session = { user, id, bearer };
    const joe = c.user("joe");
    await c.admin["users.lock"]({ name: "joe", message: "on leave" });
    await assert.rejects(joe["nodes.list"]({}), denied);
    await assert.rejects(c.proxy["web_sessions.get"](session), denied);
    assert.match(await attempt(c, "joe", "correct horse", ""), /is locked; ask your administrator/);
    const { status } = (await c.admin["users.get"]({ name: "joe" })).spec;
    assert.deepEqual(status, {
      is_locked: true,
      locked_time: "2026-01-01T00:00:00.000Z",
      lock_expires: neverTime,
      locked_message: "on leave",
    });
    assert.deepEqual(await c.admin["locks.list"]({}), [{ kind: "user", name: "joe", message: "on leave" }]);
    await c.admin["users.unlock"]({ name: "joe" });
    assert.equal(await attempt(c, "joe", "correct horse", ""), "in");
    // What was closed stays closed.
    await assert.rejects(c.proxy["web_sessions.get"](session), denied);
    assert.deepEqual(
      c.events.flatMap((e) =>
        "name" in e && "user" in e && e.code.startsWith("T410") ? [[e.code, e.user, e.name]] : [],
      ),
      [
        ["T4100I", "builtin-Admin", "joe"],
        ["T4102I", "builtin-Admin", "joe"],
      ],
    );
  });

  test("a lock by failed logins is lifted, and the count begins anew", async () => {
    await using c = await cluster();
    await c.signUp("joe");
    for (let i = 0; i < 5; i++) await attempt(c, "joe", "wrong", "");
    assert.deepEqual(await c.admin["locks.list"]({}), [
      {
        kind: "user",
        name: "joe",
        until: "2026-01-01T00:20:00.000Z",
        message: "joe exceeded 5 failed login attempts",
      },
    ]);
    await c.admin["users.unlock"]({ name: "joe" });
    for (let i = 0; i < 4; i++)
      assert.equal(await attempt(c, "joe", "wrong", ""), "invalid username or password");
    assert.equal(await attempt(c, "joe", "correct horse", ""), "in");
    assert.deepEqual((await c.admin["users.get"]({ name: "joe" })).spec.status, { is_locked: false });
  });

  test("a file that changes the status is audited as the lock it is", async () => {
    await using c = await cluster();
    await c.addUser("joe");
    const put = (status: object) => c.admin["users.put"]({ user: account("joe", { status }), force: true });
    await put({ is_locked: true, locked_message: "gone" });
    await put({ is_locked: true });
    await put({ is_locked: false });
    await put({ is_locked: false });
    assert.deepEqual(
      c.events.map((e) => e.code).filter((code) => code.startsWith("T410")),
      ["T4100I", "T4102I"],
    );
  });

  for (const name of ["203.0.113.9", "203.0.113.9/32"]) {
    test(`a source is unlocked by ${name}`, async () => {
      await using c = await cluster();
      await c.signUp("joe");
      await sprayAll(c, () => "203.0.113.9:1");
      const [lock, ...more] = await c.admin["locks.list"]({});
      assert.deepEqual([lock?.kind, lock?.name, more.length], ["source", "203.0.113.9/32", 0]);
      await c.admin["sources.unlock"]({ source: name });
      assert.equal(await attempt(c, "joe", "correct horse", "203.0.113.9:1"), "in");
      const event = c.events.find((e) => e.code === "T4103I");
      assert.ok(event?.code === "T4103I" && event.source === "203.0.113.9/32");
      await assert.rejects(c.admin["sources.unlock"]({ source: name }), (err) => Fault.is(err, "not_found"));
    });
  }

  test("nobody is locked who is not there", async () => {
    await using c = await cluster();
    for (const call of ["users.lock", "users.unlock"] as const)
      await assert.rejects(c.admin[call]({ name: "joe" }), (err) => Fault.is(err, "not_found"));
    assert.deepEqual(await c.admin["users.list"]({}), []);
  });

  test("S48: a condition on the account holds for locks too", async () => {
    await using c = await cluster();
    const rule = {
      resources: ["user"],
      verbs: ["list", "update"],
      where: 'equals(resource.metadata.name, "ann")',
    };
    await c.admin["roles.put"]({ role: role("helper", { allow: { rules: [rule] } }) });
    for (const name of ["boss", "ann", "joe"])
      await c.addUser(name, { roles: [name === "boss" ? "helper" : "admin"] });
    const boss = c.user("boss", ["helper"]);
    await boss["users.lock"]({ name: "ann" });
    await c.admin["users.lock"]({ name: "joe" });
    assert.deepEqual(
      (await boss["locks.list"]({})).map(({ name }) => name),
      ["ann"],
    );
    await boss["users.unlock"]({ name: "ann" });
    for (const attempt of [
      boss["users.lock"]({ name: "joe" }),
      boss["users.unlock"]({ name: "joe" }),
      boss["users.change"]({ name: "joe", roles: ["helper"] }),
      boss["users.reset"]({ name: "joe", ttl: minute }),
      boss["sources.unlock"]({ source: "203.0.113.9" }),
    ])
      await assert.rejects(attempt, denied);
  });
});

suite("a flood of invented names and addresses", () => {
  test("keeps the newest so many records, and every one that has to stay", async () => {
    const clock = new TestClock();
    await using backend = new MemoryBackend(clock);
    const stays = ({ key }: { key: string }): boolean => key === "/x/000";
    const crowd = new Crowd({ backend, prefix: "/x/" }, stays, { most: 40, countEvery: 10 });
    await backend.put({ key: "/y/other", value: new Uint8Array(), expires: clock.now() + minute });
    const keys = async (): Promise<string[]> => {
      const found: string[] = [];
      for await (const { key } of backend.range("/")) found.push(key);
      return found;
    };
    let peak = 0;
    for (let i = 0; i < 200; i++) {
      await clock.advance(1);
      const key = `/x/${String(i).padStart(3, "0")}`;
      await backend.put({ key, value: new Uint8Array(), expires: clock.now() + minute });
      await crowd.added();
      peak = Math.max(peak, (await keys()).length);
    }
    assert.ok(peak <= 40 + 10 + 2, String(peak));
    const left = await keys();
    assert.equal(left[0], "/x/000");
    assert.equal(left.at(-2), "/x/199");
    assert.equal(left.at(-1), "/y/other");
  });

  test("does not let a guesser of a real name begin anew", async () => {
    await using c = await cluster();
    const joe = account("joe");
    await c.admin["users.put"]({ user: joe });
    const attempts = new Attempts(c.auth.parts, { most: 10, countEvery: 5 });
    for (let i = 0; i < 4; i++) await attempts.count("joe", joe);
    for (let i = 0; i < 100; i++) await attempts.count(`invented-${i}`, undefined);
    const kept = (await c.auth.parts.store.attempts.list()).map(({ user }) => user);
    assert.ok(kept.length <= 16, String(kept.length));
    assert.ok(kept.includes("joe") && kept.includes("invented-99"), String(kept));
    await assert.rejects(attempts.count("joe", joe), /locked until/);
  });
});
