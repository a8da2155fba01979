import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { MemoryBackend } from "#backend";
import { TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { adminRole, ClusterConfig } from "#model";
import { authorityPin } from "#pki";
import { parsePublicKeyLine } from "#ssh/keys";
import { cluster, role } from "./testing/cluster.ts";

const world = () => {
  const clock = new TestClock();
  return { clock, backend: new MemoryBackend(clock) };
};

suite("start of an auth server", () => {
  test("AUTH-01: the first makes the cluster: name, id, authorities, the role admin", async () => {
    await using c = await cluster();
    const status = await c.admin["cluster.status"]({});
    assert.equal(status.cluster_name, "main");
    assert.equal(status.server_version, "5.0.0");
    assert.deepEqual(status.cas.map((ca) => ca.spec.type).sort(), ["host", "user"]);
    const host = status.cas.find((ca) => ca.spec.type === "host");
    assert.deepEqual(status.ca_pins, [authorityPin(host?.spec.tls_key_pairs[0]?.cert ?? "")]);
    for (const { spec } of status.cas) {
      assert.equal(parsePublicKeyLine(spec.checking_keys[0] ?? "").key.type, "ssh-ed25519");
    }
    assert.deepEqual(await c.admin["roles.list"]({}), [adminRole]);
    assert.equal(c.events.filter((e) => e.code === "T4020I").length, 2);
    const config = await c.node["cluster.config"]({});
    assert.equal(config.cluster_name, "main");
    assert.match(config.cluster_id, /^[0-9a-f-]{36}$/);
  });

  test("key_type rsa makes RSA authorities", async () => {
    await using c = await cluster({ keyType: "rsa" });
    const { cas } = await c.admin["cluster.status"]({});
    for (const { spec } of cas)
      assert.equal(parsePublicKeyLine(spec.checking_keys[0] ?? "").key.type, "ssh-rsa");
  });

  test("of two first starts at once one makes it, and both serve the same", async () => {
    const over = world();
    const starts = Promise.all([cluster({}, over), cluster({}, over)]);
    // The one that waits for the lock tries again by the clock.
    let both: Awaited<typeof starts> | undefined;
    void starts.then((done) => {
      both = done;
    });
    while (!both) await over.clock.advance(200);
    const [one, two] = both;
    const authorities = async (c: typeof one) => (await c.admin["cluster.status"]({})).cas;
    assert.deepEqual(await authorities(one), await authorities(two));
    assert.equal(one.auth.clusterId, two.auth.clusterId);
    assert.equal(one.events.length + two.events.length, 2);
    await one[Symbol.asyncDispose]();
    await two[Symbol.asyncDispose]();
  });

  test("a later start keeps authorities and roles, and takes the file's settings (CFG-60)", async () => {
    const over = world();
    const first = await cluster({}, over);
    await first.admin["roles.put"]({
      role: { ...adminRole, spec: { ...adminRole.spec, deny: { logins: ["root"] } } },
      force: true,
    });
    const before = await first.admin["cluster.status"]({});
    await first[Symbol.asyncDispose]();
    const settings = ClusterConfig.omit({ cluster_id: true, cluster_name: true }).parse({
      session_recording: "proxy",
    });
    await using second = await cluster({ cluster: settings }, over);
    assert.deepEqual(await second.admin["cluster.status"]({}), before);
    assert.deepEqual((await second.admin["roles.get"]({ name: "admin" })).spec.deny, { logins: ["root"] });
    assert.equal((await second.admin["cluster.config"]({})).session_recording, "proxy");
  });

  test("OVW-03: another name in the file is ignored, with a warning that says what to do", async () => {
    const over = world();
    await (await cluster({}, over))[Symbol.asyncDispose]();
    await using c = await cluster({ clusterName: "other" }, over);
    assert.equal(c.auth.clusterName, "main");
    const warning = c.log.lines.find((line) => line.level === "warn");
    assert.match(
      warning?.message ?? "",
      /^Cannot rename cluster to other: continuing with main.*empty storage/,
    );
  });

  test("OVW-02: without a name it is a GUID", async () => {
    const over = world();
    await using c = await cluster({}, over);
    const { openAuth } = await import("./open.ts");
    const { clusterName: _, ...config } = c.auth.parts.config;
    const fresh = world();
    await using auth = await openAuth({ ...c.auth.parts, ...fresh, config });
    assert.match(auth.clusterName, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/);
  });

  for (const name of ["a b", "a,b", "a/b", "*", ""]) {
    test(`S27: ${JSON.stringify(name)} is no name for a cluster`, async () => {
      await assert.rejects(cluster({ clusterName: name }), (err) => Fault.is(err, "bad_parameter"));
    });
  }

  test("a storage that a newer program wrote is refused", async () => {
    const over = world();
    await over.backend.put({ key: "/format", value: Buffer.from('{"format":2,"value":{}}') });
    await assert.rejects(
      cluster({}, over),
      (err) => Fault.is(err, "internal") && /upgrade/.test(err.message),
    );
  });

  test("a record that a newer program wrote is refused, not misread", async () => {
    await using c = await cluster();
    await c.backend.put({
      key: "/roles/new",
      value: Buffer.from(JSON.stringify({ format: 2, value: role("new", {}) })),
    });
    await assert.rejects(c.admin["roles.get"]({ name: "new" }), /format 2/);
  });

  test("a process of the cluster itself needs no token; the admin's certificate names no host to connect to", async () => {
    await using c = await cluster();
    const { joinRequest } = await import("./testing/cluster.ts");
    const { role: _, ...keys } = await joinRequest("Auth", {});
    const request = { ...keys, additional_principals: ["x.example.com"], dns_names: [] };
    const admin = await c.auth.issueHost({ ...request, role: "Admin" });
    const { certificate } = parsePublicKeyLine(admin.cert).key;
    assert.deepEqual(certificate?.principals, [keys.host_id, "db"]);
  });
});
