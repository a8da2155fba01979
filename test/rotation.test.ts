import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { type AuthClient, openAuthClient } from "#authclient";
import { MemoryBackend } from "#backend";
import { second, systemClock, TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { memoryLog } from "#core/log";
import { systemRandom } from "#core/random";
import { type CertAuthority, ClusterConfig, type RotationPhase } from "#model";
import { issuedBy, type TlsPair } from "#pki";
import { parsePublicKeyLine, sameKey } from "#ssh/keys";
import { authApi } from "../src/auth/api/api.ts";
import { handlers } from "../src/auth/api/handlers.ts";
import { cluster, hostId } from "../src/auth/testing/cluster.ts";
import { DoorCertificates } from "../src/daemon/door-certificates.ts";
import {
  type Asked,
  type Certify,
  IdentityKeeper,
  type MemberRole,
  readIdentity,
} from "../src/daemon/identity.ts";
import { followRotations, hostAuthorityOf } from "../src/daemon/rotation.ts";
import { eventually } from "./support/eventually.ts";

const asked: Asked = { node_name: "db", additional_principals: [], dns_names: [] };

/** An auth service, and hosts of its cluster in one data folder. */
async function world() {
  // TLS itself checks certificates by the machine's clock.
  const clock = new TestClock(systemClock.now());
  const backend = new MemoryBackend(clock);
  const c = await cluster({}, { clock, backend });
  const dataDir = await mkdtemp(join(tmpdir(), "rotation-"));
  const stack = new AsyncDisposableStack();
  const host = async (): Promise<CertAuthority> => {
    const [ca] = await c.admin["authorities.list"]({ type: "host" });
    assert.ok(ca);
    return ca;
  };
  return {
    c,
    clock,
    dataDir,
    stack,
    host,
    /** Moves the host CA, and waits until this auth server has noticed. */
    async to(phase: RotationPhase): Promise<void> {
      await c.admin["authorities.rotate"]({ types: ["host"], phase });
      await eventually("the auth server's own state", () =>
        c.auth.authorities().some(({ spec }) => spec.type === "host" && spec.rotation?.phase === phase),
      );
    },
    /** A member that follows, with how it came to its certificates. */
    async member(role: MemberRole) {
      const calls: string[] = [];
      const failures: Fault[] = [];
      const certify =
        (how: string): Certify =>
        async (keys) => {
          calls.push(how);
          const failure = failures.shift();
          if (failure) throw failure;
          return c.auth.issueHost({ host_id: hostId, role, ...keys });
        };
      const log = memoryLog();
      const [first, renew] = [certify("join"), certify("renew")];
      const keeper = await IdentityKeeper.open({ dataDir, role, asked, first, renew, clock, log });
      const start = (): void => {
        const stop = new AbortController();
        const done = keeper.run(stop.signal, () => {});
        stack.defer(async () => {
          stop.abort();
          await done;
        });
      };
      const follow = (): void => {
        keeper.follow(hostAuthorityOf(c.auth));
        start();
      };
      const serves = (phase: RotationPhase): Promise<unknown> =>
        eventually(`${role} at ${phase}`, () => keeper.served?.phase === phase);
      return { keeper, calls, failures, log, start, follow, serves };
    },
    async [Symbol.asyncDispose]() {
      await stack.disposeAsync();
      await c[Symbol.asyncDispose]();
      await backend[Symbol.asyncDispose]();
      await rm(dataDir, { recursive: true });
    },
  };
}

type Following = Awaited<ReturnType<Awaited<ReturnType<typeof world>>["member"]>>;

suite("a host over a rotation of the host CA", () => {
  test("ROT-09: trusts both first, then shows new client certificates, then new server certificates", async () => {
    await using w = await world();
    const before = await w.host();
    const [node, auth, admin] = await Promise.all(
      (["Node", "Auth", "Admin"] as const).map((role) => w.member(role)),
    );
    assert.ok(node && auth && admin);
    const all = [node, auth, admin];
    for (const one of all) one.follow();
    const age = (ca: CertAuthority, by: (index: number) => boolean): string => {
      const index = ca.spec.checking_keys.findIndex((_, i) => by(i));
      return ca.spec.checking_keys[index] === before.spec.checking_keys[0] ? "old" : "new";
    };
    for (const [phase, trusts, node_tls, node_ssh, auth_tls, admin_tls] of [
      ["init", 2, "old", "old", "old", "old"],
      ["update_clients", 2, "new", "old", "old", "new"],
      ["update_servers", 2, "new", "new", "new", "new"],
      ["standby", 1, "new", "new", "new", "new"],
    ] as const) {
      await w.to(phase);
      await Promise.all(all.map((one) => one.serves(phase)));
      const ca = await w.host();
      const tlsOf = ({ keeper }: Following): string =>
        age(ca, (i) => issuedBy(keeper.identity.tls.cert, ca.spec.tls_key_pairs[i]?.cert ?? ""));
      const sshOf = ({ keeper }: Following): string =>
        age(ca, (i) => {
          const by = keeper.identity.signers[0]?.publicKey.certificate?.signatureKey;
          return by !== undefined && sameKey(by, parsePublicKeyLine(ca.spec.checking_keys[i] ?? "").key);
        });
      assert.deepEqual(
        [tlsOf(node), sshOf(node), tlsOf(auth), tlsOf(admin)],
        [node_tls, node_ssh, auth_tls, admin_tls],
        phase,
      );
      for (const { keeper } of all) assert.equal(keeper.identity.authorities.length, trusts, phase);
      // What a next start, or tctl, finds.
      for (const [i, role] of (["Node", "Auth", "Admin"] as const).entries())
        assert.deepEqual(
          (await readIdentity(w.dataDir, role))?.tls,
          all[i]?.keeper.identity.tls,
          `${role} in ${phase}`,
        );
    }
    assert.deepEqual(node.calls, ["join", "renew", "renew"]);
    assert.deepEqual(auth.calls, ["join", "renew"]);
    assert.deepEqual(admin.calls, ["join", "renew", "renew"]);
  });

  test("a rotation that is taken back leaves it with certificates of the old CA", async () => {
    await using w = await world();
    const node = await w.member("Node");
    node.follow();
    const before = await w.host();
    for (const phase of ["init", "update_clients", "rollback", "standby"] as const) {
      await w.to(phase);
      await node.serves(phase);
    }
    assert.ok(issuedBy(node.keeper.identity.tls.cert, before.spec.tls_key_pairs[0]?.cert ?? ""));
    assert.deepEqual(node.keeper.identity.authorities, [before.spec.tls_key_pairs[0]?.cert]);
  });

  test("one that was away comes back in any phase but the last as the member it is; then it has to join", async () => {
    for (const phase of ["update_clients", "update_servers", "standby"] as const) {
      await using w = await world();
      const node = await w.member("Node");
      const phases = ["init", "update_clients", "update_servers", "standby"] as const;
      for (const each of phases.slice(0, phases.indexOf(phase) + 1)) await w.to(each);
      node.follow();
      await node.serves(phase);
      assert.deepEqual(node.calls, ["join", phase === "standby" ? "join" : "renew"], phase);
    }
  });

  test("one that was cut off and is started again joins, whatever its certificate says of its time", async () => {
    await using w = await world();
    await w.member("Node");
    await w.c.admin["authorities.rotate"]({ types: ["host"], grace_period: 0 });
    const cutOff = await w.member("Node");
    assert.deepEqual(cutOff.calls, [], "nothing tells it");
    cutOff.failures.push(new Fault("access_denied", "the token is not valid"));
    const host = await w.host();
    const learnt = new AsyncDisposableStack();
    cutOff.keeper.follow({ authority: () => host, onChange: () => {} });
    const stop = new AbortController();
    const done = cutOff.keeper.run(stop.signal, () => {});
    learnt.defer(async () => {
      stop.abort();
      await done;
    });
    await eventually("a refusal", () => cutOff.log.lines.some(({ level }) => level === "warn"));
    await learnt.disposeAsync();
    const again = await w.member("Node");
    assert.deepEqual(again.calls, ["join"]);
  });

  test("tries again what auth has no time for, and what it cannot be asked", async () => {
    await using w = await world();
    const node = await w.member("Node");
    node.follow();
    await w.to("init");
    node.failures.push(
      new Fault("limit_exceeded", "too many hosts"),
      new Fault("unreachable", "auth is away"),
    );
    await w.to("update_clients");
    await eventually("a first try", () => node.calls.length === 2);
    await eventually("its failure", () => node.log.lines.length > 0);
    await w.clock.advance(second);
    await eventually("a second one", () => node.calls.length === 3);
    await eventually("its failure", () => node.log.lines.length > 1);
    await w.clock.advance(10 * second);
    await node.serves("update_clients");
    assert.equal(node.calls.length, 4);
  });

  test("believes no copy on disk, which may be older than what it was told last; tells its record's owner when it serves", async () => {
    await using w = await world();
    const node = await w.member("Node");
    const before = w.c.auth.authorities();
    const listeners = new Set<() => void>();
    const mirror = {
      connected: false,
      seen: before,
      authorities: (type: string) => mirror.seen.filter(({ spec }) => spec.type === type),
      config: () => ClusterConfig.parse({ cluster_id: "1", cluster_name: "main" }),
      onChange(listener: () => void) {
        listeners.add(listener);
        return () => void listeners.delete(listener);
      },
      change(connected: boolean, seen: readonly CertAuthority[]) {
        Object.assign(mirror, { connected, seen });
        for (const listener of listeners) listener();
      },
    };
    const rotating = followRotations(node, mirror, { clock: w.clock, random: systemRandom });
    let told = 0;
    rotating.onChange(() => told++);
    node.start();
    await w.to("init");
    const both = w.c.auth.authorities();
    mirror.change(true, both);
    await node.serves("init");
    await eventually("a word of it", async () => {
      await w.clock.advance(second);
      return told > 0;
    });
    assert.equal(rotating.record().rotation?.host?.phase, "init");
    mirror.change(false, before);
    // As long as it would take to believe it, which is a file to write.
    for (let turn = 0; turn < 100; turn++) {
      await readIdentity(w.dataDir, "Node");
      assert.equal(node.keeper.identity.authorities.length, 2);
    }
    await w.to("update_clients");
    mirror.change(true, w.c.auth.authorities());
    await node.serves("update_clients");
    assert.equal(node.keeper.identity.authorities.length, 2);
    assert.deepEqual(node.calls, ["join", "renew"]);
    assert.ok(!node.log.lines.some(({ level }) => level === "warn"));
  });

  for (const [which, follows] of [
    ["the cluster's CA", true],
    ["something else", false],
  ] as const) {
    test(`<data_dir>/ca.cert with ${which} ${follows ? "follows" : "stays as it is"}`, async () => {
      await using w = await world();
      const path = join(w.dataDir, "ca.cert");
      const [ours] = (await w.host()).spec.tls_key_pairs;
      await using other = await cluster();
      const [foreign] = other.auth.authorities().flatMap(({ spec }) => spec.tls_key_pairs);
      const placed = (follows ? ours?.cert : foreign?.cert) ?? "";
      await writeFile(path, placed, { mode: 0o644 });
      const node = await w.member("Node");
      node.follow();
      await w.to("init");
      await node.serves("init");
      const both = (await w.host()).spec.tls_key_pairs.map(({ cert }) => cert).join("");
      assert.equal(await readFile(path, "utf8"), follows ? both : placed);
      for (const phase of ["update_clients", "update_servers", "standby"] as const) {
        await w.to(phase);
        await node.serves(phase);
      }
      const [fresh] = (await w.host()).spec.tls_key_pairs;
      assert.equal(await readFile(path, "utf8"), follows ? fresh?.cert : placed);
      assert.equal((await stat(path)).mode & 0o777, 0o644);
    });
  }
});

/** The auth API at a real port, as the daemon serves it. */
async function served(w: Awaited<ReturnType<typeof world>>) {
  const { keeper, follow } = await w.member("Auth");
  follow();
  const { auth } = w.c;
  const authorities = () =>
    auth
      .authorities()
      .filter(({ spec }) => spec.type === "host")
      .flatMap(({ spec }) => spec.tls_key_pairs.map(({ cert }) => cert));
  const certificates = w.stack.use(
    new DoorCertificates({
      keeper,
      authorities,
      onAuthorities: (listener) => auth.onAuthorities(listener),
      issue: (request) => auth.issueHost(request),
      hostId,
      asked,
      log: memoryLog(),
    }),
  );
  const app = authApi({
    handlers: handlers(auth),
    callerOf: (identity) => auth.callerOf(identity),
    authorities: () => auth.authorities(),
    trusted: () => auth.trusted(),
    onAuthorities: (listener) => auth.onAuthorities(listener),
    certificateFor: (name) => certificates.certificateFor(name),
    certificate: keeper.identity.tls,
    clock: w.clock,
    log: memoryLog(),
  });
  keeper.onRenewed(({ tls }) => app.server.setSecureContext({ ...tls, minVersion: "TLSv1.2" }));
  await app.listen({ host: "127.0.0.1", port: 0 });
  w.stack.defer(() => app.close());
  const { port } = app.server.address() as { port: number };
  const client = (trusted: () => readonly string[], certificate?: TlsPair): AuthClient => {
    const made = openAuthClient({
      dial: async () => {
        const socket = connect({ host: "127.0.0.1", port });
        await once(socket, "connect");
        return socket;
      },
      authorities: trusted,
      version: "5.0.0",
      ...(certificate && { certificate }),
    });
    w.stack.defer(() => made.close());
    return made;
  };
  return { keeper, authorities, client };
}

suite("the auth API over a rotation of the host CA", () => {
  test("proves itself to who knows only the old CA until the end, and to who knows only the new one from the start", async () => {
    await using w = await world();
    const { authorities, client } = await served(w);
    const [old = ""] = authorities();
    const answers = (ca: string): Promise<unknown> =>
      eventually("an answer", () => client(() => [ca])["cluster.ca"]({}));
    await w.to("init");
    const fresh = authorities().find((cert) => cert !== old) ?? "";
    for (const phase of ["init", "update_clients", "update_servers"] as const) {
      if (phase !== "init") await w.to(phase);
      await answers(old);
      await answers(fresh);
    }
    await w.to("standby");
    await answers(fresh);
    await eventually("a refusal", () =>
      client(() => [old])
        ["cluster.ca"]({})
        .then(
          () => false,
          (err) => Fault.is(err, "access_denied"),
        ),
    );
  });

  test("S36: whoever shows a certificate of the CA that is gone is refused, and a watch of before ends; others go on", async () => {
    await using w = await world();
    const { authorities, client } = await served(w);
    const before = await w.member("Node");
    const old = client(authorities, before.keeper.identity.tls);
    const watch = (by: AuthClient) => {
      const seen = { over: false, beats: 0 };
      const follow = async (): Promise<void> => {
        for await (const _ of by["mirror.watch"]({}, new AbortController().signal)) seen.beats++;
      };
      void follow()
        .catch(() => {})
        .then(() => {
          seen.over = true;
        });
      return seen;
    };
    const first = watch(old);
    await eventually("a list", () => first.beats > 0);
    for (const phase of ["init", "update_clients", "update_servers"] as const) await w.to(phase);
    const renewed = await w.member("Proxy");
    const other = watch(client(authorities, renewed.keeper.identity.tls));
    await eventually("a list", () => other.beats > 0);
    await old["cluster.config"]({});
    assert.equal(first.over, false);
    await w.to("standby");
    await assert.rejects(old["cluster.config"]({}), (err) => Fault.is(err, "access_denied"));
    await w.clock.advance(second);
    await eventually("the end of the watch", () => first.over);
    assert.equal(other.over, false);
  });
});
