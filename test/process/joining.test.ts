import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { after, before, suite, test } from "node:test";
import { fastify } from "fastify";
import { MemoryBackend, type Stored } from "#backend";
import { load } from "#config";
import { hour, second, systemClock, TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { memoryLog, silentLog } from "#core/log";
import { systemRandom } from "#core/random";
import { dial } from "#net";
import { authorityPin, makeTlsKey } from "#pki";
import { authApi } from "../../src/auth/api/api.ts";
import { handlers } from "../../src/auth/api/handlers.ts";
import { cluster, hostId, publicKeys } from "../../src/auth/testing/cluster.ts";
import { type Member, type MemberOptions, openMember, type RemoteAuth } from "../../src/daemon/member.ts";
import { refuseSecondAuth } from "../../src/daemon/second-auth.ts";
import { selfSigned } from "../self-signed.ts";
import { eventually } from "../support/eventually.ts";
import { snooper } from "../support/snooper.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

suite("members that join an auth server over the network", () => {
  const stack = new AsyncDisposableStack();
  let auth: Awaited<ReturnType<typeof served>>;
  before(async () => {
    auth = stack.use(await served());
  });
  after(() => stack.disposeAsync());

  const tokenFor = async (...roles: ("node" | "proxy")[]): Promise<string> =>
    (await auth.cluster.admin["tokens.create"]({ roles, ttl: hour })).metadata.name;

  /** A host in a folder of its own. `warned` is what its operator was told. */
  async function host(remote: Partial<RemoteAuth> & { port?: number; value?: string }) {
    const folder = await tempDir();
    const clock = new TestClock(systemClock.now());
    const log = memoryLog();
    const warned: string[] = [];
    const stop = new AbortController();
    const { port = auth.port, value, ...more } = remote;
    const id = systemRandom.uuid();
    const join = (role: MemberOptions["role"] = "Node"): Promise<Member> =>
      openMember(
        {
          role,
          hostId: id,
          dataDir: folder.path,
          asked: { node_name: "db", additional_principals: [], dns_names: [] },
          auth: {
            servers: [{ host: "127.0.0.1", port }],
            dial: (signal) => dial({ host: "127.0.0.1", port }, signal),
            token: value === undefined ? undefined : async () => value,
            caPin: undefined,
            warn: (line) => warned.push(line),
            ...more,
          },
          version: "5.0.0",
          owner: { mark: "this test", lives: () => false },
          clock,
          random: systemRandom,
          log,
        },
        stop.signal,
      );
    return {
      id,
      folder,
      clock,
      log,
      warned,
      join,
      /** Resolves when a try has failed: why. */
      failure: () =>
        eventually("a try that fails", () => log.lines.at(-1)?.fields.error as string | undefined),
      async [Symbol.asyncDispose]() {
        stop.abort(new Fault("unreachable", "the test is over"));
        await folder[Symbol.asyncDispose]();
      },
    };
  }
  /** For a host that never gets in: its waiting ends with the test. */
  const hopeless = (joining: Promise<Member>): void => void joining.catch(() => {});

  test("ACC-07: with the right pin a host joins, and nothing is warned of", async () => {
    await using h = await host({ value: await tokenFor("node"), caPin: auth.pin });
    await h.join();
    assert.deepEqual([h.warned, h.log.lines], [[], []]);
  });

  test("AUTH-15: with a wrong pin the token does not leave the machine", async () => {
    await using spy = await snooper(auth.port);
    const value = await tokenFor("node");
    await using h = await host({ value, port: spy.port, caPin: `sha256:${"0".repeat(64)}` });
    hopeless(h.join());
    assert.match(await h.failure(), /the CA pin given does not match the cluster's.*rotated.*tctl status/);
    assert.match(spy.heard, /^POST \S+ HTTP/);
    assert.ok(!spy.heard.includes(value));
    assert.ok(!spy.heard.includes("hosts.join") && !spy.heard.includes(h.id));
  });

  test("AUTH-15: nor to one who hands out the right authority and is not of it", async () => {
    await using spy = await snooper(auth.port);
    const value = await tokenFor("node");
    await using h = await host({ value, port: spy.port, caPin: auth.pin });
    hopeless(h.join());
    await h.failure();
    assert.match(spy.heard, /^POST \S+ HTTP/);
    assert.ok(!spy.heard.includes(value));
  });

  test("AUTH-17: without a pin a host joins with a warning, which no log can hide", async () => {
    await using h = await host({ value: await tokenFor("node") });
    await h.join();
    assert.match(h.warned.join(), /auth server's identity is not verified/);
  });

  test("AUTH-17: by <data_dir>/ca.cert a host verifies the auth server, and nothing is warned of", async () => {
    const value = await tokenFor("node");
    await using h = await host({ value });
    await writeFile(h.folder.at("ca.cert"), auth.ca);
    await h.join();
    assert.deepEqual(h.warned, []);

    await using spy = await snooper(auth.port);
    await using cautious = await host({ value, port: spy.port });
    await writeFile(cautious.folder.at("ca.cert"), auth.ca);
    hopeless(cautious.join());
    await cautious.failure();
    assert.equal(spy.heard, "");
  });

  test("AUTH-17: a ca.cert that holds no certificate does not turn into blind faith", async () => {
    await using h = await host({ value: await tokenFor("node") });
    await writeFile(h.folder.at("ca.cert"), "soon");
    await assert.rejects(h.join(), (err) => Fault.is(err, "bad_parameter") && /ca\.cert/.test(err.message));
    assert.deepEqual(h.warned, []);
  });

  test("what is no auth server, such as a proxy's web port, is told as that", async () => {
    const app = fastify({ https: selfSigned() });
    await app.listen({ host: "127.0.0.1", port: 0 });
    try {
      const { port } = app.server.address() as { port: number };
      await using h = await host({ value: "any", port });
      hopeless(h.join());
      assert.match(await h.failure(), /is something else: give the address of its API \(port 3025\)/);
      assert.equal(h.log.lines[0]?.fields.auth_server, `127.0.0.1:${port}`);
    } finally {
      await app.close();
    }
  });

  test("AUTH-14: a host keeps trying, and joins when its token appears", async () => {
    await using h = await host({ value: "comes-later", caPin: auth.pin });
    const joining = h.join();
    assert.match(
      await h.failure(),
      /"db" \[.*\] can not join the cluster with role Node, the token is not valid/,
    );
    await auth.cluster.admin["tokens.create"]({ roles: ["node"], ttl: hour, value: "comes-later" });
    await eventually("a host that waits", () => h.clock.sleeping > 0);
    await h.clock.advance(13 * second);
    await joining;
  });

  suite("an auth service that starts", () => {
    const starting = async (servers: readonly string[], backend: MemoryBackend): Promise<void> => {
      const { configure, parseConfigFile } = await load();
      const yaml = `teleport: {auth_servers: [${servers}]}\nauth_service: {listen_addr: '127.0.0.1:1'}`;
      const defaults = { nodename: "second", dataDir: "/nowhere" };
      const { config } = configure({ file: parseConfigFile(yaml, "file"), flags: {}, defaults });
      await refuseSecondAuth(config, { backend, version: "5.0.0", clock: systemClock });
    };
    const there = (): string => `'127.0.0.1:${auth.port}'`;

    test("makes no cluster beside one that answers: that needs shared storage", async () => {
      await using empty = new MemoryBackend(systemClock);
      for (const servers of [[there()], ["'127.0.0.1:1'", "'127.0.0.1:2'", there()]])
        await assert.rejects(
          starting(servers, empty),
          (err) => Fault.is(err, "bad_parameter") && /needs storage that both share/.test(err.message),
        );
    });
    test("goes on where it has a cluster, and makes one where nobody answers or the address is its own", async () => {
      await using empty = new MemoryBackend(systemClock);
      await starting([there()], auth.backend);
      await starting(["'127.0.0.1:1'", "'127.0.0.1:2'"], empty);
      await starting([], empty);
    });
  });

  test("AUTH-23: a member needs no token, and is not hurt by one that is not valid", async () => {
    await using h = await host({ value: await tokenFor("node"), caPin: auth.pin });
    const first = await h.join();
    for (const token of [undefined, () => Promise.reject(new Error("no such file"))]) {
      const again = await openMemberAgain(h, token);
      assert.deepEqual(again.identity().tls, first.identity().tls);
      await again.client["cluster.config"]({});
    }
  });

  test("OVW-31: node and proxy of one host are two identities of one host id", async () => {
    await using h = await host({ value: await tokenFor("node", "proxy"), caPin: auth.pin });
    const [node, proxy] = [await h.join("Node"), await h.join("Proxy")];
    assert.notEqual(node.identity().tls.cert, proxy.identity().tls.cert);
    const joined = auth.cluster.events.filter((e) => e.code === "T4000I" && e.server_id === h.id);
    assert.deepEqual(
      joined.map((e) => (e.code === "T4000I" ? e.role : "")),
      ["Node", "Proxy"],
    );
  });

  test("AUTH-22: of 100 hosts that come at once all are let in, those told to come again too", async () => {
    const value = await tokenFor("node");
    await using all = new AsyncDisposableStack();
    const hosts = await Promise.all(
      Array.from({ length: 100 }, async () => {
        const h = all.use(await host({ value }));
        await writeFile(h.folder.at("ca.cert"), auth.ca);
        return h;
      }),
    );
    const putOff = (): boolean =>
      hosts.some(({ log }) => log.lines.some(({ fields }) => /at once/.test(String(fields.error))));
    const { promise, resolve: goOn } = Promise.withResolvers<void>();
    auth.backend.held = promise;
    let joined = 0;
    const joining = Promise.all(hosts.map((h) => h.join().then(() => joined++)));
    await eventually("a host that is told to come again", putOff);
    assert.equal(joined, 0);
    goOn();
    while (joined < hosts.length) {
      await Promise.all(hosts.map(({ clock }) => clock.advance(second / 4)));
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    await joining;
    const ids = new Set(hosts.map(({ id }) => id));
    const events = auth.cluster.events.filter((e) => "server_id" in e && ids.has(String(e.server_id)));
    assert.equal(events.filter(({ code }) => code === "T4000I").length, 100);
  });

  const openMemberAgain = (
    h: { id: string; folder: TempDir; clock: TestClock },
    token: RemoteAuth["token"],
  ): Promise<Member> =>
    openMember(
      {
        role: "Node",
        hostId: h.id,
        dataDir: h.folder.path,
        asked: { node_name: "db", additional_principals: [], dns_names: [] },
        auth: {
          servers: [{ host: "127.0.0.1", port: auth.port }],
          dial: (signal) => dial({ host: "127.0.0.1", port: auth.port }, signal),
          token,
          caPin: undefined,
          warn: assert.fail,
        },
        version: "5.0.0",
        owner: { mark: "this test", lives: () => false },
        clock: h.clock,
        random: systemRandom,
        log: silentLog,
      },
      new AbortController().signal,
    );
});

/** An auth service on a port of its own, over storage in memory. */
async function served() {
  // TLS itself checks certificates by the machine's clock.
  const clock = new TestClock(systemClock.now());
  const backend = new SlowBackend(clock);
  const c = await cluster({}, { clock, backend });
  const own = await makeTlsKey("ecdsa-p256");
  const { tls_cert, tls_ca_certs } = await c.auth.issueHost({
    host_id: hostId,
    node_name: "auth",
    role: "Auth",
    additional_principals: [],
    dns_names: [],
    public_ssh_key: (await publicKeys()).ssh,
    public_tls_key: Buffer.from(own.publicKey).toString("base64"),
  });
  const app = authApi({
    handlers: handlers(c.auth),
    callerOf: (identity) => c.auth.callerOf(identity),
    authorities: () => c.auth.authorities(),
    trusted: () => c.auth.trusted(),
    certificate: { cert: tls_cert, key: own.privateKey },
    clock: systemClock,
    log: silentLog,
  });
  await app.listen({ host: "127.0.0.1", port: 0 });
  const [ca = ""] = tls_ca_certs;
  return {
    cluster: c,
    backend,
    port: (app.server.address() as { port: number }).port,
    ca,
    pin: authorityPin(ca),
    async [Symbol.asyncDispose]() {
      await app.close();
      await c[Symbol.asyncDispose]();
      await backend[Symbol.asyncDispose]();
    },
  };
}

/** Storage that can be held up where the authority's keys are read: for a certificate, and by who asks for the CA. */
class SlowBackend extends MemoryBackend {
  held: Promise<void> = Promise.resolve();
  override async get(key: string): Promise<Stored> {
    if (key.startsWith("/authorities/")) await this.held;
    return super.get(key);
  }
}
