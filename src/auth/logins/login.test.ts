import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { MemoryBackend } from "#backend";
import { hour, minute, second, TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { AuthPreference } from "#model";
import { codeAt, stepAt } from "../factors/otp.ts";
import { account, type Cluster, cluster, publicKeys } from "../testing/cluster.ts";

const otp = { preference: AuthPreference.parse({ second_factor: "otp" }) };
const login = (c: Cluster, user: string, password: string, otp_token = "") =>
  c.proxy["logins.web"]({ user, password, otp_token, client_addr: "203.0.113.9" });
const refusal = async (attempt: Promise<unknown>): Promise<string> => {
  const err = await attempt.then(
    () => assert.fail("was let in"),
    (err: unknown) => err,
  );
  assert.ok(Fault.is(err, "access_denied"), String(err));
  return err.message;
};

suite("logins", () => {
  test("the right password is let in, and audited with the address", async () => {
    await using c = await cluster();
    await c.signUp("joe");
    c.events.length = 0;
    const session = await login(c, "joe", "correct horse");
    assert.equal(session.user, "joe");
    const [event] = c.events;
    assert.equal(event?.code, "T1000I");
    assert.ok(event.code === "T1000I" && event.user === "joe" && event.method === "local");
    assert.equal(event["addr.remote"], "203.0.113.9");
    assert.match(event.sid ?? "", /^[0-9a-f]{64}$/);
    assert.notEqual(event.sid, session.id);
  });

  test("AUTH-39: a refusal does not say what was wrong, and is audited", async () => {
    await using c = await cluster();
    await c.signUp("joe");
    await c.addUser("nopass");
    c.events.length = 0;
    for (const [user, password] of [
      ["joe", "wrong password"],
      ["nobody", "correct horse"],
      ["nopass", ""],
      ["", ""],
      ["a/b", "x"],
      ["é".repeat(255), "x"],
    ] as const)
      assert.equal(await refusal(login(c, user, password)), "invalid username or password");
    assert.deepEqual(
      c.events.map((e) => e.code),
      Array(6).fill("T1000W"),
    );
  });

  test("S21: a stranger's name costs the same hash and leaves the same traces", async () => {
    await using c = await cluster();
    await c.signUp("joe");
    const of = async (name: string) => {
      const messages: string[] = [];
      for (let i = 0; i < 6; i++)
        messages.push((await refusal(login(c, name, "wrong password"))).replace(name, "NAME"));
      return messages;
    };
    const strangers = await of("nobody");
    assert.deepEqual(await of("joe"), strangers);
    assert.match(strangers[5] ?? "", /locked until/);
  });

  test("S22: a code is good once, also for two logins at the same moment", async () => {
    await using c = await cluster(otp);
    const { seed } = await c.signUp("joe");
    const code = () => codeAt(seed, stepAt(c.clock.now()));
    assert.match(await refusal(login(c, "joe", "correct horse", code())), /second factor$/);
    await c.clock.advance(30 * second);
    const both = await Promise.allSettled([1, 2].map(() => login(c, "joe", "correct horse", code())));
    assert.deepEqual(both.map((r) => r.status).sort(), ["fulfilled", "rejected"]);
    const failure = c.events.findLast((e) => e.code === "T1000W");
    assert.equal(failure?.code === "T1000W" && failure.message, "previously used totp token");
  });

  test("S22: a code is good once also across two auth servers", async () => {
    const clock = new TestClock();
    await using backend = new MemoryBackend(clock);
    await using one = await cluster(otp, { clock, backend });
    await using two = await cluster(otp, { clock, backend });
    const { seed } = await one.signUp("joe");
    await clock.advance(30 * second);
    const code = codeAt(seed, stepAt(clock.now()));
    const both = await Promise.allSettled([one, two].map((c) => login(c, "joe", "correct horse", code)));
    assert.deepEqual(both.map((r) => r.status).sort(), ["fulfilled", "rejected"]);
  });

  test("a wrong password does not use a code up", async () => {
    await using c = await cluster(otp);
    const { seed } = await c.signUp("joe");
    await c.clock.advance(30 * second);
    const code = codeAt(seed, stepAt(c.clock.now()));
    await refusal(login(c, "joe", "wrong password", code));
    await login(c, "joe", "correct horse", code);
  });

  test("with a second factor on, a password alone is refused, and not for its own sake", async () => {
    await using c = await cluster(otp);
    await c.signUp("joe");
    assert.equal(await refusal(login(c, "joe", "correct horse")), "missing second factor");
    assert.equal(await refusal(login(c, "joe", "wrong password")), "missing second factor");
    assert.equal(
      await refusal(login(c, "joe", "correct horse", "000000")),
      "invalid username, password or second factor",
    );
  });

  test("an account without a second factor is refused where one is asked for", async () => {
    await using c = await cluster();
    await c.signUp("joe");
    await c.auth.parts.store.preference.put(otp.preference);
    assert.match(await refusal(login(c, "joe", "correct horse", "123456")), /second factor/);
    await c.auth.parts.store.preference.put(AuthPreference.parse({ second_factor: "webauthn" }));
    assert.match(await refusal(login(c, "joe", "correct horse", "123456")), /second factor/);
  });

  test("S23: with local logins off, every local path is refused", async () => {
    await using c = await cluster();
    await c.signUp("joe");
    const { token } = await c.admin["signups.create"]({ user: "ann", traits: {}, ttl: hour });
    await c.auth.parts.store.preference.put(
      AuthPreference.parse({ type: "oidc", second_factor: "off", local_auth: false }),
    );
    const credentials = { user: "joe", password: "correct horse" };
    const { ssh } = await publicKeys();
    for (const attempt of [
      c.proxy["logins.web"](credentials),
      c.proxy["logins.certs"]({ ...credentials, pub_key: ssh, ttl: hour }),
      c.proxy["users.change_password"]({ ...credentials, new_password: "another one" }),
      c.proxy["signups.get"]({ token }),
      c.proxy["signups.complete"]({ token, password: "correct horse" }),
      c.admin["signups.create"]({ user: "eve", traits: {}, ttl: hour }),
    ])
      assert.match(await refusal(attempt), /switched off/);
    assert.equal(c.events.filter((e) => e.code === "T1000W").length, 3);
  });
});

suite("lockout (AUTH-40)", () => {
  const fail = async (c: Cluster, times: number, name = "joe"): Promise<string> => {
    let last = "";
    for (let i = 0; i < times; i++) last = await refusal(login(c, name, "wrong password"));
    return last;
  };

  test("five failures in a row lock for 20 minutes, also against the right password", async () => {
    await using c = await cluster();
    await c.signUp("joe");
    assert.match(await fail(c, 4), /^invalid/);
    assert.equal(
      await fail(c, 1),
      "joe exceeds 5 failed login attempts, locked until 2026-01-01T00:20:00.000Z",
    );
    assert.match(await refusal(login(c, "joe", "correct horse")), /locked until/);
    const { status } = (await c.admin["users.get"]({ name: "joe" })).spec;
    assert.equal(status.is_locked, true);
    assert.equal(status.lock_expires, "2026-01-01T00:20:00.000Z");
    assert.ok(c.events.some((e) => e.code === "T4004W" && e.user === "joe"));
    await c.clock.advance(20 * minute);
    await login(c, "joe", "correct horse");
    assert.deepEqual((await c.admin["users.get"]({ name: "joe" })).spec.status, { is_locked: false });
  });

  test("a success starts the count anew, and so do 30 quiet minutes", async () => {
    await using c = await cluster();
    await c.signUp("joe");
    await fail(c, 4);
    await login(c, "joe", "correct horse");
    await fail(c, 4);
    await c.clock.advance(31 * minute);
    assert.match(await fail(c, 4), /^invalid/);
    await login(c, "joe", "correct horse");
  });

  test("many guesses at once are counted one by one", async () => {
    await using c = await cluster();
    await c.signUp("joe");
    const messages = await Promise.all(
      Array.from({ length: 20 }, () => refusal(login(c, "joe", "wrong password"))),
    );
    assert.equal(messages.filter((m) => m.startsWith("invalid")).length, 4);
    assert.equal(messages.filter((m) => m.includes("locked until")).length, 16);
  });

  test("a flood of guesses at one name is turned away, and keeps nobody else out", async () => {
    await using c = await cluster();
    await c.signUp("joe");
    await c.signUp("ann");
    const flood = Promise.allSettled(Array.from({ length: 60 }, () => login(c, "joe", "wrong password")));
    await login(c, "ann", "correct horse");
    const turnedAway = (await flood).filter(
      (r) => r.status === "rejected" && Fault.is(r.reason, "limit_exceeded"),
    );
    assert.equal(turnedAway.length, 28);
  });

  test("an administrator lifts it", async () => {
    await using c = await cluster();
    await c.signUp("joe");
    await fail(c, 5);
    const user = await c.admin["users.get"]({ name: "joe" });
    await c.admin["users.put"]({
      user: { ...user, spec: { ...user.spec, status: { is_locked: false } } },
      force: true,
    });
    assert.match(await fail(c, 4), /^invalid/);
    await login(c, "joe", "correct horse");
  });

  test("it does not stop certificates issued before; an administrator's lock does (AUTH-44)", async () => {
    await using c = await cluster();
    await c.signUp("joe");
    const joe = c.user("joe");
    await fail(c, 5);
    await joe["nodes.list"]({});
    const user = await c.admin["users.get"]({ name: "joe" });
    await c.admin["users.put"]({
      user: account("joe", { ...user.spec, status: { is_locked: true } }),
      force: true,
    });
    assert.match(await refusal(joe["nodes.list"]({})), /is locked/);
    assert.match(await refusal(login(c, "joe", "correct horse")), /is locked/);
    assert.match(await refusal(login(c, "joe", "wrong password")), /^invalid/);
  });

  test("an outage of the storage is no failure", async () => {
    await using c = await cluster();
    await c.signUp("joe");
    const { store } = c.auth.parts;
    const broken = { ...store, users: Object.create(store.users) };
    broken.users.find = async () => {
      throw new Fault("unreachable", "the storage is away");
    };
    const { Logins } = await import("./login.ts");
    const { SecurityKeys } = await import("../factors/security-keys.ts");
    const parts = { ...c.auth.parts, store: broken };
    const logins = new Logins(parts, new SecurityKeys(parts));
    const joe = { user: "joe", password: "wrong password", otp_token: "", client_addr: "" };
    for (let i = 0; i < 6; i++)
      await assert.rejects(logins.verify(joe), (err) => Fault.is(err, "unreachable"));
    await login(c, "joe", "correct horse");
  });
});

suite("change of password (AUTH-41)", () => {
  test("needs the old one, and takes the new one", async () => {
    await using c = await cluster();
    await c.signUp("joe");
    const change = (password: string, new_password: string) =>
      c.proxy["users.change_password"]({ user: "joe", password, new_password });
    await refusal(change("wrong password", "another one"));
    await change("correct horse", "another one");
    await refusal(login(c, "joe", "correct horse"));
    await login(c, "joe", "another one");
    assert.ok(c.events.some((e) => e.code === "T4005I"));
  });
  for (const password of ["short", "x".repeat(129)]) {
    test(`refuses a password of ${password.length} characters`, async () => {
      await using c = await cluster();
      await c.signUp("joe");
      await assert.rejects(
        c.proxy["users.change_password"]({ user: "joe", password: "correct horse", new_password: password }),
        (err) => Fault.is(err, "bad_parameter"),
      );
    });
  }
  test("wrong guesses of the old one count as failed logins", async () => {
    await using c = await cluster();
    await c.signUp("joe");
    const guess = () =>
      refusal(
        c.proxy["users.change_password"]({ user: "joe", password: "wrong", new_password: "another one" }),
      );
    for (let i = 0; i < 5; i++) await guess();
    assert.match(await guess(), /locked until/);
  });
});
