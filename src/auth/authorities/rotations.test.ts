import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { type Condition, MemoryBackend, type Op } from "#backend";
import { hour, minute, second, TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { AuthServer, Node, type RotationPhase } from "#model";
import { authorityPin, issuedBy } from "#pki";
import { parsePublicKeyLine, sameKey } from "#ssh/keys";
import {
  type Cluster,
  cluster,
  hostId,
  joinRequest,
  otherId,
  publicKeys,
  system,
} from "../testing/cluster.ts";

const own = async (c: Cluster, type: "user" | "host") => {
  const [ca] = await c.admin["authorities.list"]({ type, secrets: true });
  assert.ok(ca);
  return ca;
};
const phaseOf = async (c: Cluster, type: "user" | "host" = "host"): Promise<string> =>
  (await own(c, type)).spec.rotation?.phase ?? "never";
const toPhase = (c: Cluster, phase: RotationPhase, types: ("user" | "host")[] = ["host"]) =>
  c.admin["authorities.rotate"]({ types, phase });

/** Lets what was woken come to its end. */
async function settle(until: () => Promise<boolean> | boolean): Promise<void> {
  for (let i = 0; i < 2000; i++) {
    if (await until()) return;
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

/** Takes the steps that are due, until the end of the test. */
function running(...clusters: Cluster[]) {
  const stop = new AbortController();
  const done = clusters.map((c) => c.auth.rotations.service.run(stop.signal, () => {}));
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await Promise.all(done);
    },
  };
}

suite("rotations", () => {
  test("ROT-05: what signs in each phase, for hosts, auth servers and people", async () => {
    await using c = await cluster();
    const [hostBefore, userBefore] = [await own(c, "host"), await own(c, "user")];
    const { ssh, tls } = await publicKeys();
    const issued = async () => {
      const [host, auth, user] = [await own(c, "host"), await own(c, "host"), await own(c, "user")];
      const node = await c.auth.issueHost({
        ...(await joinRequest("Node", {})),
        additional_principals: [],
        dns_names: [],
      });
      const server = await c.auth.issueHost({
        ...(await joinRequest("Auth", {})),
        additional_principals: [],
        dns_names: [],
      });
      const { issueUserCerts } = await import("../certificates/issue-user.ts");
      const { access, adminRole } = await import("#model");
      const person = await issueUserCerts(c.auth.parts, {
        access: access({ user: "joe", roles: [adminRole], traits: { logins: ["joe"] } }),
        traits: { logins: ["joe"] },
        pub_key: ssh,
        tls_pub_key: tls,
        ttl: hour,
        sources: undefined,
      });
      const sshOf = (line: string, keys: string[]): number =>
        keys.findIndex((key) => {
          const by = parsePublicKeyLine(line).key.certificate?.signatureKey;
          return by !== undefined && sameKey(by, parsePublicKeyLine(key).key);
        });
      const tlsOf = (cert: string, ca: typeof host): number =>
        ca.spec.tls_key_pairs.findIndex((pair) => issuedBy(cert, pair.cert));
      const age = (ca: typeof host, before: typeof host, index: number): string =>
        ca.spec.checking_keys[index] === before.spec.checking_keys[0] ? "old" : "new";
      return {
        nodeSsh: age(host, hostBefore, sshOf(node.cert, host.spec.checking_keys)),
        nodeTls: age(host, hostBefore, tlsOf(node.tls_cert, host)),
        authTls: age(auth, hostBefore, tlsOf(server.tls_cert, auth)),
        userSsh: age(user, userBefore, sshOf(person.cert ?? "", user.spec.checking_keys)),
        userTls: age(user, userBefore, tlsOf(person.tls_cert ?? "", user)),
        trusted: [
          node.tls_ca_certs.length,
          node.ssh_ca_certs.length,
          person.host_signers[0]?.checking_keys.length,
        ],
      };
    };
    const all = (age: string, servers = age) => ({
      nodeSsh: servers,
      nodeTls: age,
      authTls: servers,
      userSsh: age,
      userTls: age,
    });
    const expected = [
      ["init", { ...all("old"), trusted: [2, 2, 2] }],
      ["update_clients", { ...all("new", "old"), trusted: [2, 2, 2] }],
      ["update_servers", { ...all("new"), trusted: [2, 2, 2] }],
      ["standby", { ...all("new"), trusted: [1, 1, 1] }],
    ] as const;
    for (const [phase, want] of expected) {
      await toPhase(c, phase, ["user", "host"]);
      assert.deepEqual(await issued(), want, phase);
    }
  });

  test("AUTH-16, ROT-12: over a rotation both pins are told, the one that signs first; then only the new one", async () => {
    await using c = await cluster();
    const pins = async (): Promise<string[]> => (await c.admin["cluster.status"]({})).ca_pins;
    const [old] = await pins();
    await toPhase(c, "init");
    const [first, fresh] = await pins();
    assert.equal(first, old);
    await toPhase(c, "update_clients");
    assert.deepEqual(await pins(), [fresh, old]);
    assert.deepEqual((await c.stranger["cluster.ca"]({})).tls_ca_certs.map(authorityPin), [fresh, old]);
    await toPhase(c, "update_servers");
    await toPhase(c, "standby");
    assert.deepEqual(await pins(), [fresh]);
  });

  test("DEC-02: both authorities, for 48 hours, in one commit", async () => {
    await using c = await cluster();
    const answered = await c.admin["authorities.rotate"]({});
    assert.deepEqual(answered.map(({ spec }) => spec.type).sort(), ["host", "user"]);
    for (const { spec } of answered) {
      const { started = "", schedule } = spec.rotation ?? {};
      assert.equal(Date.parse(schedule?.standby ?? "") - Date.parse(started), 48 * hour);
    }
    assert.deepEqual(
      c.events.filter((e) => e.code === "T4021I").map((e) => ("kind" in e ? [e.user, e.kind, e.phase] : [])),
      [
        ["builtin-Admin", "user", "init"],
        ["builtin-Admin", "host", "init"],
      ],
    );
    // Two for the cluster, two for the rotation.
    assert.equal(c.events.filter((e) => e.code === "T4020I").length, 4);
  });

  test("S34: no answer about a rotation holds a private key", async () => {
    await using c = await cluster();
    const answers: unknown[] = [];
    for (const phase of ["init", "update_clients", "update_servers", "standby"] as const) {
      answers.push(await c.admin["authorities.rehearse"]({ types: ["host"], phase }));
      answers.push(await toPhase(c, phase, ["user", "host"]));
      answers.push(
        await c.admin["cluster.status"]({}),
        await c.node["cluster.status"]({}),
        c.auth.authorities(),
      );
      answers.push(await c.node["authorities.list"]({}), c.events, c.log.lines);
    }
    assert.doesNotMatch(JSON.stringify(answers), /PRIVATE KEY|signing_keys/);
    assert.match(JSON.stringify(await own(c, "host")), /PRIVATE KEY/);
  });

  test("ROT-06: one authority that cannot go along keeps the other from going", async () => {
    await using c = await cluster();
    await toPhase(c, "init");
    await assert.rejects(
      toPhase(c, "update_clients", ["user", "host"]),
      (err) =>
        Fault.is(err, "compare_failed") && /current phase is standby \(of the user CA\)/.test(err.message),
    );
    assert.deepEqual([await phaseOf(c, "host"), await phaseOf(c, "user")], ["init", "never"]);
    const failed = c.events.filter((e) => e.code === "T4150W");
    assert.deepEqual(
      failed.map((e) => [e.user, "kind" in e && e.kind, "phase" in e && e.phase]),
      [
        ["builtin-Admin", "user", "update_clients"],
        ["builtin-Admin", "host", "update_clients"],
      ],
    );
  });

  test("a key_type of the file that has changed counts from the next rotation on", async () => {
    const clock = new TestClock();
    const over = { clock, backend: new MemoryBackend(clock) };
    await (await cluster({}, over))[Symbol.asyncDispose]();
    await using c = await cluster({ keyType: "rsa" }, over);
    await toPhase(c, "init");
    const types = (await own(c, "host")).spec.checking_keys.map((line) => parsePublicKeyLine(line).key.type);
    assert.deepEqual(types, ["ssh-ed25519", "ssh-rsa"]);
  });

  test("ROT-09: the steps are taken when they are due, by one of two auth servers, and told once", async () => {
    const clock = new TestClock();
    const over = { clock, backend: new MemoryBackend(clock) };
    await using one = await cluster({}, over);
    await using two = await cluster({}, over);
    await using _ = running(one, two);
    await one.admin["authorities.rotate"]({ types: ["host"], grace_period: 3 * minute });
    await settle(() => two.auth.authorities().some(({ spec }) => spec.rotation));
    for (const phase of ["update_clients", "update_servers", "standby"]) {
      await clock.advance(59 * second);
      assert.notEqual(await phaseOf(one), phase);
      await clock.advance(second);
      await settle(async () => (await phaseOf(one)) === phase);
      assert.equal(await phaseOf(one), phase);
      const seen = (c: Cluster): boolean =>
        c.auth.authorities().some(({ spec }) => spec.rotation?.phase === phase);
      await settle(() => seen(one) && seen(two));
    }
    const steps = [...one.events, ...two.events].filter((e) => e.code === "T4021I");
    assert.deepEqual(steps.map((e) => ("phase" in e ? e.phase : "")).sort(), [
      "init",
      "standby",
      "update_clients",
      "update_servers",
    ]);
  });

  test("ROT-09: an auth server that comes back goes on with what is due", async () => {
    const clock = new TestClock();
    const over = { clock, backend: new MemoryBackend(clock) };
    const before = await cluster({}, over);
    await before.admin["authorities.rotate"]({ types: ["user"], grace_period: 3 * hour });
    await before[Symbol.asyncDispose]();
    await clock.advance(90 * minute);
    await using c = await cluster({}, over);
    await using _ = running(c);
    await settle(async () => (await phaseOf(c, "user")) === "update_clients");
    assert.equal(await phaseOf(c, "user"), "update_clients");
    // Half an hour late, so the next one is too.
    const { schedule, started = "" } = (await own(c, "user")).spec.rotation ?? {};
    assert.equal(Date.parse(schedule?.update_servers ?? "") - Date.parse(started), 2.5 * hour);
  });

  test("ROT-07: after a step that fails it goes on by hand only; after a storage that is away by itself", async () => {
    const clock = new TestClock();
    const backend = new FailingBackend(clock);
    await using c = await cluster({}, { clock, backend });
    await using _ = running(c);
    await c.admin["authorities.rotate"]({ types: ["host"], grace_period: 3 * minute });
    await settle(() => c.auth.authorities().some(({ spec }) => spec.rotation));
    backend.failures.push(new Fault("unreachable", "the storage is away"));
    await clock.advance(minute);
    await settle(() => backend.failures.length === 0);
    assert.equal(await phaseOf(c), "init");
    for (let i = 0; i < 4; i++) await clock.advance(second);
    await settle(async () => (await phaseOf(c)) === "update_clients");
    assert.equal(await phaseOf(c), "update_clients");
    await settle(() => c.auth.authorities().some(({ spec }) => spec.rotation?.phase === "update_clients"));
    backend.failures.push(new Fault("internal", "the record is too large"));
    await clock.advance(minute);
    await settle(async () => (await own(c, "host")).spec.rotation?.mode === "manual");
    assert.deepEqual(
      [await phaseOf(c), (await own(c, "host")).spec.rotation?.mode],
      ["update_clients", "manual"],
    );
    const failed = c.events.find((e) => e.code === "T4150W");
    assert.ok(
      failed && "error" in failed && failed.error === "the record is too large" && !("user" in failed),
    );
    await clock.advance(hour);
    assert.equal(await phaseOf(c), "update_clients");
  });

  for (const [dies, moment] of [
    ["before", "before it is written"],
    ["after", "after it is written"],
  ] as const) {
    test(`a storage that dies ${moment} leaves each phase before or after, never between`, async () => {
      const clock = new TestClock();
      const backend = new FailingBackend(clock);
      const over = { clock, backend };
      const counts: Record<string, number> = { init: 2, update_clients: 2, update_servers: 2, standby: 1 };
      let last = "never";
      for (const phase of ["init", "update_clients", "update_servers", "standby"] as const) {
        const c = await cluster({}, over);
        backend.dies = dies;
        await assert.rejects(toPhase(c, phase, ["user", "host"]), /the process is gone/);
        backend.dies = undefined;
        await c[Symbol.asyncDispose]();
        // Another process over what the storage holds.
        const again = await cluster({}, over);
        const reached = dies === "after" ? phase : last;
        for (const type of ["user", "host"] as const) {
          const { spec } = await own(again, type);
          assert.equal(spec.rotation?.phase ?? "never", reached, type);
          const lengths = [spec.checking_keys, spec.signing_keys, spec.tls_key_pairs].map(
            (list) => list?.length,
          );
          const n = counts[reached] ?? 1;
          assert.deepEqual(lengths, [n, n, n]);
        }
        if (dies === "before") await toPhase(again, phase, ["user", "host"]);
        last = phase;
        await again[Symbol.asyncDispose]();
      }
      await backend[Symbol.asyncDispose]();
    });
  }

  test("who is behind is told by name: those who serve another phase, and those who are away", async () => {
    await using c = await cluster();
    const { host_id: _, node_name: __, ...keys } = await joinRequest("Node", {});
    for (const [id, name] of [
      [hostId, "db"],
      [otherId, "web"],
    ] as const)
      await c.stranger["hosts.join"]({ ...keys, host_id: id, node_name: name, token: "static/token" });
    const announce = (rotation?: object) =>
      c.node["nodes.announce"](
        Node.parse({
          kind: "node",
          version: "v2",
          metadata: { name: hostId },
          spec: { hostname: "db", ...(rotation && { rotation }) },
        }),
      );
    await announce();
    const behind = async () =>
      (await c.admin["cluster.status"]({})).behind?.map((m) => [m.kind, m.name, m.offline, ...m.authorities]);
    assert.deepEqual(await behind(), []);
    assert.deepEqual(
      (await c.admin["authorities.rehearse"]({ types: ["host"] })).map(({ name, offline }) => [
        name,
        offline,
      ]),
      [["web", true]],
    );
    await c.admin["authorities.rotate"]({ types: ["host"] });
    const { current_id = "" } = (await own(c, "host")).spec.rotation ?? {};
    assert.deepEqual(await behind(), [
      ["node", "db", false, "host"],
      ["node", "web", true, "host"],
    ]);
    await announce({ host: { current_id: "of another rotation", phase: "init" } });
    assert.equal((await behind())?.length, 2);
    await announce({ host: { current_id, phase: "init" } });
    assert.deepEqual(await behind(), [["node", "web", true, "host"]]);
    await toPhase(c, "update_clients");
    await toPhase(c, "update_servers");
    const cut = await c.admin["authorities.rehearse"]({ types: ["host"], phase: "standby" });
    assert.deepEqual(
      cut.map(({ name, phase, offline }) => [name, phase, offline]),
      [
        ["db", "init", false],
        ["web", undefined, true],
      ],
    );
    assert.equal(await phaseOf(c), "update_servers");
    // Not for everybody.
    assert.equal(
      (
        await c
          .user("joe")
          ["cluster.status"]({})
          .catch(() => undefined)
      )?.behind,
      undefined,
    );
  });

  test("an auth server is behind too, and never cut off", async () => {
    await using c = await cluster();
    await c.auth.parts.store.authServers.put(
      AuthServer.parse({
        kind: "auth_server",
        version: "v2",
        metadata: { name: otherId },
        spec: { hostname: "auth2" },
      }),
    );
    await c.admin["authorities.rotate"]({});
    const { behind = [] } = await c.admin["cluster.status"]({});
    assert.deepEqual(
      behind.map(({ kind, name, authorities }) => [kind, name, authorities]),
      [["auth_server", "auth2", ["host", "user"]]],
    );
    assert.deepEqual(await c.as(system("Admin"))["authorities.rehearse"]({ types: ["host"] }), []);
  });
});

/** Fails commits that change an authority, as it is told. */
class FailingBackend extends MemoryBackend {
  readonly failures: Fault[] = [];
  dies: "before" | "after" | undefined;

  override async commit(ops: readonly Op[], conditions?: readonly Condition[]) {
    if (!ops.some((op) => op.type === "put" && op.item.key.startsWith("/authorities/")))
      return super.commit(ops, conditions);
    const failure = this.failures.shift();
    if (failure) throw failure;
    if (this.dies === "before") throw new Error("the process is gone");
    const revision = await super.commit(ops, conditions);
    if (this.dies === "after") throw new Error("the process is gone");
    return revision;
  }
}
