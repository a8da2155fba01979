import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { minute } from "#core/clock";
import { Fault } from "#core/errors";
import { Connector, Node, neverTime } from "#model";
import { account, cluster, hostId, role } from "./testing/cluster.ts";

const overtaken = (err: unknown): boolean =>
  Fault.is(err, "compare_failed") && /by somebody else meanwhile; nothing was written/.test(err.message);

suite("changes made from what was read", () => {
  test("of a user that somebody changed or deleted meanwhile are refused", async () => {
    await using c = await cluster();
    await c.addUser("joe", { traits: { logins: ["joe"] } });
    const was = await c.admin["users.get"]({ name: "joe" });
    const mine = { ...was, spec: { ...was.spec, traits: { logins: ["mine"] } } };
    await c.admin["users.put"]({ user: account("joe", { traits: { logins: ["theirs"] } }), force: true });
    await assert.rejects(c.admin["users.put"]({ user: mine, force: true, was }), overtaken);
    assert.deepEqual((await c.admin["users.get"]({ name: "joe" })).spec.traits.logins, ["theirs"]);
    await c.admin["users.delete"]({ name: "joe" });
    await assert.rejects(c.admin["users.put"]({ user: mine, force: true, was }), overtaken);
    assert.deepEqual(await c.admin["users.list"]({}), []);
  });

  test("of a user go through when only a lock by failed logins came and went", async () => {
    await using c = await cluster();
    await c.addUser("joe");
    const was = await c.admin["users.get"]({ name: "joe" });
    const lock_expires = new Date(c.clock.now() + minute).toISOString();
    await c.auth.parts.store.users.put({
      ...was,
      spec: { ...was.spec, status: { is_locked: true, lock_expires } },
    });
    await c.admin["users.put"]({ user: was, force: true, was });
    const locked = { ...was, spec: { ...was.spec, status: { is_locked: true } } };
    await c.admin["users.put"]({ user: locked, force: true });
    await assert.rejects(c.admin["users.put"]({ user: was, force: true, was }), overtaken);
  });

  test("of a role and a connector too; of these, secrets that were not read count as unchanged", async () => {
    await using c = await cluster();
    const dev = role("dev", { allow: { logins: ["a"] } });
    await c.admin["roles.put"]({ role: dev });
    await c.admin["roles.put"]({ role: role("dev", { allow: { logins: ["b"] } }), force: true, was: dev });
    await assert.rejects(c.admin["roles.put"]({ role: dev, force: true, was: dev }), overtaken);

    const github = (display: string) =>
      Connector.parse({
        kind: "github",
        version: "v3",
        metadata: { name: "corp" },
        spec: { client_id: "id", client_secret: "s", redirect_url: "https://p/", display },
      });
    await c.admin["connectors.put"]({ connector: github("one") });
    const [was] = await c.admin["connectors.list"]({});
    assert.ok(was);
    await c.admin["connectors.put"]({ connector: github("two"), force: true, was });
    await assert.rejects(
      c.admin["connectors.put"]({ connector: github("three"), force: true, was }),
      overtaken,
    );
  });
});

suite("AUTH-43: records with an end", () => {
  test("that is over already are refused: nothing would be left of them", async () => {
    await using c = await cluster();
    const expires = new Date(c.clock.now()).toISOString();
    const over = (err: unknown) => Fault.is(err, "bad_parameter") && err.message.includes("is over");
    await assert.rejects(c.addUser("joe", { expires }), over);
    const dev = role("dev", {});
    await assert.rejects(
      c.admin["roles.put"]({ role: { ...dev, metadata: { name: "dev", expires } } }),
      over,
    );
  });
  test("vanish then, and not before; the zero time is never", async () => {
    await using c = await cluster();
    const dev = role("dev", {});
    const expires = new Date(c.clock.now() + minute).toISOString();
    await c.admin["roles.put"]({ role: { ...dev, metadata: { name: "dev", expires } } });
    await c.admin["roles.put"]({ role: { ...dev, metadata: { name: "ops", expires: neverTime } } });
    const names = async () => (await c.admin["roles.list"]({})).map(({ metadata }) => metadata.name);
    assert.deepEqual(await names(), ["admin", "dev", "ops"]);
    await c.clock.advance(minute);
    assert.deepEqual(await names(), ["admin", "ops"]);
  });
});

suite("connectors.list", () => {
  test("is told in the audit log when it hands out secrets", async () => {
    await using c = await cluster();
    const told = () => c.events.flatMap((event) => (event.code === "T4132W" ? [event.names] : []));
    await c.admin["connectors.list"]({ secrets: true });
    const spec = { client_id: "id", client_secret: "s", redirect_url: "https://p/" };
    const connector = Connector.parse({ kind: "github", version: "v3", metadata: { name: "corp" }, spec });
    await c.admin["connectors.put"]({ connector });
    await c.admin["connectors.list"]({});
    assert.deepEqual(told(), []);
    await c.admin["connectors.list"]({ secrets: true });
    assert.deepEqual(told(), [["github/corp"]]);
  });
});

suite("nodes.remove", () => {
  test("is told in the audit log when it is not the node itself that leaves", async () => {
    await using c = await cluster();
    const node = Node.parse({
      kind: "node",
      version: "v2",
      metadata: { name: hostId },
      spec: { hostname: "db" },
    });
    const told = () => c.events.filter(({ code }) => code === "T4131I").length;
    await c.node["nodes.announce"](node);
    await c.node["nodes.remove"]({ name: hostId });
    assert.equal(told(), 0);
    await c.node["nodes.announce"](node);
    await c.admin["nodes.remove"]({ name: hostId });
    assert.equal(told(), 1);
  });
});
