import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { hour, minute, second } from "#core/clock";
import { Fault, type FaultKind } from "#core/errors";
import { AuthPreference, ProxyServer } from "#model";
import { codeAt, stepAt } from "../factors/otp.ts";
import { account, type Cluster, cluster, hostId, joinRequest, role, seedOf } from "../testing/cluster.ts";

const otp = { preference: AuthPreference.parse({ second_factor: "otp" }) };
const kind = (is: FaultKind) => (err: unknown) => Fault.is(err, is);
const unknown = (err: unknown): boolean =>
  Fault.is(err, "not_found") && err.message === "expired or incorrect signup token";
const login = (c: Cluster, password: string, otp_token = "") =>
  c.proxy["logins.web"]({ user: "joe", password, otp_token, client_addr: "203.0.113.9:1" });
const half = ({ user, id, bearer }: { user: string; id: string; bearer: string }) => ({ user, id, bearer });
const reset = (c: Cluster, ttl = hour) => c.admin["users.reset"]({ name: "joe", ttl });
const complete = (c: Cluster, token: string, otp_token = "") =>
  c.proxy["signups.complete"]({ token, password: "new password", otp_token, client_addr: "203.0.113.9:1" });

suite("resetting an account", () => {
  test("voids password, second factor and web sessions at once, and lets its owner choose new ones", async () => {
    await using c = await cluster(otp);
    const { seed: old, session } = await c.signUp("joe");
    await c.clock.advance(30 * second);
    const { token, expires } = await reset(c);
    assert.match(token, /^[0-9a-f]{32}$/);
    assert.equal(expires, c.clock.now() + hour);
    const code = (seed: string) => codeAt(seed, stepAt(c.clock.now()));
    await assert.rejects(login(c, "correct horse", code(old)), kind("access_denied"));
    await assert.rejects(c.proxy["web_sessions.get"](half(session)), kind("access_denied"));

    const page = await c.proxy["signups.get"]({ token });
    assert.deepEqual([page.user, page.second_factor, page.reset], ["joe", "otp", true]);
    const seed = seedOf(page.otp_uri) ?? "";
    assert.notEqual(seed, old);
    await assert.rejects(complete(c, token), kind("access_denied"));
    await assert.rejects(complete(c, token, code(old)), kind("access_denied"));
    const opened = await complete(c, token, code(seed));
    assert.equal((await c.proxy["web_sessions.get"](half(opened))).user.metadata.name, "joe");
    await assert.rejects(complete(c, token, code(seed)), unknown);
    await c.clock.advance(30 * second);
    await assert.rejects(login(c, "correct horse", code(seed)), kind("access_denied"));
    await assert.rejects(login(c, "new password", code(old)), kind("access_denied"));
    await login(c, "new password", code(seed));
  });

  test("changes nothing else of the account, and is audited", async () => {
    await using c = await cluster();
    await c.signUp("joe", "correct horse", { logins: ["root", "joe"] });
    const before = await c.admin["users.get"]({ name: "joe" });
    c.events.length = 0;
    const { token } = await reset(c);
    await complete(c, token);
    assert.deepEqual(await c.admin["users.get"]({ name: "joe" }), before);
    const [made, changed, entered] = c.events;
    assert.equal(made?.code === "T4003I" && made.reset && made.name, "joe");
    assert.equal(made?.code === "T4003I" && made.user, "builtin-Admin");
    assert.deepEqual(changed?.code === "T4005I" && [changed.user, changed.by, changed["addr.remote"]], [
      "joe",
      "builtin-Admin",
      "203.0.113.9:1",
    ]);
    assert.deepEqual([entered?.code, c.events.length], ["T1000I", 3]);
  });

  test("gives a password to an account that has none, such as one from a file, and codes to one from before them", async () => {
    await using c = await cluster();
    await c.addUser("joe");
    await assert.rejects(login(c, ""), kind("access_denied"));
    await complete(c, (await reset(c)).token);
    await login(c, "new password");
    await c.auth.parts.store.preference.put(otp.preference);
    await assert.rejects(login(c, "new password", "000000"), kind("access_denied"));
    const { token } = await reset(c);
    const seed = seedOf((await c.proxy["signups.get"]({ token })).otp_uri) ?? "";
    await complete(c, token, codeAt(seed, stepAt(c.clock.now())));
    await c.clock.advance(30 * second);
    await login(c, "new password", codeAt(seed, stepAt(c.clock.now())));
  });

  test("is listed as a token until it is used, and leads to its page", async () => {
    await using c = await cluster();
    await c.proxy["proxies.announce"](
      ProxyServer.parse({
        ...{ kind: "proxy", version: "v2", metadata: { name: hostId } },
        spec: { hostname: "px", public_addr: "tele.example.com:443" },
      }),
    );
    await c.signUp("joe");
    const { token, url } = await reset(c);
    assert.equal(url, `https://tele.example.com:443/web/reset/${token}`);
    const listed = async () =>
      (await c.admin["tokens.list"]({})).find(({ metadata }) => metadata.name === token);
    assert.deepEqual((await listed())?.spec, { roles: ["reset"], user: "joe" });
    await complete(c, token);
    assert.equal(await listed(), undefined);
  });

  test("ends at its time, by tctl tokens rm, and by the next one", async () => {
    await using c = await cluster();
    await c.signUp("joe");
    const refused = async (token: string): Promise<void> => {
      await assert.rejects(c.proxy["signups.get"]({ token }), unknown);
      await assert.rejects(complete(c, token), unknown);
    };
    const first = await reset(c, minute);
    await c.clock.advance(minute);
    await refused(first.token);
    const second = await reset(c);
    await c.admin["tokens.delete"]({ name: second.token });
    await refused(second.token);
    const third = await reset(c);
    const fourth = await reset(c);
    await refused(third.token);
    await complete(c, fourth.token);
  });

  test("S49: of 20 who use one at once, one does", async () => {
    await using c = await cluster();
    await c.signUp("joe");
    const { token } = await reset(c);
    const all = await Promise.allSettled(
      Array.from({ length: 20 }, (_, i) => c.proxy["signups.complete"]({ token, password: `password ${i}` })),
    );
    assert.equal(all.filter((r) => r.status === "fulfilled").length, 1);
    for (const r of all) if (r.status === "rejected") assert.ok(unknown(r.reason), String(r.reason));
    const winner = all.findIndex((r) => r.status === "fulfilled");
    await login(c, `password ${winner}`);
  });

  test("does not bring back who was deleted meanwhile, nor open the account of the next of the name", async () => {
    await using c = await cluster();
    await c.signUp("joe");
    const { token } = await reset(c);
    await c.admin["users.delete"]({ name: "joe" });
    await assert.rejects(complete(c, token), unknown);
    await assert.rejects(c.admin["users.get"]({ name: "joe" }), kind("not_found"));
    await c.addUser("joe");
    await assert.rejects(complete(c, token), unknown);
  });

  test("nor who ran out meanwhile", async () => {
    await using c = await cluster();
    await c.signUp("joe");
    const ends = { expires: new Date(c.clock.now() + minute).toISOString() };
    await c.admin["users.put"]({ user: account("joe", ends), force: true });
    const { token } = await reset(c);
    await c.clock.advance(minute);
    await assert.rejects(c.proxy["signups.get"]({ token }), unknown);
    await assert.rejects(complete(c, token), unknown);
    await c.addUser("joe");
    await assert.rejects(complete(c, token), unknown);
  });

  test("lifts a lock by failed logins when it is used, an administrator's not at all", async () => {
    await using c = await cluster();
    await c.signUp("joe");
    for (let i = 0; i < 5; i++) await login(c, "wrong").catch(() => {});
    const first = await reset(c);
    await complete(c, first.token);
    await login(c, "new password");
    assert.deepEqual(await c.admin["locks.list"]({}), []);
    await c.admin["users.lock"]({ name: "joe" });
    const { token } = await reset(c);
    await assert.rejects(c.proxy["signups.get"]({ token }), kind("access_denied"));
    await assert.rejects(complete(c, token), kind("access_denied"));
    await c.admin["users.unlock"]({ name: "joe" });
    await complete(c, token);
  });

  for (const [what, begin] of [
    ["a login", (c: Cluster) => login(c, "correct horse")],
    [
      "a change of password",
      (c: Cluster) =>
        c.proxy["users.change_password"]({
          ...{ user: "joe", password: "correct horse", new_password: "the thief's" },
        }),
    ],
  ] as const) {
    test(`has the last word over ${what} that is under way`, async () => {
      await using c = await cluster({ passwordCost: { memory: 8192, passes: 4 } });
      await c.signUp("joe");
      const under = begin(c).then(
        () => "done",
        (err: unknown) => err,
      );
      // Long enough for it to read the password of before; to check it takes a thread.
      await new Promise<void>((resolve) => setImmediate(resolve));
      await reset(c);
      assert.ok(kind("access_denied")(await under), String(await under));
      await assert.rejects(login(c, "the thief's"), kind("access_denied"));
      assert.equal((await c.auth.parts.store.webSessions("joe").list()).length, 0);
    });
  }

  test("S50: the token is good for its page alone, and no other token for it", async () => {
    await using c = await cluster();
    await c.signUp("joe");
    const { token } = await reset(c);
    for (const as of ["Node", "Proxy", "Auth"] as const)
      await assert.rejects(
        c.stranger["hosts.join"](await joinRequest(as, { token })),
        (err) => Fault.is(err, "access_denied") && /the token is not valid/.test(err.message),
      );
    const made = await c.admin["tokens.create"]({ roles: ["node"], ttl: hour });
    await assert.rejects(complete(c, made.metadata.name), unknown);
    await complete(c, token);
  });

  test("S23: is refused where local logins are off", async () => {
    await using c = await cluster();
    await c.signUp("joe");
    const { token } = await reset(c);
    await c.auth.parts.store.preference.put(
      AuthPreference.parse({ type: "oidc", second_factor: "off", local_auth: false }),
    );
    for (const attempt of [reset(c), c.proxy["signups.get"]({ token }), complete(c, token)])
      await assert.rejects(attempt, /switched off/);
  });

  test("S72: its token is in no log and no event, and only its hash in the storage's keys", async () => {
    await using c = await cluster(otp);
    await c.signUp("joe");
    const { token } = await reset(c);
    const seed = seedOf((await c.proxy["signups.get"]({ token })).otp_uri) ?? "";
    await complete(c, token, "000000").catch(() => {});
    await complete(c, token, codeAt(seed, stepAt(c.clock.now())));
    const written = JSON.stringify([c.log.lines, c.events]);
    for (const secret of [token, seed, "new password"]) assert.ok(!written.includes(secret), secret);
  });

  for (const [why, prepare, ttl, is] of [
    ["nobody", async () => {}, hour, "not_found"],
    ["more than 48 hours", (c: Cluster) => c.addUser("joe"), 48 * hour + 1, "bad_parameter"],
    [
      "who logs in by a connector",
      (c: Cluster) =>
        c.addUser("joe", {
          created_by: {
            user: { name: "x" },
            connector: { type: "github", id: "github", identity: "joe" },
          },
        }),
      hour,
      "bad_parameter",
    ],
  ] as const) {
    test(`is none for ${why}`, async () => {
      await using c = await cluster();
      await prepare(c);
      await assert.rejects(reset(c, ttl), kind(is));
      assert.equal((await c.auth.parts.store.signups.list()).length, 0);
    });
  }
});

suite("what an account leaves behind", () => {
  test("AUTH-43: nothing for the next of its name, also when it ran out by itself", async () => {
    await using c = await cluster();
    const { session } = await c.signUp("joe");
    const ends = { expires: new Date(c.clock.now() + hour).toISOString() };
    await c.admin["users.put"]({ user: account("joe", ends), force: true });
    await c.clock.advance(9 * minute);
    const renewed = await c.proxy["web_sessions.renew"](half(session));
    await c.clock.advance(hour - 18 * minute);
    const later = await c.proxy["web_sessions.renew"](half(renewed)).catch(() => undefined);
    assert.equal(later, undefined);
    await c.clock.advance(9 * minute);
    await assert.rejects(login(c, "correct horse"), kind("access_denied"));
    await c.addUser("joe");
    await assert.rejects(login(c, "correct horse"), kind("access_denied"));
    assert.equal(await c.auth.parts.store.passwords.find("joe"), undefined);
    assert.equal((await c.auth.parts.store.webSessions("joe").list()).length, 0);
  });

  test("AUTH-43: password and seed of who ran out are swept away within the hour, and nobody else's", async () => {
    await using c = await cluster(otp);
    for (const name of ["joe", "ann"]) await c.signUp(name);
    const { store } = c.auth.parts;
    const ends = { expires: new Date(c.clock.now() + minute).toISOString() };
    await c.admin["users.put"]({ user: account("joe", ends), force: true });
    await c.clock.advance(hour);
    await c.clock.advance(minute);
    const names = async () => [...(await store.passwords.list()), ...(await store.otps.list())];
    assert.deepEqual(
      (await names()).map(({ user }) => user),
      ["ann", "ann"],
    );
  });

  test("a web session ends with the account", async () => {
    await using c = await cluster();
    await c.signUp("joe");
    const end = c.clock.now() + 2 * hour;
    const ends = { expires: new Date(end).toISOString() };
    await c.admin["users.put"]({ user: account("joe", ends), force: true });
    assert.equal((await login(c, "correct horse")).expires, end);
  });

  test("AUTH-44: a certificate of before is not good for the next of the name", async () => {
    await using c = await cluster();
    await c.addUser("joe");
    const issued = (validFrom: number) =>
      c.as({
        ...{ kind: "user", user: "joe", roles: ["admin"], logins: [], traits: {}, cluster: "main" },
        ...{ validFrom, expires: c.clock.now() + 10 * hour },
      });
    const old = issued(c.clock.now() - minute);
    await old["nodes.list"]({});
    await c.clock.advance(hour);
    // What an administrator changes of an account leaves it the same account.
    await c.admin["users.put"]({ user: account("joe"), force: true });
    await old["nodes.list"]({});
    await c.admin["users.delete"]({ name: "joe" });
    await c.addUser("joe");
    await assert.rejects(old["nodes.list"]({}), /earlier account of the name joe/);
    await issued(c.clock.now() - minute)["nodes.list"]({});
  });

  test("of several invitations for one name one is taken up, and the others are void", async () => {
    await using c = await cluster();
    const invite = () => c.admin["signups.create"]({ user: "joe", traits: {}, ttl: hour });
    const [first, second] = [await invite(), await invite()];
    const other = await c.admin["signups.create"]({ user: "ann", traits: {}, ttl: hour });
    await c.proxy["signups.get"]({ token: first.token });
    await complete(c, second.token);
    await assert.rejects(complete(c, first.token), unknown);
    await c.admin["users.delete"]({ name: "joe" });
    await assert.rejects(complete(c, first.token), unknown);
    await c.proxy["signups.get"]({ token: other.token });
  });

  test("an invitation of before a deletion brings nobody back", async () => {
    await using c = await cluster();
    const { token } = await c.admin["signups.create"]({ user: "joe", traits: {}, ttl: hour });
    await c.addUser("joe");
    await c.admin["users.delete"]({ name: "joe" });
    await assert.rejects(complete(c, token), unknown);
  });
});

suite("changing an account", () => {
  test("replaces roles and the traits that are named, and keeps all else, a lock too", async () => {
    await using c = await cluster();
    await c.admin["roles.put"]({ role: role("dev", {}) });
    await c.signUp("joe", "correct horse", { logins: ["joe"] });
    for (let i = 0; i < 5; i++) await login(c, "wrong").catch(() => {});
    const before = await c.admin["users.get"]({ name: "joe" });
    await c.admin["users.change"]({ name: "joe", roles: ["dev"] });
    await c.admin["users.change"]({ name: "joe", traits: { kubernetes_groups: ["ops"] } });
    const after = await c.admin["users.get"]({ name: "joe" });
    assert.deepEqual(after, {
      ...before,
      spec: {
        ...before.spec,
        roles: ["dev"],
        traits: { logins: ["joe"], kubernetes_groups: ["ops"] },
      },
    });
    assert.equal(after.spec.status.is_locked, true);
    assert.deepEqual(
      c.events.flatMap((e) => (e.code === "T1002I" ? [[e.user, e.roles, e.by]] : [])).slice(1),
      [
        ["joe", ["dev"], "builtin-Admin"],
        ["joe", ["dev"], "builtin-Admin"],
      ],
    );
  });
  test("to a role that there is none of, or of nobody, is refused", async () => {
    await using c = await cluster();
    await c.addUser("joe");
    await assert.rejects(c.admin["users.change"]({ name: "joe", roles: ["none"] }), kind("bad_parameter"));
    await assert.rejects(c.admin["users.change"]({ name: "ann", roles: ["admin"] }), kind("not_found"));
  });
});

suite("a change of password (AUTH-41)", () => {
  test("S46: ends all web sessions of before and opens a new one, also for the browser that changes it", async () => {
    await using c = await cluster();
    const { session } = await c.signUp("joe");
    const other = await login(c, "correct horse");
    const opened = await c.proxy["users.change_password"]({
      ...{ user: "joe", password: "correct horse", new_password: "another one" },
      client_addr: "203.0.113.9:1",
    });
    for (const before of [session, other])
      await assert.rejects(c.proxy["web_sessions.get"](half(before)), kind("access_denied"));
    await c.proxy["web_sessions.get"](half(opened));
    const event = c.events.find((e) => e.code === "T4005I");
    assert.equal(event?.code === "T4005I" && event["addr.remote"], "203.0.113.9:1");
  });
  test("asks for a code that was not used yet", async () => {
    await using c = await cluster(otp);
    const { seed } = await c.signUp("joe");
    const change = (otp_token: string) =>
      c.proxy["users.change_password"]({
        ...{ user: "joe", password: "correct horse", new_password: "another one" },
        otp_token,
      });
    const code = () => codeAt(seed, stepAt(c.clock.now()));
    await assert.rejects(change(""), /missing second factor/);
    await assert.rejects(change(code()), kind("access_denied"));
    await c.clock.advance(30 * second);
    await change(code());
  });
});
