import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { suite, test } from "node:test";
import { hour, minute } from "#core/clock";
import type { CertAuthority } from "#model";
import { fingerprint, formatPublicKeyLine, generateKey, parsePublicKeyLine } from "#ssh/keys";
import { identify } from "../certificates/peer.ts";
import { type Cluster, cluster, hostId, publicKeys } from "../testing/cluster.ts";
import { codes, links, refused, stored, two } from "../testing/two-clusters.ts";
import { type FileTrust, readTrust } from "./file-trust.ts";
import { otherClustersOfFile } from "./from-file.ts";

type Named = FileTrust["authorities"][number];

const line = async (): Promise<string> =>
  formatPublicKeyLine({ key: (await generateKey("ed25519")).publicKey });
const keysOf = async (c: Cluster, type: "user" | "host"): Promise<string[]> =>
  (await stored(c).authorities.get(`${type}/${c.auth.clusterName}`)).spec.checking_keys;
const named = (type: "user" | "host", keys: readonly string[], more: Partial<Named> = {}): Named => ({
  ...{ type, domain_name: "main", keys, signs: false, namesLogins: false },
  ...more,
});
const both = async (c: Cluster): Promise<Named[]> => [
  named("host", await keysOf(c, "host")),
  named("user", await keysOf(c, "user")),
];
const tunnel = (...addresses: string[]) => ({ domain_name: "main", addresses });

/** What a start does with these, to its end. */
async function start({ auth, log }: Cluster, trust: FileTrust): Promise<string[]> {
  const stop = new AbortController();
  const before = log.lines.length;
  const read = Promise.withResolvers<void>();
  const running = otherClustersOfFile(
    auth,
    {
      links: [],
      trust: async () => {
        read.resolve();
        return trust;
      },
    },
    hostId,
  ).run(stop.signal, () => {});
  await read.promise;
  for (let i = 0; i < 50; i++) await new Promise<void>((resolve) => setImmediate(resolve));
  stop.abort();
  await running;
  return log.lines.slice(before).map(({ fields }) => String(fields.why));
}

/** The X.509 certificate of a person. */
async function certificateOf(c: Cluster): Promise<Uint8Array> {
  const { ssh, tls } = await publicKeys();
  await c.addUser("joe", { traits: { logins: ["root"] } });
  const signed = await c.admin["users.sign"]({ user: "joe", pub_key: ssh, tls_pub_key: tls, ttl: hour });
  return new X509Certificate(signed.tls_cert ?? assert.fail()).raw;
}

async function until(done: () => boolean): Promise<void> {
  while (!done()) await new Promise<void>((resolve) => setImmediate(resolve));
}

suite("CFG-61: authorities and tunnels of an older file", () => {
  test("a host authority makes a remote cluster, known by its SSH keys", async () => {
    await using east = await cluster({ clusterName: "east" });
    const key = await line();
    assert.deepEqual(await start(east, { authorities: [named("host", [key])], tunnels: [] }), []);
    assert.deepEqual(await links(east), { trusted: [], remote: ["main"] });
    const [{ authorities } = assert.fail()] = await stored(east).remoteClusters.list();
    assert.deepEqual(
      authorities.map(({ spec }) => spec),
      [{ type: "host", cluster_name: "main", checking_keys: [key], tls_key_pairs: [] }],
    );
    assert.deepEqual(codes(east), ["T4193I"]);
    // And every call that shows it can.
    const all = await east.admin["authorities.list"]({ type: "host" });
    assert.deepEqual(all.map(({ metadata }) => metadata.name).sort(), ["east", "main"]);
    await start(east, { authorities: [named("host", [key])], tunnels: [] });
    await start(east, { authorities: [], tunnels: [] });
    assert.deepEqual([codes(east), (await links(east)).remote], [["T4193I"], ["main"]]);
  });

  test("both authorities and a tunnel make a trusted cluster, enabled: admin there is admin here", async () => {
    await using t = await two();
    const trust = { authorities: await both(t.main), tunnels: [tunnel("main:3024", "main2:3024")] };
    assert.deepEqual(await start(t.east, trust), [
      'the cluster "main": of its tunnels\' addresses only the first, main:3024, is used',
    ]);
    assert.deepEqual(
      (await t.east.admin["trusted_clusters.list"]({})).map(({ metadata, spec }) => [metadata, spec]),
      [[{ name: "main" }, { enabled: true, web_proxy_addr: "main:3024", tunnel_addr: "main:3024" }]],
    );
    assert.deepEqual(codes(t.east), ["T4190I"]);
    const guest = (role: string) =>
      t.east.auth.callerOf({
        ...{ kind: "remote_user", user: "joe", cluster: "main", roles: [role], logins: [], expires: 0 },
      });
    assert.ok((await guest("admin")).can("list", "role"));
    await assert.rejects(guest("ops"), refused("access_denied", /is mapped to one/));
  });

  test("S32: its people's TLS certificates are refused, in words, until it tells what signs them", async () => {
    await using t = await two();
    await start(t.east, { authorities: await both(t.main), tunnels: [tunnel("main:3024")] });
    await until(() => t.east.auth.trusted().length === 1);
    const certificate = await certificateOf(t.main);
    const asks = () => identify(certificate, t.east.auth.authorities(), t.east.clock, t.east.auth.trusted());
    assert.throws(
      asks,
      refused("access_denied", /^of the cluster main, .* only the SSH keys are known here/),
    );
    await using west = await cluster({ clusterName: "west" });
    const other = await certificateOf(west);
    assert.throws(
      () => identify(other, t.east.auth.authorities(), t.east.clock, t.east.auth.trusted()),
      refused("access_denied", /is not of this cluster/),
    );

    const { statement } = await t.main.proxy["links.statement"]({});
    await t.east.proxy["links.learn"]({ name: "main", statement });
    await until(
      () => t.east.auth.trusted()[0]?.authorities.every(({ spec }) => spec.tls_key_pairs.length > 0) ?? false,
    );
    const joe = asks();
    assert.deepEqual([joe.kind, "user" in joe && joe.user], ["remote_user", "joe"]);
    const forged = await west.proxy["links.statement"]({});
    await assert.rejects(
      t.east.proxy["links.learn"]({ name: "main", statement: forged.statement }),
      refused("access_denied", /is not signed by one that is known here/),
    );
  });

  test("ROT-10: what the cluster told since is not taken back by the next start; another address is", async () => {
    await using t = await two();
    const trust = { authorities: await both(t.main), tunnels: [tunnel("main:3024")] };
    await start(t.east, trust);
    for (const phase of ["init", "update_clients", "update_servers", "standby"] as const) {
      await t.main.clock.advance(minute);
      await t.main.admin["authorities.rotate"]({ phase, grace_period: 10 * hour });
      const { statement } = await t.main.proxy["links.statement"]({});
      await t.east.proxy["links.learn"]({ name: "main", statement });
    }
    await start(t.east, { ...trust, tunnels: [tunnel("other:3024")] });
    const { authorities, resource } = await stored(t.east).trustedClusters.get("main");
    assert.deepEqual(
      authorities.map(({ spec }) => spec.checking_keys),
      [await keysOf(t.main, "host"), await keysOf(t.main, "user")],
    );
    assert.equal(resource.spec.tunnel_addr, "other:3024");
    assert.equal(codes(t.east).at(-1), "T4191I");
  });

  test("other keys in the file count for a link of the file; whether it is enabled is the administrator's", async () => {
    await using east = await cluster({ clusterName: "east" });
    const trust = async (): Promise<FileTrust> => ({
      authorities: [named("host", [await line()]), named("user", [await line(), await line()])],
      tunnels: [tunnel("main:3024")],
    });
    await start(east, await trust());
    const [made] = await east.admin["trusted_clusters.list"]({});
    assert.ok(made);
    const disabled = { ...made, spec: { ...made.spec, enabled: false } };
    await east.admin["trusted_clusters.put"]({ cluster: disabled, force: true });
    const next = await trust();
    await start(east, next);
    const { authorities, resource } = await stored(east).trustedClusters.get("main");
    assert.deepEqual(
      authorities.map(({ spec }) => spec.checking_keys),
      next.authorities.map(({ keys }) => keys),
    );
    assert.equal(resource.spec.enabled, false);
  });

  test("a link that was made by an exchange stays as it is, in both directions", async () => {
    await using t = await two();
    await t.link();
    const [atEast, atMain] = [
      await stored(t.east).trustedClusters.list(),
      await stored(t.main).remoteClusters.list(),
    ];
    const keys = [named("host", [await line()]), named("user", [await line()])];
    await start(t.east, { authorities: keys, tunnels: [tunnel("x:3024")] });
    const said = await start(t.main, {
      authorities: keys.map((one) => ({ ...one, domain_name: "east" })),
      tunnels: [],
    });
    assert.equal(said.length, 1);
    assert.deepEqual(await stored(t.east).trustedClusters.list(), atEast);
    assert.deepEqual(await stored(t.main).remoteClusters.list(), atMain);
    // And who would be known by other keys in the other direction is refused.
    const refusal = await start(t.east, { authorities: keys, tunnels: [] });
    assert.match(refusal.join(), /a cluster main with other keys is linked there already/);
    assert.deepEqual((await links(t.east)).remote, []);
    assert.equal(codes(t.east).at(-1), "T4193W");
  });

  test("keys of this cluster, of another one, or of two uses are refused", async () => {
    await using t = await two();
    await t.link();
    const [own, mains] = [await keysOf(t.east, "user"), await keysOf(t.main, "user")];
    const key = await line();
    for (const authorities of [
      [named("host", own, { domain_name: "west" })],
      [named("host", mains, { domain_name: "west" })],
    ]) {
      assert.match(
        (await start(t.east, { authorities, tunnels: [] })).join(),
        /^the cluster "west" is passed over: the key .* is of another authority$/,
      );
    }
    const twice = [
      named("host", [key], { domain_name: "west" }),
      named("user", [key], { domain_name: "west" }),
    ];
    const tunnels = [{ ...tunnel("west:3024"), domain_name: "west" }];
    assert.match((await start(t.east, { authorities: twice, tunnels })).join(), /is of another authority/);
    assert.deepEqual(await links(t.east), { trusted: ["main"], remote: [] });
  });
});

suite("what an older file says", () => {
  const read = (authorities: Named[], tunnels: FileTrust["tunnels"] = [], names: string[] = []) =>
    readTrust({ authorities, tunnels }, "east", names);
  const spec = (given: readonly CertAuthority[] | undefined) => given?.map((ca) => ca.spec.checking_keys);

  test("in the forms of tctl auth export, of .pub files and of several lines", async () => {
    const [a, b, c] = [await line(), await line(), await line()];
    const keys = [
      `# ours\n${a} joe@host\n\n@cert-authority *.main ${b} type=host\n`,
      `cert-authority ${c} clustername=main`,
    ];
    const { imports, warnings } = read([named("host", keys), named("host", [a])]);
    assert.deepEqual([spec(imports[0]?.authorities), warnings], [[[a, b, c]], []]);
  });

  test("is taken as far as it makes sense, and told of otherwise", async () => {
    const key = await line();
    const host = named("host", [key]);
    const user = named("user", [await line()]);
    const table: [string, ReturnType<typeof read>, number, RegExp][] = [
      [
        "the own cluster",
        read([{ ...host, domain_name: "East", signs: true }]),
        0,
        /is this cluster's own, which makes it itself/,
      ],
      ["private keys", read([{ ...host, signs: true }]), 0, /has its private keys here/],
      ["logins", read([{ ...host, namesLogins: true }]), 1, /allowed_logins is ignored; roles decide/],
      ["people without a tunnel", read([host, user]), 1, /its user authority is ignored/],
      ["a tunnel without people", read([host], [tunnel("a:1")]), 0, /wants the host and the user authority/],
      ["a tunnel to nowhere", read([host, user], [tunnel()]), 0, /has no address/],
      [
        "an address that is none",
        read([host, user], [tunnel("a:x")]),
        0,
        /reverse_tunnels: "a:x" is not an address/,
      ],
      ["a tunnel to itself", read([], [{ ...tunnel("a:1"), domain_name: "east" }]), 0, /passed over: /],
      ["what is no key", read([named("host", ["ssh-rsa AAAA"])]), 0, /passed over: the host authority: /],
      ["a key that was taken back", read([named("host", [`@revoked *.main ${key}`])]), 0, /passed over: /],
      ["no key", read([named("host", ["# none"])]), 0, /the host authority has no public key/],
      [
        "a cluster that has an entry",
        read([host], [], ["Main"]),
        0,
        /is among trusted_clusters too, which counts/,
      ],
    ];
    for (const [what, { imports, warnings }, made, words] of table) {
      assert.equal(imports.length, made, what);
      assert.equal(warnings.length, 1, `${what}: ${warnings.join()}`);
      assert.match(warnings[0] ?? "", words);
      assert.ok(!warnings.join().includes(fingerprint(parsePublicKeyLine(key).key)));
    }
  });
});
