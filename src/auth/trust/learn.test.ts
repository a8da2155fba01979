import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { hour, minute } from "#core/clock";
import { Fault } from "#core/errors";
import { ProxyServer, type RotationPhase } from "#model";
import { parsePrivateKey, signMessage } from "#ssh/keys";
import { type Cluster, cluster, hostId } from "../testing/cluster.ts";
import { codes, refused, stored, two } from "../testing/two-clusters.ts";

type Two = Awaited<ReturnType<typeof two>>;

const say = async (c: Cluster): Promise<string> => (await c.proxy["links.statement"]({})).statement;
const tell = (c: Cluster, name: string, statement: string): Promise<void> =>
  c.proxy["links.learn"]({ name, statement });
/** Keys of the authorities of `main` that `east` knows, and the other way round. */
const known = async ({ main, east }: Two) => {
  const keys = (all: readonly { spec: { type: string; checking_keys: string[] } }[]) =>
    Object.fromEntries(all.map(({ spec }) => [spec.type, spec.checking_keys]));
  return {
    atEast: keys((await stored(east).trustedClusters.get("main")).authorities),
    atMain: keys((await stored(main).remoteClusters.get("east")).authorities),
  };
};
const own = async (c: Cluster, type: "user" | "host"): Promise<string[]> =>
  (await stored(c).authorities.get(`${type}/${c.auth.clusterName}`)).spec.checking_keys;

async function rotate(c: Cluster, phase: RotationPhase): Promise<void> {
  c.clock.advance(minute);
  await c.admin["authorities.rotate"]({ phase, grace_period: 10 * hour });
}

suite("ROT-10: a link goes on over a rotation", () => {
  const phases = ["init", "update_clients", "update_servers", "standby"] as const;
  test("of either side, told at each of its phases", async () => {
    await using t = await two();
    await t.link();
    for (const phase of phases) {
      for (const [c, other, name] of [
        [t.main, t.east, "main"],
        [t.east, t.main, "east"],
      ] as const) {
        await rotate(c, phase);
        await tell(other, name, await say(c));
      }
      const { atEast, atMain } = await known(t);
      assert.deepEqual(atEast, { host: await own(t.main, "host"), user: await own(t.main, "user") }, phase);
      assert.deepEqual(atMain, { host: await own(t.east, "host") }, phase);
    }
    // In `update_servers` nothing of it changes.
    assert.equal(codes(t.east).filter((code) => code === "T4195I").length, 3);
  });

  test("also for who was away until the last but one of them", async () => {
    await using t = await two();
    await t.link();
    for (const phase of phases.slice(0, 3)) await rotate(t.main, phase);
    await tell(t.east, "main", await say(t.main));
    await rotate(t.main, "standby");
    await tell(t.east, "main", await say(t.main));
    assert.deepEqual((await known(t)).atEast.user, await own(t.main, "user"));
  });

  test("not for who was away from the first to the last: that one is told to link anew", async () => {
    await using t = await two();
    await t.link();
    for (const phase of phases) await rotate(t.main, phase);
    await assert.rejects(
      tell(t.east, "main", await say(t.main)),
      refused("access_denied", /is not signed by one that is known here; .* link the clusters anew$/),
    );
    assert.equal(codes(t.east).at(-1), "T4195W");
  });
});

suite("S32: nobody but the other cluster says what its authorities are", () => {
  let t: Two;
  before(async () => {
    t = await two();
    await t.link();
  });
  after(() => t[Symbol.asyncDispose]());

  test("what is known already is written down once only, and changes nothing", async () => {
    const before = codes(t.east);
    await tell(t.east, "main", await say(t.main));
    assert.deepEqual(codes(t.east), before);
  });

  const statement = async (
    change: (said: Record<string, unknown>) => unknown,
    by = t.main,
  ): Promise<string> => {
    const said = change(JSON.parse(JSON.parse(await say(t.main)).statement));
    const message = JSON.stringify(said);
    const [key = ""] =
      (await stored(by).authorities.get(`host/${by.auth.clusterName}`)).spec.signing_keys ?? [];
    const signature = await signMessage(
      parsePrivateKey(key).key.signer(),
      "authorities@teleport",
      Buffer.from(message),
    );
    return JSON.stringify({ statement: message, signatures: [Buffer.from(signature).toString("base64")] });
  };
  const unsigned = /is not signed by one that is known here/;
  for (const [why, text, words] of [
    ["something that makes no sense", async () => "{}", /makes no sense/],
    [
      "a statement with a byte of it changed",
      async () => (await say(t.main)).replace('\\"format\\":1', '\\"format\\": 1'),
      unsigned,
    ],
    ["one that another cluster signed", () => statement((said) => said, t.east), unsigned],
    ["one of another cluster", async () => say(t.east), unsigned],
    ["one without authorities", () => statement((said) => ({ ...said, authorities: [] })), /makes no sense/],
    [
      "one with a key of this cluster's",
      async () => {
        const [host] = [await stored(t.east).authorities.get("host/east")];
        const taken = host.spec.checking_keys;
        return statement(({ authorities, ...rest }) => ({
          ...rest,
          authorities: (authorities as { spec: object }[]).map((ca) => ({
            ...ca,
            spec: { ...ca.spec, checking_keys: taken },
          })),
        }));
      },
      /is of another authority/,
    ],
    ["one of a later format", () => statement((said) => ({ ...said, format: 2 })), /makes no sense/],
  ] as const) {
    test(`${why} is not believed`, async () => {
      const before = await known(t);
      await assert.rejects(
        text().then((said) => tell(t.east, "main", said)),
        (err) => err instanceof Fault && err.kind !== "internal" && words.test(err.message),
      );
      assert.deepEqual(await known(t), before);
      assert.equal(codes(t.east).at(-1), "T4195W");
    });
  }

  test("nor what was said before something newer", async () => {
    await rotate(t.main, "init");
    const old = await say(t.main);
    await rotate(t.main, "update_clients");
    await tell(t.east, "main", await say(t.main));
    await assert.rejects(tell(t.east, "main", old), refused("access_denied", /is older than what is known/));
  });

  test("and of a cluster that is not linked nothing is taken", async () => {
    await assert.rejects(
      tell(t.main, "nosuch", await say(t.east)),
      refused("not_found", /no cluster "nosuch" is linked/),
    );
  });
});

test("no two linked clusters have a key in common: whose a certificate is must be plain", async () => {
  await using t = await two();
  await t.link();
  await using west = await cluster({ clusterName: "west" });
  const { spec } = await stored(t.main).authorities.get("host/main");
  const stolen = {
    ...(await stored(west).authorities.get("host/west")),
    spec: { ...spec, cluster_name: "west", signing_keys: [], tls_key_pairs: [] as never[] },
  };
  const [tls] = (await stored(west).authorities.get("host/west")).spec.tls_key_pairs;
  const token = await t.east.admin["tokens.create"]({ roles: ["trusted_cluster"], ttl: hour });
  await assert.rejects(
    t.east.proxy["remote_clusters.accept"]({
      token: token.metadata.name,
      authorities: [{ ...stolen, spec: { ...stolen.spec, tls_key_pairs: [{ cert: tls?.cert ?? "" }] } }],
    }),
    refused("bad_parameter", /is of another authority/),
  );
});

test("TC-15: a remote cluster is online while a proxy that is there hears of it", async () => {
  await using t = await two();
  await t.link();
  const status = async () => (await t.main.admin["remote_clusters.list"]({}))[0]?.status;
  const proxy = ProxyServer.parse({
    ...{ kind: "proxy", version: "v2", metadata: { name: hostId } },
    spec: { hostname: "p", addr: "10.0.0.1:3023", public_addr: "p:3080" },
  });
  const heard = (connected: boolean) => t.main.proxy["remote_clusters.tunnel"]({ name: "east", connected });
  await heard(true);
  assert.equal((await status())?.connection, "offline", "the proxy itself is not there");
  await t.main.proxy["proxies.announce"](proxy);
  const at = new Date(t.main.clock.now()).toISOString();
  assert.deepEqual(await status(), { connection: "online", last_heartbeat: at });
  await heard(false);
  assert.deepEqual(await status(), { connection: "offline", last_heartbeat: at });
  await heard(true);
  await t.main.clock.advance(16 * minute);
  await t.main.proxy["proxies.announce"](proxy);
  assert.equal((await status())?.connection, "offline", "it was not heard for three times five minutes");
  await assert.rejects(t.main.proxy["remote_clusters.tunnel"]({ name: "west", connected: true }), {
    message: /west/,
  });
});
