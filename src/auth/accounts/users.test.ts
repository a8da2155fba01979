import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { hour, second } from "#core/clock";
import { Fault } from "#core/errors";
import { neverTime } from "#model";
import { account, cluster, role } from "../testing/cluster.ts";

const kind = (is: "access_denied" | "already_exists" | "bad_parameter" | "not_found") => (err: unknown) =>
  Fault.is(err, is);
const manager = (where?: string) =>
  role("manager", {
    allow: {
      rules: [
        {
          resources: ["user", "role", "token", "node"],
          verbs: ["list", "read", "create", "update", "delete"],
          ...(where !== undefined && { where }),
        },
      ],
    },
  });

suite("users", () => {
  test("are made once, changed with force, and come back as they were given", async () => {
    await using c = await cluster();
    const joe = account("joe", { traits: { logins: ["joe"], "odd name": ['"x"', "é"] } });
    assert.deepEqual(await c.admin["users.put"]({ user: joe }), { created: true });
    await assert.rejects(
      c.admin["users.put"]({ user: joe }),
      (err) => kind("already_exists")(err) && /user 'joe' already exists/.test(String(err)),
    );
    const stored = await c.admin["users.get"]({ name: "joe" });
    assert.deepEqual(stored.spec.traits, joe.spec.traits);
    assert.deepEqual(stored.spec.created_by, {
      time: "2026-01-01T00:00:00.000Z",
      user: { name: "builtin-Admin" },
    });
    assert.deepEqual(await c.admin["users.put"]({ user: stored, force: true }), { created: false });
    assert.deepEqual(await c.admin["users.get"]({ name: "joe" }), stored);
    assert.deepEqual(
      c.events.filter((e) => e.code === "T1002I").map((e) => e.code === "T1002I" && e.by),
      ["builtin-Admin", "builtin-Admin"],
    );
  });

  test("a changed account keeps its password", async () => {
    await using c = await cluster();
    await c.signUp("joe");
    await c.admin["users.put"]({ user: account("joe"), force: true });
    await c.proxy["logins.web"]({ user: "joe", password: "correct horse" });
  });

  test("AUTH-42: a deleted account leaves nothing behind, also not for the next of its name", async () => {
    await using c = await cluster();
    // With a dot: base64, in which keys are stored, may hold any letters.
    const name = "j.doe";
    await c.signUp(name);
    await c.proxy["logins.web"]({ user: name, password: "wrong password" }).catch(() => {});
    await c.admin["users.delete"]({ name });
    assert.ok(c.events.some((e) => e.code === "T1003I" && e.user === name && e.by === "builtin-Admin"));
    for await (const item of c.backend.range("/"))
      assert.ok(!(item.key + Buffer.from(item.value)).includes(name), item.key);
    await assert.rejects(c.admin["users.delete"]({ name }), kind("not_found"));
    await c.addUser(name);
    await assert.rejects(
      c.proxy["logins.web"]({ user: name, password: "correct horse" }),
      kind("access_denied"),
    );
  });

  test("AUTH-44: a certificate of a deleted user is refused at once", async () => {
    await using c = await cluster();
    await c.addUser("joe");
    const joe = c.user("joe");
    await joe["nodes.list"]({});
    await c.admin["users.delete"]({ name: "joe" });
    await assert.rejects(joe["nodes.list"]({}), kind("access_denied"));
  });

  test("AUTH-43: an account that expires is gone then; the zero time is never", async () => {
    await using c = await cluster();
    await c.addUser("joe", { expires: new Date(c.clock.now() + hour).toISOString() });
    await c.addUser("ann", { expires: neverTime });
    await c.clock.advance(hour);
    await assert.rejects(c.admin["users.get"]({ name: "joe" }), kind("not_found"));
    await c.admin["users.get"]({ name: "ann" });
  });

  test("a role that does not exist is not given", async () => {
    await using c = await cluster();
    await assert.rejects(
      c.admin["users.put"]({ user: account("joe", { roles: ["ops"] }) }),
      kind("bad_parameter"),
    );
  });

  test("S48: a condition on the resource holds at every call", async () => {
    await using c = await cluster();
    await c.admin["roles.put"]({ role: manager('equals(resource.metadata.name, "ann")') });
    await c.addUser("boss", { roles: ["manager"] });
    await c.addUser("joe");
    const boss = c.user("boss", ["manager"]);
    await boss["users.put"]({ user: account("ann") });
    await boss["users.get"]({ name: "ann" });
    assert.deepEqual(
      (await boss["users.list"]({})).map((u) => u.metadata.name),
      ["ann"],
    );
    assert.deepEqual(await boss["tokens.list"]({}), []);
    assert.deepEqual(await boss["roles.list"]({}), []);
    for (const attempt of [
      boss["users.get"]({ name: "joe" }),
      boss["users.put"]({ user: account("joe"), force: true }),
      boss["users.put"]({ user: account("eve") }),
      boss["users.delete"]({ name: "joe" }),
      boss["users.delete"]({ name: "nobody" }).catch((err) => {
        throw Fault.is(err, "not_found") ? new Fault("access_denied", "as good as refused") : err;
      }),
      boss["signups.create"]({ user: "eve", traits: {}, ttl: hour }),
      boss["roles.get"]({ name: "admin" }),
      boss["roles.put"]({ role: role("x", {}) }),
      boss["roles.delete"]({ name: "manager" }),
    ])
      await assert.rejects(attempt, kind("access_denied"));
  });

  test("who may only change users does not make one with force", async () => {
    await using c = await cluster();
    await c.admin["roles.put"]({
      role: role("editor", { allow: { rules: [{ resources: ["user"], verbs: ["update"] }] } }),
    });
    await c.addUser("ed", { roles: ["editor"] });
    const ed = c.user("ed", ["editor"]);
    await assert.rejects(ed["users.put"]({ user: account("new"), force: true }), kind("access_denied"));
    await ed["users.put"]({ user: account("ed", { roles: ["editor"] }), force: true });
  });

  test("a person who is refused is in the audit log, with what was asked for", async () => {
    await using c = await cluster();
    await c.addUser("joe");
    await c
      .user("joe")
      ["tokens.create"]({ roles: ["node"], ttl: hour })
      .catch(() => {});
    await c
      .user("joe")
      ["users.get"]({ name: "ann" })
      .catch(() => {});
    await c.stranger["users.list"]({}).catch(() => {});
    await c
      .user("joe")
      ["roles.delete"]({ name: "nothing" })
      .catch(() => {});
    const refused = c.events.filter((e) => e.code === "T4051W");
    assert.deepEqual(
      refused.map((e) => e.code === "T4051W" && [e.user, e.action, e.resource]),
      [
        ["joe", "create", "token"],
        ["joe", "get", "users"],
      ],
    );
  });

  test("a user reads the own record without a rule", async () => {
    await using c = await cluster();
    await c.addUser("joe");
    await c.addUser("ann");
    assert.equal((await c.user("joe")["users.get"]({ name: "joe" })).metadata.name, "joe");
    await assert.rejects(c.user("joe")["users.get"]({ name: "ann" }), kind("access_denied"));
  });
});

suite("roles", () => {
  test("are made once, changed with force, listed, deleted, and audited", async () => {
    await using c = await cluster();
    await c.admin["roles.put"]({ role: role("ops", {}) });
    await assert.rejects(c.admin["roles.put"]({ role: role("ops", {}) }), kind("already_exists"));
    await c.admin["roles.put"]({ role: role("ops", { allow: { logins: ["root"] } }), force: true });
    assert.deepEqual((await c.admin["roles.get"]({ name: "ops" })).spec.allow.logins, ["root"]);
    await c.admin["roles.delete"]({ name: "ops" });
    assert.deepEqual(
      (await c.admin["roles.list"]({})).map((r) => r.metadata.name),
      ["admin"],
    );
    assert.deepEqual(
      c.events.map((e) => e.code).filter((code) => code.startsWith("T401")),
      ["T4010I", "T4011I", "T4012I"],
    );
  });
  test("a malformed one is refused before it can decide anything", async () => {
    await using c = await cluster();
    for (const spec of [
      { allow: { logins: ["*"] } },
      { allow: { node_labels: { "*": "x" } } },
      { deny: { logins: ["{{"] } },
    ])
      await assert.rejects(c.admin["roles.put"]({ role: role("ops", spec) }), kind("bad_parameter"));
    await assert.rejects(
      c.admin["roles.put"]({ role: role("default-implicit-role", {}) }),
      kind("bad_parameter"),
    );
  });
  test("admin stays, and so does a role that somebody has", async () => {
    await using c = await cluster();
    await c.admin["roles.put"]({ role: role("ops", {}) });
    await c.addUser("joe", { roles: ["ops"] });
    await assert.rejects(c.admin["roles.delete"]({ name: "admin" }), kind("bad_parameter"));
    await assert.rejects(c.admin["roles.delete"]({ name: "ops" }), /in use by joe/);
    await assert.rejects(c.admin["roles.delete"]({ name: "nothing" }), kind("not_found"));
  });
  test("what a role says counts from its change on, also for certificates of before", async () => {
    await using c = await cluster();
    await c.admin["roles.put"]({
      role: role("ops", { allow: { rules: [{ resources: ["token"], verbs: ["list"] }] } }),
    });
    await c.addUser("joe", { roles: ["ops"] });
    const joe = c.user("joe", ["ops"]);
    await joe["tokens.list"]({});
    await c.admin["roles.put"]({ role: role("ops", {}), force: true });
    await assert.rejects(joe["tokens.list"]({}), kind("access_denied"));
  });
  test("a rule's action is logged once a call", async () => {
    await using c = await cluster();
    const rule = { resources: ["user"], verbs: ["list"], actions: ['log("warning", "users listed")'] };
    await c.admin["roles.put"]({ role: role("ops", { allow: { rules: [rule] } }) });
    await c.addUser("joe", { roles: ["ops"] });
    await c.addUser("ann");
    await c.user("joe", ["ops"])["users.list"]({});
    const lines = c.log.lines.filter((line) => line.message === "users listed");
    assert.deepEqual(
      lines.map(({ level, fields }) => [level, fields.verb, fields.kind, fields.allowed]),
      [["warn", "list", "user", true]],
    );
  });
  test("a certificate that names a role which is gone is refused", async () => {
    await using c = await cluster();
    await c.addUser("joe");
    await assert.rejects(c.user("joe", ["admin", "gone"])["nodes.list"]({}), kind("access_denied"));
  });
  test("certificates of another cluster are refused", async () => {
    await using c = await cluster();
    await c.addUser("joe");
    const foreign = c.as({
      kind: "user",
      user: "joe",
      roles: ["admin"],
      logins: [],
      traits: {},
      cluster: "leaf",
      expires: c.clock.now() + second,
    });
    await assert.rejects(foreign["nodes.list"]({}), kind("access_denied"));
    await assert.rejects(
      c.as({ kind: "system", role: "Proxy", hostId: "x", cluster: "leaf" })["nodes.list"]({}),
      kind("access_denied"),
    );
  });
});
