import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { suite, test } from "node:test";
import { type AuthClient, openAuthClient } from "#authclient";
import { MemoryBackend } from "#backend";
import { hour, second, systemClock, TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { Leaving } from "#core/leaving";
import { memoryLog, silentLog } from "#core/log";
import { systemRandom } from "#core/random";
import { Mirror } from "#mirror";
import { Node } from "#model";
import { makeTlsKey, type TlsPair } from "#pki";
import { authApi } from "../src/auth/api/api.ts";
import { handlers } from "../src/auth/api/handlers.ts";
import { cluster, hostId, otherId, publicKeys, role } from "../src/auth/testing/cluster.ts";
import { Heartbeat } from "../src/daemon/heartbeat.ts";
import { presence } from "../src/daemon/presence.ts";
import { eventually } from "./support/eventually.ts";

/** An auth service on a real port, and clients that show real certificates. */
async function served() {
  // TLS itself checks certificates by the machine's clock.
  const clock = new TestClock(systemClock.now());
  const backend = new MemoryBackend(clock);
  const c = await cluster({}, { clock, backend });
  const own = await makeTlsKey("ecdsa-p256");
  const base64 = (text: string): string => Buffer.from(text).toString("base64");
  const { tls_cert, tls_ca_certs } = await c.auth.issueHost({
    host_id: hostId,
    node_name: "auth",
    role: "Auth",
    additional_principals: [],
    dns_names: [],
    public_ssh_key: (await publicKeys()).ssh,
    public_tls_key: base64(own.publicKey),
  });
  const log = memoryLog();
  const app = authApi({
    handlers: handlers(c.auth),
    callerOf: (identity) => c.auth.callerOf(identity),
    refused: (refused) => c.auth.refused(refused),
    authorities: () => c.auth.authorities(),
    trusted: () => c.auth.trusted(),
    certificate: { cert: tls_cert, key: own.privateKey },
    clock: c.clock,
    log,
  });
  await app.listen({ host: "127.0.0.1", port: 0 });
  const { port } = app.server.address() as { port: number };
  const clients: AuthClient[] = [];
  const client = (certificate?: TlsPair): AuthClient => {
    const made = openAuthClient({
      dial: async () => {
        const socket = connect({ host: "127.0.0.1", port });
        await once(socket, "connect");
        return socket;
      },
      authorities: tls_ca_certs,
      clusterName: "main",
      version: "5.0.0",
      ...(certificate && { certificate }),
    });
    clients.push(made);
    return made;
  };
  /** Joins with a token and comes back as the member. */
  const join = async (role: "Node" | "Proxy", host_id: string): Promise<AuthClient> => {
    const tls = await makeTlsKey("ecdsa-p256");
    const certs = await client()["hosts.join"]({
      host_id,
      node_name: "db",
      role,
      token: "static/token",
      public_ssh_key: (await publicKeys()).ssh,
      public_tls_key: base64(tls.publicKey),
    });
    return client({ cert: certs.tls_cert, key: tls.privateKey });
  };
  return {
    c,
    log,
    client,
    join,
    base64,
    [Symbol.asyncDispose]: async () => {
      for (const one of clients) one.close();
      await app.close();
      await c[Symbol.asyncDispose]();
      await backend[Symbol.asyncDispose]();
    },
  };
}

const denied = (err: unknown): boolean => Fault.is(err, "access_denied");

suite("auth service over mutual TLS", () => {
  test("a stranger joins by token, is a member by its certificate, and is seen by the other members", async () => {
    await using s = await served();
    const node = await s.join("Node", otherId);
    const proxy = await s.join("Proxy", hostId);
    const record = Node.parse({
      kind: "node",
      version: "v2",
      metadata: { name: otherId, labels: { env: "prod" } },
      spec: { hostname: "db" },
    });
    await node["nodes.announce"](record);
    assert.deepEqual(await proxy["nodes.list"]({}), [record]);
    await assert.rejects(node["nodes.announce"]({ ...record, metadata: { name: hostId } }), denied);
    await assert.rejects(node["logins.web"]({ user: "joe", password: "x" }), denied);

    const mirror = new Mirror({ client: proxy, clock: s.c.clock, log: silentLog });
    const stop = new AbortController();
    const { promise: ready, resolve } = Promise.withResolvers<void>();
    const done = mirror.run(stop.signal, resolve);
    await ready;
    assert.deepEqual(mirror.nodes(), [record]);
    assert.equal(mirror.authorities("user").length, 1);
    const { promise: changed, resolve: tell } = Promise.withResolvers<void>();
    mirror.onChange(() => mirror.role("ops") && tell());
    await s.c.admin["roles.put"]({ role: role("ops", {}) });
    await changed;
    stop.abort();
    await done;
  });

  test("S35: neither a member's certificate nor a person's has anybody certified, and the try is in the audit log", async () => {
    await using s = await served();
    await s.c.addUser("ci", { traits: { logins: ["deploy"] } });
    const key = await makeTlsKey("ecdsa-p256");
    const { tls_cert = "" } = await s.c.admin["users.sign"]({
      user: "ci",
      tls_pub_key: s.base64(key.publicKey),
      ttl: hour,
    });
    const person = s.client({ cert: tls_cert, key: key.privateKey });
    const { ssh } = await publicKeys();
    for (const caller of [await s.join("Node", otherId), await s.join("Proxy", hostId), person, s.client()]) {
      await assert.rejects(caller["users.sign"]({ user: "ci", pub_key: ssh, ttl: hour }), denied);
      await assert.rejects(caller["hosts.sign"]({ names: ["db"], pub_key: ssh }), denied);
      await assert.rejects(caller["authorities.list"]({ secrets: true }), denied);
    }
    assert.equal(s.c.events.filter((e) => e.code === "T4160I").length, 1);
    const refused = s.c.events.filter((e) => e.code === "T4051W");
    assert.deepEqual(
      refused.map((e) => `${e.user} ${e.resource}.${e.action}`),
      [`${otherId}.main`, `${hostId}.main`, "ci"].flatMap((name) =>
        ["users.sign", "hosts.sign", "authorities.list"].map((call) => `${name} ${call}`),
      ),
    );
    for (const event of refused) assert.match(event["addr.remote"] ?? "", /^127\.0\.0\.1:\d+$/);
  });

  test("who signs is in the audit log with the address", async () => {
    await using s = await served();
    const key = await makeTlsKey("ecdsa-p256");
    const { tls_cert } = await s.c.auth.issueHost({
      host_id: hostId,
      node_name: "auth",
      role: "Admin",
      additional_principals: [],
      dns_names: [],
      public_ssh_key: (await publicKeys()).ssh,
      public_tls_key: s.base64(key.publicKey),
    });
    const admin = s.client({ cert: tls_cert, key: key.privateKey });
    await admin["hosts.sign"]({ names: ["db"], pub_key: (await publicKeys()).ssh });
    await admin["authorities.list"]({ secrets: true });
    const told = s.c.events.flatMap((e) =>
      e.code === "T4160I" || e.code === "T4161W" ? [[e.user, e["addr.remote"]?.replace(/\d+$/, "PORT")]] : [],
    );
    assert.deepEqual(told, [
      ["builtin-Admin", "127.0.0.1:PORT"],
      ["builtin-Admin", "127.0.0.1:PORT"],
    ]);
  });

  test("OVW-34: a member on its open stream stays in all lists; one whose record was lost is back at once; one that says nothing is gone", async (t) => {
    await using s = await served();
    const { clock } = s.c;
    const node = await s.join("Node", otherId);
    const proxy = await s.join("Proxy", hostId);
    const record = Node.parse({
      kind: "node",
      version: "v2",
      metadata: { name: otherId },
      spec: { hostname: "db" },
    });
    const stop = {
      node: new AbortController(),
      proxy: new AbortController(),
      presence: new AbortController(),
    };
    const nodeBeat = new Heartbeat({ client: node, clock, random: systemRandom });
    const proxyBeat = new Heartbeat({ client: proxy, clock, random: systemRandom });
    const mirrors = {
      node: new Mirror({ client: nodeBeat.client, clock, log: silentLog }),
      proxy: new Mirror({ client: proxyBeat.client, clock, log: silentLog }),
    };
    let announced = 0;
    const place = presence({
      kind: "node",
      record: () => record,
      announce: async () => {
        await node["nodes.announce"](record);
        announced++;
      },
      remove: async () => {},
      heartbeat: nodeBeat,
      heartbeats: { good: () => {}, lost: () => {} },
      leaving: new Leaving(),
      clock,
      random: systemRandom,
      log: silentLog,
    });
    const done = [
      mirrors.node.run(stop.node.signal, () => {}),
      mirrors.proxy.run(stop.proxy.signal, () => {}),
      place.run(stop.presence.signal, () => {}),
    ];
    const listed = (): boolean => mirrors.proxy.nodes().length === 1;
    await eventually("its record at the proxy", listed);
    await eventually("a stream of both", () => mirrors.node.connected && mirrors.proxy.connected);
    const heard = t.mock.method(s.c.auth.presence, "alive").mock;
    for (let i = 0; i < 14; i++) {
      const before = heard.callCount();
      await clock.advance(5.6 * second);
      await eventually("a word of both", () => heard.callCount() >= before + 2);
      assert.ok(listed());
    }
    assert.equal(announced, 1);
    assert.equal(await s.c.auth.parts.store.nodes.find(otherId).then(Boolean), true);

    await s.c.auth.parts.store.nodes.delete(otherId);
    await eventually("its record gone", () => !listed());
    await clock.advance(5.6 * second);
    await eventually("its record back", listed);
    assert.equal(announced, 2);

    stop.node.abort();
    for (let i = 0; i < 6; i++) {
      await clock.advance(5.6 * second);
      await eventually("the proxy", () => mirrors.proxy.connected);
    }
    await eventually("a list without it", () => !listed());
    stop.proxy.abort();
    stop.presence.abort();
    await Promise.all(done);
  });

  test("a person who logged in calls with the roles of the certificate, until the account is gone", async () => {
    await using s = await served();
    await s.c.signUp("joe", "correct horse", { logins: ["root"] });
    const proxy = await s.join("Proxy", hostId);
    const tls = await makeTlsKey("ecdsa-p256");
    const certs = await proxy["logins.certs"]({
      user: "joe",
      password: "correct horse",
      pub_key: (await publicKeys()).ssh,
      tls_pub_key: s.base64(tls.publicKey),
      ttl: hour,
    });
    const joe = s.client({ cert: certs.tls_cert ?? "", key: tls.privateKey });
    assert.equal((await joe["cluster.status"]({})).cluster_name, "main");
    assert.deepEqual((await joe["users.get"]({ name: "joe" })).spec.traits, { logins: ["root"] });
    await joe["roles.put"]({ role: role("ops", {}) });
    assert.ok(s.c.events.some((e) => e.code === "T4010I" && e.user === "joe"));
    await assert.rejects(joe["users.list"]({}), denied);
    const refusal = s.c.events.find((e) => e.code === "T4051W");
    assert.ok(refusal?.code === "T4051W" && refusal.user === "joe");
    assert.deepEqual([refusal.action, refusal.resource], ["list", "user"]);
    assert.match(refusal["addr.remote"] ?? "", /^127\.0\.0\.1:\d+$/);
    await s.c.admin["users.delete"]({ name: "joe" });
    await assert.rejects(joe["cluster.status"]({}), denied);
  });

  test("S72: nothing secret is in the log of the API", async () => {
    await using s = await served();
    const proxy = await s.join("Proxy", hostId);
    await assert.rejects(proxy["logins.web"]({ user: "joe", password: "planted-password" }), denied);
    await assert.rejects(s.client()["tokens.delete"]({ name: "planted-token" }), denied);
    assert.ok(!JSON.stringify([s.log.lines, s.c.log.lines]).includes("planted"));
  });
});
