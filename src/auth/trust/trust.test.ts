import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { MemoryBackend } from "#backend";
import { hour, minute, second, TestClock } from "#core/clock";
import { Fault, type FaultKind } from "#core/errors";
import { type CertAuthority, publicPart } from "#model";
import { makeAuthority } from "#pki";
import { formatPublicKeyLine, generateKey } from "#ssh/keys";
import { type Cluster, cluster, role } from "../testing/cluster.ts";
import { codes, links, refused, rejected, resource, secret, stored, two } from "../testing/two-clusters.ts";
import { doorOf, type WebDoor, webDoor } from "../testing/web-door.ts";

suite("a trusted cluster is linked (TC-04, TC-10)", () => {
  test("by an exchange of authorities, public parts; both sides keep a record, and neither the token", async () => {
    await using t = await two();
    assert.deepEqual(await t.link(), { created: true, name: "main" });
    assert.deepEqual(await links(t.east), { trusted: ["main"], remote: [] });
    assert.deepEqual(await links(t.main), { trusted: [], remote: ["east"] });
    const { token: _, ...spec } = resource(t.door).spec;
    assert.deepEqual(await t.east.admin["trusted_clusters.list"]({}), [{ ...resource(t.door), spec }]);
    assert.deepEqual(await t.main.admin["remote_clusters.list"]({}), [
      {
        kind: "remote_cluster",
        version: "v3",
        metadata: { name: "east" },
        status: { connection: "offline" },
      },
    ]);

    const kept = async (from: Cluster, type: string): Promise<CertAuthority> =>
      publicPart(await stored(from).authorities.get(`${type}/${from.auth.clusterName}`));
    const [atEast] = await stored(t.east).trustedClusters.list();
    assert.deepEqual(atEast?.authorities, [await kept(t.main, "host"), await kept(t.main, "user")]);
    const [atMain] = await stored(t.main).remoteClusters.list();
    assert.deepEqual(atMain?.authorities, [await kept(t.east, "host")]);
    const sent = JSON.stringify([t.door.seen, atEast, atMain]);
    assert.ok(!sent.includes("PRIVATE KEY"));
    assert.ok(!JSON.stringify([atEast, atMain]).includes(secret));
  });

  test("S72: the token is in no event, no log and no answer", async () => {
    await using t = await two();
    await t.link();
    await assert.rejects(t.link({ token: "planted-wrong-token" }, "other"), rejected);
    const answers = await t.east.admin["trusted_clusters.list"]({});
    for (const c of [t.main, t.east])
      assert.doesNotMatch(JSON.stringify([c.events, c.log.lines, answers]), /planted/);
  });

  test("both sides' audit logs tell, of what was refused too", async () => {
    await using t = await two();
    await assert.rejects(t.link({ token: "wrong" }), rejected);
    await t.link();
    await t.again();
    await t.east.admin["trusted_clusters.delete"]({ name: "main" });
    await t.main.admin["remote_clusters.delete"]({ name: "east" });
    assert.deepEqual(codes(t.east), ["T4190W", "T4190I", "T4191I", "T4192I"]);
    assert.deepEqual(codes(t.main), ["T4193W", "T4193I", "T4194I"]);
    const [no, yes] = t.main.events.filter(({ code }) => code.startsWith("T4193"));
    const from = { name: "east", "addr.remote": "192.0.2.7:40000" };
    for (const [event, more] of [
      [no, { success: false }],
      [yes, { success: true, method: "static-token" }],
    ] as const)
      assert.deepEqual({ ...event, ...from, ...more }, event);
  });

  test("under the name that the other cluster has (TC-03)", async () => {
    await using t = await two();
    assert.deepEqual(await t.link({}, "mian"), { created: true, name: "main" });
    assert.deepEqual((await links(t.east)).trusted, ["main"]);
    await assert.rejects(
      t.link({}, "mian"),
      refused("already_exists", 'trusted cluster "main" already exists'),
    );
  });

  test("once; whoever came before and forgot it may come again", async () => {
    await using t = await two();
    await t.link();
    await assert.rejects(t.link(), refused("already_exists", 'trusted cluster "main" already exists'));
    assert.equal(t.door.seen.length, 1, "nothing was sent");
    await t.east.admin["trusted_clusters.delete"]({ name: "main" });
    await t.link();
    assert.deepEqual([(await links(t.east)).trusted, (await links(t.main)).remote], [["main"], ["east"]]);
  });

  test("each way, and each end goes by itself (TC-11, TC-12, TC-14)", async () => {
    await using t = await two();
    await t.link();
    const { metadata } = await t.east.admin["tokens.create"]({ roles: ["trusted_cluster"], ttl: hour });
    await using back = await doorOf(t.east);
    await using other = await cluster(
      { anyClusterCertificate: true },
      { backend: t.main.backend, clock: t.main.clock },
    );
    const east = resource(back, { token: metadata.name }, "east");
    await other.admin["trusted_clusters.put"]({ cluster: east });
    assert.deepEqual(await links(t.east), { trusted: ["main"], remote: ["main"] });
    await t.east.admin["trusted_clusters.delete"]({ name: "main" });
    assert.deepEqual(await links(t.east), { trusted: [], remote: ["main"] });
    assert.deepEqual(await links(t.main), { trusted: ["east"], remote: ["east"] });
    await t.main.admin["remote_clusters.delete"]({ name: "east" });
    assert.deepEqual(await links(t.main), { trusted: ["east"], remote: [] });
    for (const gone of [
      t.main.admin["remote_clusters.delete"]({ name: "east" }),
      t.east.admin["trusted_clusters.delete"]({ name: "main" }),
    ])
      await assert.rejects(gone, (err) => Fault.is(err, "not_found"));
  });

  test("and stays so over a restart", async () => {
    const clock = new TestClock();
    await using backend = new MemoryBackend(clock);
    await using main = await cluster({ staticTokens: [{ roles: ["trusted_cluster"], token: secret }] });
    await using door = await doorOf(main);
    const config = { clusterName: "east", anyClusterCertificate: true };
    {
      await using east = await cluster(config, { backend, clock });
      await east.admin["trusted_clusters.put"]({ cluster: resource(door) });
    }
    await using east = await cluster(config, { backend, clock });
    assert.deepEqual((await links(east)).trusted, ["main"]);
    const { created } = await east.admin["trusted_clusters.put"]({ cluster: resource(door), force: true });
    assert.equal(created, false);
  });
});

suite("tokens of clusters", () => {
  test("S50: a token for anything else is none, nor one that has ended; all are refused alike", async () => {
    await using t = await two();
    const make = async (roles: ("node" | "proxy" | "auth" | "trusted_cluster")[]) =>
      (await t.main.admin["tokens.create"]({ roles, ttl: hour })).metadata.name;
    const short = await make(["trusted_cluster"]);
    await t.main.clock.advance(hour + minute);
    const node = await make(["node", "proxy", "auth"]);
    const { token } = await t.main.admin["signups.create"]({ user: "ann", traits: {}, ttl: hour });
    for (const wrong of [node, short, token, "x"]) await assert.rejects(t.link({ token: wrong }), rejected);
    assert.deepEqual(await links(t.main), { trusted: [], remote: [] });
    await t.link({ token: await make(["node", "trusted_cluster"]) });
  });

  test("S49: a token for one cluster lets in one of any number, and none that is refused takes it", async () => {
    await using main = await cluster();
    const made = await main.admin["tokens.create"]({ roles: ["trusted_cluster"], ttl: hour, uses: 1 });
    const token = made.metadata.name;
    const clusters = await Promise.all(
      ["main", "a", "b", "c"].map((clusterName) => cluster({ clusterName, anyClusterCertificate: true })),
    );
    const ask = async (c: Cluster): Promise<string> => {
      const own = publicPart(await stored(c).authorities.get(`host/${c.auth.clusterName}`));
      const asked = main.proxy["remote_clusters.accept"]({ token, authorities: [own] });
      return asked.then(
        () => "in",
        (err: Fault) => err.kind,
      );
    };
    const [same, ...others] = clusters;
    assert.equal(await ask(same ?? assert.fail()), "bad_parameter");
    assert.deepEqual((await Promise.all(others.map(ask))).sort(), ["access_denied", "access_denied", "in"]);
    assert.equal((await links(main)).remote.length, 1);
    for (const c of clusters) await c[Symbol.asyncDispose]();
  });

  test("guesses are counted by where they come from, as failed logins are (AUTH-40)", async () => {
    await using main = await cluster();
    const own = publicPart(await stored(main).authorities.get("host/main"));
    const guess = (client_addr: string) =>
      main.proxy["remote_clusters.accept"]({ token: "x", authorities: [own], client_addr });
    for (let i = 0; i < 50; i++) await assert.rejects(guess("192.0.2.1:1"), rejected);
    await assert.rejects(guess("192.0.2.1:2"), refused("access_denied", /too many failed logins/));
    await assert.rejects(guess("192.0.2.2:1"), rejected);
  });
});

suite("what is refused before anything is sent", () => {
  let t: Awaited<ReturnType<typeof two>>;
  before(async () => {
    t = await two();
  });
  after(() => t[Symbol.asyncDispose]());
  for (const [why, spec, kind, words] of [
    ["one without a token", { token: undefined }, "bad_parameter", /has no spec\.token; .*tctl tokens add/],
    [
      "a role that is not there",
      { role_map: [{ remote: "admin", local: ["admin", "auditor"] }] },
      "bad_parameter",
      'a role "auditor" referenced in a mapping of the trusted cluster "main" is not defined',
    ],
    ["a role that is not there, in the older form", { roles: ["auditor"] }, "bad_parameter", /"auditor"/],
    [
      "a mapping that makes no sense",
      { role_map: [{ remote: "a", local: ["*"] }] },
      "bad_parameter",
      /wildcards/,
    ],
    ["an address with a path", { web_proxy_addr: "main:3080/x" }, "bad_parameter", /write it as host:port/],
    ["an address with a user", { web_proxy_addr: "x@main:3080" }, "bad_parameter", /write it as host:port/],
    ["an address with a query", { web_proxy_addr: "main?x" }, "bad_parameter", /write it as host:port/],
    ["a tunnel address that is none", { tunnel_addr: "main:x" }, "bad_parameter", /write it as host:port/],
  ] as const) {
    test(why, async () => {
      await assert.rejects(t.link(spec), refused(kind, words));
      assert.deepEqual([t.door.seen, await links(t.east)], [[], { trusted: [], remote: [] }]);
    });
  }

  test("one of this cluster's name, and by the other side as well (TC-06)", async () => {
    const same = refused("bad_parameter", /^remote cluster name can not be the same as local cluster name/);
    await using t = await two();
    await assert.rejects(t.link({}, "East"), same);
    assert.deepEqual(t.door.seen, []);
    await using other = await cluster({ anyClusterCertificate: true });
    await assert.rejects(other.admin["trusted_clusters.put"]({ cluster: resource(t.door, {}, "x") }), same);
    assert.deepEqual(await links(t.main), { trusted: [], remote: [] });
  });

  test("by who may not, as roles say it", async () => {
    await using t = await two();
    await t.east.admin["roles.put"]({
      role: role("linker", {
        allow: {
          rules: [
            { resources: ["trusted_cluster"], verbs: ["*"], where: 'equals(resource.metadata.name, "main")' },
          ],
        },
      }),
    });
    await t.east.addUser("ann", { roles: ["linker"] });
    const ann = t.east.user("ann", ["linker"]);
    const put = (name: string) => ann["trusted_clusters.put"]({ cluster: resource(t.door, {}, name) });
    await assert.rejects(put("other"), (err) => Fault.is(err, "access_denied"));
    assert.deepEqual(t.door.seen, []);
    await put("main");
    assert.equal((await ann["trusted_clusters.list"]({})).length, 1);
    await assert.rejects(ann["remote_clusters.list"]({}), (err) => Fault.is(err, "access_denied"));
  });
});

suite("a link stays what it was made as (TC-09)", () => {
  let t: Awaited<ReturnType<typeof two>>;
  before(async () => {
    t = await two();
    await t.link(given);
  });
  after(() => t[Symbol.asyncDispose]());
  const given = { tunnel_addr: "main:3024", role_map: [{ remote: "admin", local: ["admin"] }] };
  for (const [why, spec] of [
    ["as it was written", {}],
    ["as it is printed, without the token", { token: undefined }],
  ] as const) {
    test(`-f of it ${why} is success, and asks nobody`, async () => {
      assert.deepEqual(await t.again({ ...given, ...spec }), { created: false, name: "main" });
      assert.equal(t.door.seen.length, 1);
    });
  }
  for (const [why, spec, words] of [
    ["token", { token: "other" }, /^can not update token for existing trusted cluster "main"/],
    [
      "proxy address",
      { web_proxy_addr: "main:1" },
      /^can not update proxy address for existing trusted cluster/,
    ],
    [
      "tunnel address",
      { tunnel_addr: "main:1" },
      /^can not update tunnel address for existing trusted cluster/,
    ],
    ["tunnel address, gone", { tunnel_addr: undefined }, /^can not update tunnel address/],
    [
      "role map",
      { role_map: [{ remote: "*", local: ["admin"] }] },
      /^can not update role map for existing trusted cluster/,
    ],
    ["role map, gone", { role_map: undefined }, /^can not update role map/],
    ["role map, in the older form", { role_map: undefined, roles: ["admin"] }, /^can not update role map/],
  ] as const) {
    test(`no other ${why}`, async () => {
      const before = await t.east.admin["trusted_clusters.list"]({});
      await assert.rejects(t.again({ ...given, ...spec }), refused("bad_parameter", words));
      assert.deepEqual([await t.east.admin["trusted_clusters.list"]({}), t.door.seen.length], [before, 1]);
    });
  }

  test("it is disabled and enabled again, which both logs tell", async () => {
    for (const enabled of [true, false]) {
      assert.equal((await t.again({ ...given, enabled })).created, false);
      const [now] = await t.east.admin["trusted_clusters.list"]({});
      assert.equal(now?.spec.enabled, enabled);
      assert.equal((t.east.events.at(-1) as { enabled?: boolean }).enabled, enabled);
    }
    assert.equal(t.door.seen.length, 1, "nobody was asked");
  });

  test("what is said about it may change, unless somebody else did that meanwhile", async () => {
    const [was] = await t.east.admin["trusted_clusters.list"]({});
    assert.ok(was);
    const said = (description: string) =>
      t.east.admin["trusted_clusters.put"]({
        cluster: { ...was, metadata: { ...was.metadata, description } },
        force: true,
        was,
      });
    await said("the main one");
    assert.equal((await t.east.admin["trusted_clusters.list"]({}))[0]?.metadata.description, "the main one");
    await assert.rejects(said("another"), (err) => Fault.is(err, "compare_failed"));
  });
});

suite("a cluster that lies", () => {
  let east: Cluster;
  before(async () => {
    east = await cluster({ clusterName: "east", anyClusterCertificate: true });
  });
  after(() => east[Symbol.asyncDispose]());
  const newAuthority = async (type: "user" | "host", name = "main"): Promise<CertAuthority> => {
    const ssh = await generateKey("ed25519");
    const { cert } = await makeAuthority({
      clusterName: name,
      keyType: "ecdsa-p256",
      now: Date.UTC(2026, 0),
    });
    return {
      kind: "cert_authority",
      version: "v2",
      metadata: { name },
      spec: {
        type,
        cluster_name: name,
        checking_keys: [formatPublicKeyLine({ key: ssh.publicKey })],
        tls_key_pairs: [{ cert }],
      },
    };
  };
  const withSpec = (ca: CertAuthority, spec: Partial<CertAuthority["spec"]>): CertAuthority => ({
    ...ca,
    spec: { ...ca.spec, ...spec },
  });
  type Lie = (host: CertAuthority, user: CertAuthority, east: Cluster) => unknown | Promise<unknown>;
  const own = async (c: Cluster): Promise<CertAuthority> =>
    publicPart(await stored(c).authorities.get(`host/${c.auth.clusterName}`));
  const table: [string, Lie, FaultKind, RegExp][] = [
    ["nothing", () => [], "protocol", /one authority each of: host, user/],
    ["one authority", (host) => [host], "protocol", /one authority each/],
    ["two of a type", (host) => [host, host], "protocol", /one authority each/],
    [
      "authorities of two clusters",
      async (host) => [host, await newAuthority("user", "other")],
      "protocol",
      /of several clusters/,
    ],
    [
      "authorities of this cluster's name",
      async () => [await newAuthority("host", "east"), await newAuthority("user", "east")],
      "bad_parameter",
      /^remote cluster name can not be the same/,
    ],
    [
      "this cluster's own authority, under another name",
      async (host, user, east) => [
        withSpec(host, { checking_keys: (await own(east)).spec.checking_keys }),
        user,
      ],
      "protocol",
      /is of another authority/,
    ],
    [
      "one key for both",
      (host, user) => [host, withSpec(user, { checking_keys: host.spec.checking_keys })],
      "protocol",
      /is of another authority/,
    ],
    [
      "private keys",
      (host, user) => [withSpec(host, { signing_keys: ["planted"] }), user],
      "protocol",
      /with its private key/,
    ],
    [
      "a private TLS key",
      (host, user) => [withSpec(host, { tls_key_pairs: [{ cert: "", key: "planted" }] }), user],
      "protocol",
      /with its private key/,
    ],
    [
      "a key that is none",
      (host, user) => [withSpec(host, { checking_keys: ["ssh-ed25519 AAAA"] }), user],
      "protocol",
      /the host authority of main: /,
    ],
    [
      "a certificate that is none",
      (host, user) => [withSpec(host, { tls_key_pairs: [{ cert: "x" }] }), user],
      "protocol",
      /the host authority of main: /,
    ],
    [
      "a certificate of another cluster",
      async (host, user) => {
        const { tls_key_pairs } = (await newAuthority("host", "other")).spec;
        return [withSpec(host, { tls_key_pairs }), user];
      },
      "protocol",
      /the certificate is of the cluster "other"/,
    ],
    [
      "more keys than anybody needs",
      (host, user) => [withSpec(host, { checking_keys: Array(9).fill(host.spec.checking_keys[0]) }), user],
      "protocol",
      /8 keys at most/,
    ],
    [
      "a name that is none",
      async () => [await newAuthority("host", "a b"), await newAuthority("user", "a b")],
      "protocol",
      /cannot be a cluster's name/,
    ],
    ["something else", () => "hello", "protocol", /does not answer like the web proxy of a cluster/],
  ];
  for (const [what, lie, kind, words] of table) {
    test(`answers with ${what}`, async () => {
      await using door = await webDoor(async (response) => {
        const cas = await lie(await newAuthority("host"), await newAuthority("user"), east);
        response.end(JSON.stringify({ certificate_authorities: cas }));
      });
      const before = await stored(east).authorities.list();
      await assert.rejects(
        east.admin["trusted_clusters.put"]({ cluster: resource(door, {}, "x") }),
        (err) => refused(kind, words)(err) && !(err as Fault).message.includes("planted"),
      );
      assert.deepEqual(await links(east), { trusted: [], remote: [] });
      assert.deepEqual(await stored(east).authorities.list(), before);
    });
  }

  test("what is kept of an authority is what was understood of it", async () => {
    const [host, user] = [await newAuthority("host"), await newAuthority("user")];
    await using door = await webDoor((response) => {
      const more = {
        checking_keys: host.spec.checking_keys.map((line) => `command="x" ${line} a comment`),
        tls_key_pairs: host.spec.tls_key_pairs.map(({ cert }) => ({ cert: `junk\n${cert}\njunk` })),
        roles: ["admin"],
        role_map: [{ remote: "*", local: ["admin"] }],
      };
      const expires = "2027-01-01T00:00:00Z";
      const ca = { ...withSpec(host, more), metadata: { name: "main", expires } };
      response.end(JSON.stringify({ certificate_authorities: [ca, user] }));
    });
    await east.admin["trusted_clusters.put"]({ cluster: resource(door) });
    const [record] = await stored(east).trustedClusters.list();
    assert.deepEqual(record?.authorities, [host, user]);
  });

  test("a link that has an end is gone then (AUTH-43)", async () => {
    await using t = await two();
    const until = new Date(t.east.clock.now() + hour).toISOString();
    const cluster = resource(t.door);
    await t.east.admin["trusted_clusters.put"]({
      cluster: { ...cluster, metadata: { name: "main", expires: until } },
    });
    await t.east.clock.advance(hour - minute);
    assert.deepEqual((await links(t.east)).trusted, ["main"]);
    await t.east.clock.advance(2 * minute);
    assert.deepEqual((await links(t.east)).trusted, []);
    await assert.rejects(
      t.east.admin["trusted_clusters.put"]({
        cluster: { ...cluster, metadata: { name: "main", expires: until } },
      }),
      refused("bad_parameter", /metadata\.expires: .* is over/),
    );
  });

  test("nobody takes the place of a cluster that is linked, from either side", async () => {
    await using t = await two();
    await t.link();
    const other = await newAuthority("host", "east");
    await assert.rejects(
      t.main.proxy["remote_clusters.accept"]({ token: secret, authorities: [other] }),
      refused("already_exists", /a cluster east with other keys is linked .*tctl rm rc\/east/),
    );
    // Nor that of one that this cluster trusts.
    const { metadata } = await t.east.admin["tokens.create"]({ roles: ["trusted_cluster"], ttl: hour });
    await assert.rejects(
      t.east.proxy["remote_clusters.accept"]({
        token: metadata.name,
        authorities: [await newAuthority("host", "main")],
      }),
      refused("already_exists", /tctl rm tc\/main/),
    );
    assert.deepEqual(await links(t.east), { trusted: ["main"], remote: [] });
  });
});

suite("a web proxy that cannot be asked", () => {
  const east = (insecure = true) => cluster({ clusterName: "east", anyClusterCertificate: insecure });
  const attempt = (c: Cluster, door: Pick<WebDoor, "address">) =>
    c.admin["trusted_clusters.put"]({ cluster: resource(door) });

  test("its certificate does not verify, and the token is not told (TC-05)", async () => {
    await using c = await east(false);
    await using main = await cluster();
    await using door = await doorOf(main);
    await assert.rejects(
      attempt(c, door),
      refused(
        "unreachable",
        /^the trusted cluster uses misconfigured HTTP\/TLS certificate: [^;]*; give its web proxy .*--insecure/,
      ),
    );
    assert.deepEqual([door.seen, codes(c)], [[], ["T4190W"]]);
  });

  for (const [why, status, body, kind, words] of [
    ["sends elsewhere", 302, "", "protocol", /does not answer like the web proxy/],
    ["has no such page", 404, '{"message":"there is nothing at this address"}', "protocol", /web_proxy_addr/],
    ["fails", 500, '{"message":"x"}', "protocol", /web_proxy_addr/],
    ["answers with something else", 200, "<html>", "protocol", /web_proxy_addr/],
    ["is asked too often", 429, '{"message":"too many"}', "limit_exceeded", /^too many \(so says https:/],
    [
      "repeats the token, with control characters and at length",
      403,
      JSON.stringify({ message: `no: ${secret}\u001b[2J ${"x".repeat(1000)}` }),
      "access_denied",
      /^no: … \[2J x{200,300} \(so says https:\/\/127\.0\.0\.1:\d+\)$/,
    ],
    ["answers at length", 200, `"${"x".repeat(1024 * 1024)}"`, "unreachable", /more than 1048576 bytes/],
  ] as const) {
    test(`it ${why}`, async () => {
      await using c = await east();
      await using elsewhere = await webDoor((response) => void response.end());
      await using door = await webDoor((response) => {
        response.writeHead(status, { location: `https://${elsewhere.address}/` }).end(body);
      });
      await assert.rejects(attempt(c, door), refused(kind, words));
      assert.deepEqual(elsewhere.seen, []);
      assert.doesNotMatch(JSON.stringify(c.events), new RegExp(secret));
    });
  }

  test("it does not answer at all: 20 s", async () => {
    await using c = await east();
    const asked = Promise.withResolvers<void>();
    await using door = await webDoor(() => asked.resolve());
    const outcome = attempt(c, door);
    await Promise.all([
      assert.rejects(outcome, refused("unreachable", /did not answer within 20 s/)),
      asked.promise.then(() => c.clock.advance(20 * second)),
    ]);
  });
});
