import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { hour, second } from "#core/clock";
import { Fault } from "#core/errors";
import { AuthPreference, ProxyServer } from "#model";
import { codeAt, stepAt } from "../factors/otp.ts";
import { account, cluster, hostId, role, seedOf } from "../testing/cluster.ts";

const otp = { preference: AuthPreference.parse({ second_factor: "otp" }) };
const unknown = (err: unknown): boolean =>
  Fault.is(err, "not_found") && err.message === "expired or incorrect signup token";
const invite = { user: "joe", traits: { logins: ["root", "joe"] }, ttl: hour };

suite("signing up", () => {
  test("makes the account, opens a web session and uses the invitation up", async () => {
    await using c = await cluster();
    const { token, expires } = await c.admin["signups.create"](invite);
    assert.match(token, /^[0-9a-f]{32}$/);
    assert.equal(expires, c.clock.now() + hour);
    assert.deepEqual(await c.proxy["signups.get"]({ token }), { user: "joe", second_factor: "off" });
    const session = await c.proxy["signups.complete"]({ token, password: "correct horse" });
    assert.equal(session.user, "joe");
    const user = await c.admin["users.get"]({ name: "joe" });
    assert.deepEqual(user.spec.roles, ["admin"]);
    assert.deepEqual(user.spec.traits, { logins: ["root", "joe"] });
    assert.equal(user.spec.created_by?.user.name, "builtin-Admin");
    await assert.rejects(c.proxy["signups.complete"]({ token, password: "correct horse" }), unknown);
    assert.deepEqual(
      c.events.map((e) => e.code).filter((code) => code !== "T4020I"),
      ["T4003I", "T1002I", "T1000I"],
    );
  });

  test("AUTH-34: a page fetched again makes the code of the page before worthless", async () => {
    await using c = await cluster(otp);
    const { token } = await c.admin["signups.create"](invite);
    const page = await c.proxy["signups.get"]({ token });
    const first = seedOf(page.otp_uri) ?? "";
    assert.match(decodeURIComponent(page.otp_uri ?? ""), /Teleport:joe@auth\.example\.com/);
    const second = seedOf((await c.proxy["signups.get"]({ token })).otp_uri) ?? "";
    assert.notEqual(first, second);
    const complete = (seed: string) =>
      c.proxy["signups.complete"]({
        token,
        password: "correct horse",
        otp_token: codeAt(seed, stepAt(c.clock.now())),
      });
    await assert.rejects(complete(first), (err) => Fault.is(err, "access_denied"));
    await complete(second);
  });

  test("a second factor cannot be left out", async () => {
    await using c = await cluster(otp);
    const { token } = await c.admin["signups.create"](invite);
    await assert.rejects(c.proxy["signups.complete"]({ token, password: "correct horse" }), (err) =>
      Fault.is(err, "access_denied"),
    );
    await c.proxy["signups.get"]({ token });
    await assert.rejects(
      c.proxy["signups.complete"]({ token, password: "correct horse", otp_token: "000000" }),
      (err) => Fault.is(err, "access_denied"),
    );
    await c.auth.parts.store.preference.put(AuthPreference.parse({ second_factor: "webauthn" }));
    await assert.rejects(
      c.proxy["signups.complete"]({ token, password: "correct horse", otp_token: "000000" }),
      (err) => Fault.is(err, "access_denied"),
    );
  });

  test("S49: of a hundred who complete one invitation at once, one does", async () => {
    await using c = await cluster();
    const { token } = await c.admin["signups.create"](invite);
    const all = await Promise.allSettled(
      Array.from({ length: 100 }, (_, i) =>
        c.proxy["signups.complete"]({ token, password: `password ${i}` }),
      ),
    );
    assert.equal(all.filter((r) => r.status === "fulfilled").length, 1);
    for (const r of all) if (r.status === "rejected") assert.ok(unknown(r.reason), String(r.reason));
  });

  test("an invitation ends at its time", async () => {
    await using c = await cluster();
    const { token } = await c.admin["signups.create"]({ ...invite, ttl: 10 * second });
    await c.clock.advance(10 * second);
    await assert.rejects(c.proxy["signups.get"]({ token }), unknown);
    await assert.rejects(c.proxy["signups.complete"]({ token, password: "correct horse" }), unknown);
  });

  test("a revoked invitation is refused at once", async () => {
    await using c = await cluster();
    const { token } = await c.admin["signups.create"](invite);
    await c.admin["tokens.delete"]({ name: token });
    await assert.rejects(c.proxy["signups.get"]({ token }), unknown);
  });

  for (const [why, request, kind] of [
    ["more than 48 hours", { ...invite, ttl: 48 * hour + 1 }, "bad_parameter"],
    ["a role that does not exist", { ...invite, roles: ["ops"] }, "bad_parameter"],
    ["a name with a slash", { ...invite, user: "../joe" }, "bad_parameter"],
    ["someone who exists", { ...invite, user: "ann" }, "already_exists"],
  ] as const) {
    test(`no invitation for ${why}`, async () => {
      await using c = await cluster();
      await c.addUser("ann");
      await assert.rejects(
        c.admin["signups.create"]({
          ...request,
          roles: [...("roles" in request ? request.roles : ["admin"])],
        }),
        (err) => Fault.is(err, kind),
      );
    });
  }

  test("someone who was made meanwhile is not overwritten", async () => {
    await using c = await cluster();
    await c.admin["roles.put"]({ role: role("ops", {}) });
    const { token } = await c.admin["signups.create"](invite);
    await c.admin["users.put"]({ user: account("joe", { roles: ["ops"] }) });
    await assert.rejects(c.proxy["signups.complete"]({ token, password: "correct horse" }), (err) =>
      Fault.is(err, "already_exists"),
    );
    assert.deepEqual((await c.admin["users.get"]({ name: "joe" })).spec.roles, ["ops"]);
  });

  for (const password of ["12345", "x".repeat(129)]) {
    test(`AUTH-36: no password of ${password.length} characters`, async () => {
      await using c = await cluster();
      const { token } = await c.admin["signups.create"](invite);
      await assert.rejects(c.proxy["signups.complete"]({ token, password }), (err) =>
        Fault.is(err, "bad_parameter"),
      );
      await c.proxy["signups.complete"]({ token, password: "123456" });
    });
  }

  test("AUTH-32: the link leads to the proxy, or says where one would be", async () => {
    await using c = await cluster();
    const url = async (user: string) => (await c.admin["signups.create"]({ ...invite, user })).url;
    assert.match(await url("a"), /^https:\/\/<proxyhost>:3080\/web\/newuser\/[0-9a-f]{32}$/);
    const proxy = (spec: object): ProxyServer =>
      ProxyServer.parse({ kind: "proxy", version: "v2", metadata: { name: hostId }, spec });
    await c.proxy["proxies.announce"](proxy({ hostname: "px" }));
    assert.match(await url("b"), /^https:\/\/px:3080\/web\/newuser\//);
    await c.proxy["proxies.announce"](proxy({ hostname: "px", public_addr: "tele.example.com:443" }));
    assert.match(await url("c"), /^https:\/\/tele\.example\.com:443\/web\/newuser\//);
  });
});
