import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { hour, minute } from "#core/clock";
import { Fault } from "#core/errors";
import { readSubject, validity } from "#pki";
import { account, type Cluster, cluster, publicKeys, role } from "../testing/cluster.ts";

const over = (err: unknown): boolean => Fault.is(err, "access_denied");
const open = async (): Promise<{ c: Cluster; session: { user: string; id: string; bearer: string } }> => {
  const c = await cluster();
  const { session } = await c.signUp("joe");
  return { c, session: { user: session.user, id: session.id, bearer: session.bearer } };
};

suite("web sessions (AUTH-50)", () => {
  test("last 12 hours, their token 10 minutes; both are 32 hex digits", async () => {
    await using c = await cluster();
    const { session } = await c.signUp("joe");
    assert.match(session.id, /^[0-9a-f]{32}$/);
    assert.match(session.bearer, /^[0-9a-f]{32}$/);
    assert.equal(session.expires, c.clock.now() + 12 * hour);
    assert.equal(session.bearer_expires, c.clock.now() + 10 * minute);
  });

  test("no longer than the roles allow", async () => {
    await using c = await cluster();
    await c.admin["roles.put"]({ role: role("short", { options: { max_session_ttl: "5m" } }) });
    const { session } = await c.signUp("joe", "correct horse", { roles: ["short"] });
    assert.equal(session.expires, c.clock.now() + 5 * minute);
    assert.equal(session.bearer_expires, session.expires);
  });

  test("show the user, and where the user may log in", async () => {
    const { c, session } = await open();
    await using _ = c;
    const seen = await c.proxy["web_sessions.get"](session);
    assert.equal(seen.user.metadata.name, "joe");
    assert.deepEqual(seen.logins, ["joe"]);
    assert.equal(seen.cluster_name, "main");
  });

  for (const [why, change] of [
    ["another id", { id: "0".repeat(32) }],
    ["another token", { bearer: "0".repeat(32) }],
    ["no token", { bearer: "" }],
    ["another user", { user: "ann" }],
    ["a user that is a path", { user: "joe/../joe" }],
  ] as const) {
    test(`are refused with ${why}`, async () => {
      const { c, session } = await open();
      await using _ = c;
      await c.signUp("ann");
      for (const name of ["web_sessions.get", "web_sessions.renew"] as const)
        await assert.rejects(c.proxy[name]({ ...session, ...change }), over);
      await c.proxy["web_sessions.delete"]({ ...session, ...change });
      await c.proxy["web_sessions.get"](session);
    });
  }

  test("end with their token unless renewed, and with the login at last", async () => {
    const { c, session } = await open();
    await using _ = c;
    let now: { user: string; id: string; bearer: string } = session;
    const end = c.clock.now() + 12 * hour;
    while (c.clock.now() < end - 9 * minute) {
      await c.clock.advance(9 * minute);
      const next = await c.proxy["web_sessions.renew"](now);
      assert.equal(next.expires, end);
      assert.notEqual(next.id, now.id);
      assert.notEqual(next.bearer, now.bearer);
      now = { user: "joe", id: next.id, bearer: next.bearer };
    }
    await c.clock.advance(9 * minute);
    await assert.rejects(c.proxy["web_sessions.get"](now), over);
    await assert.rejects(c.proxy["web_sessions.renew"](now), over);
  });

  test("a renewed one answers for another minute, for requests that were on their way", async () => {
    const { c, session } = await open();
    await using _ = c;
    await c.proxy["web_sessions.renew"](session);
    await c.proxy["web_sessions.get"](session);
    await c.clock.advance(minute);
    await assert.rejects(c.proxy["web_sessions.get"](session), over);
  });

  for (const [why, end] of [
    [
      "logging out",
      (c: Cluster, session: { user: string; id: string; bearer: string }) =>
        c.proxy["web_sessions.delete"](session),
    ],
    [
      "a new password",
      (c: Cluster) =>
        c.proxy["users.change_password"]({
          user: "joe",
          password: "correct horse",
          new_password: "another one",
        }),
    ],
    [
      "an administrator's lock",
      (c: Cluster) =>
        c.admin["users.put"]({ user: account("joe", { status: { is_locked: true } }), force: true }),
    ],
    ["deleting the user", (c: Cluster) => c.admin["users.delete"]({ name: "joe" })],
  ] as const) {
    test(`S46: ${why} ends them at once, for good`, async () => {
      const { c, session } = await open();
      await using _ = c;
      await end(c, session);
      await assert.rejects(c.proxy["web_sessions.get"](session), over);
      await c.admin["users.put"]({ user: account("joe"), force: true });
      await assert.rejects(c.proxy["web_sessions.get"](session), over);
    });
  }

  test("logging out works twice, and with a token that is over", async () => {
    const { c, session } = await open();
    await using _ = c;
    await c.clock.advance(11 * minute);
    await c.proxy["web_sessions.delete"](session);
    await c.proxy["web_sessions.delete"](session);
  });

  test("bring certificates for the proxy's keys that end with the session", async () => {
    const { c, session } = await open();
    await using _ = c;
    await c.clock.advance(5 * minute);
    const { ssh, tls } = await publicKeys();
    const certs = await c.proxy["web_sessions.certs"]({ ...session, pub_key: ssh, tls_pub_key: tls });
    assert.equal(readSubject(certs.tls_cert ?? "").commonName, "joe");
    assert.equal(validity(certs.tls_cert ?? "").notAfter, c.clock.now() + 12 * hour - 5 * minute);
    await assert.rejects(c.proxy["web_sessions.certs"]({ ...session, bearer: "x", pub_key: ssh }), over);
  });

  test("nothing in the storage opens one", async () => {
    const { c, session } = await open();
    await using _ = c;
    for await (const item of c.backend.range("/")) {
      const text = item.key + Buffer.from(item.value).toString();
      assert.ok(
        !text.includes(session.id) && !text.includes(session.bearer) && !text.includes("correct horse"),
      );
    }
  });
});
