import assert from "node:assert/strict";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { before, suite, test } from "node:test";
import { hour, minute, TestClock } from "#core/clock";
import { Fault, type FaultKind } from "#core/errors";
import type { Draft } from "#events";
import type { ClusterView } from "#mirror";
import {
  type CertAuthority,
  ClusterConfig,
  Node,
  namesOf,
  Role,
  TrustedCluster,
  type TrustedLink,
} from "#model";
import { memorySockets } from "#net";
import { readBrought, vouchedAddress } from "#ssh/brought";
import {
  formatPublicKeyLine,
  generateKey,
  issueCertificate,
  type PrivateKey,
  type Signer,
  sameKey,
} from "#ssh/keys";
import type { DialRequest } from "#tunnel";
import { openForTunnel } from "./from-tunnel.ts";

const clock = new TestClock();
const seconds = (ms: number): bigint => BigInt(Math.floor(ms / 1000));
const authority = (name: string, type: "user" | "host", key: PrivateKey): CertAuthority => ({
  kind: "cert_authority",
  version: "v2",
  metadata: { name },
  spec: {
    type,
    cluster_name: name,
    checking_keys: [formatPublicKeyLine({ key: key.publicKey })],
    tls_key_pairs: [{ cert: "x" }],
  },
});
const node = (id: string, hostname: string, env: string, addr = "192.0.2.20:3022"): Node =>
  Node.parse({
    ...{ kind: "node", version: "v2", metadata: { name: id, labels: { env } } },
    spec: { hostname, addr },
  });
const nodes = [
  node("6a1b4c5e-8a45-4a2e-9f0d-2f7d2c1d5b01", "db1", "prod"),
  node("6a1b4c5e-8a45-4a2e-9f0d-2f7d2c1d5b02", "db2", "dev"),
  node("6a1b4c5e-8a45-4a2e-9f0d-2f7d2c1d5b03", "same", "prod", "192.0.2.21:3022"),
  node("6a1b4c5e-8a45-4a2e-9f0d-2f7d2c1d5b04", "same", "dev", "192.0.2.22:3022"),
];
const ops = Role.parse({
  ...{ kind: "role", version: "v3", metadata: { name: "ops" } },
  spec: { allow: { logins: ["{{internal.logins}}"], node_labels: { env: "prod" } } },
});

suite("what another cluster can have opened by a tunnel", () => {
  let keys: Record<"main" | "east" | "west" | "hosts", PrivateKey>;
  let signer: Signer;
  let links: TrustedLink[];
  before(async () => {
    const [main, east, west, hosts] = await Promise.all([0, 1, 2, 3].map(() => generateKey("ed25519")));
    assert.ok(main && east && west && hosts);
    keys = { main, east, west, hosts };
    const own = await generateKey("ed25519");
    const certificate = await issueCertificate(
      {
        ...{ key: own.publicKey, type: "host", keyId: "e1.east", serial: 1n, principals: ["e1.east"] },
        ...{ validAfter: seconds(clock.now() - minute), validBefore: seconds(clock.now() + hour) },
        extensions: new Map([["x-teleport-role", "Proxy"]]),
      },
      hosts.signer(),
    );
    signer = own.signer(certificate);
    links = (["main", "west"] as const).map((name) => ({
      resource: TrustedCluster.parse({
        ...{ kind: "trusted_cluster", version: "v2", metadata: { name } },
        spec: { web_proxy_addr: `${name}:3080`, role_map: [{ remote: "admin", local: ["ops"] }] },
      }),
      authorities: [authority(name, "user", keys[name])],
    }));
  });

  const certificateOf = async (by: PrivateKey, roles = ["admin"], more: object = {}): Promise<string> => {
    const key = await generateKey("ed25519");
    const certified = await issueCertificate(
      {
        ...{ key: key.publicKey, type: "user", keyId: "joe", serial: 1n, principals: ["root"] },
        ...{ validAfter: seconds(clock.now() - minute), validBefore: seconds(clock.now() + hour) },
        extensions: new Map([["teleport-roles", JSON.stringify({ roles })]]),
        ...more,
      },
      by.signer(),
    );
    return Buffer.from(certified.blob).toString("base64");
  };

  /** Asks for something as joe of main; what was reached says what it was sent. */
  async function ask(request: Partial<DialRequest>) {
    const events: Draft[] = [];
    const dialled: string[] = [];
    let far: Duplex | undefined;
    const open = (what: string): Duplex => {
      dialled.push(what);
      const [one, other] = memorySockets();
      far = other;
      return one;
    };
    const view: ClusterView = {
      config: () => ClusterConfig.parse({ cluster_id: "1", cluster_name: "east" }),
      authorities: (type) => [authority("east", type, type === "user" ? keys.east : keys.hosts)],
      trustedClusters: () => links,
      remoteClusters: () => [],
      user: () => undefined,
      role: (name) => (name === "ops" ? ops : undefined),
      nodes: () => nodes,
      nodesAt: (name) => nodes.filter((one) => namesOf(one).has(name.toLowerCase())),
      proxies: () => [],
      onChange: () => () => {},
    };
    const outcome = openForTunnel(
      {
        address: "db1:0",
        client_addr: "198.51.100.7:50022",
        certificate: await certificateOf(keys.main),
        ...request,
      },
      {
        cluster: "main",
        view,
        reach: {
          view,
          dialAuth: async () => open("auth") as Socket,
          here: (wanted) => open(wanted.spec.hostname),
          clock,
        },
        hostId: "e1",
        signer: () => signer,
        report: (draft) => void events.push(draft),
        clock,
      },
      new AbortController().signal,
    );
    return { outcome, events, dialled, far: () => far ?? assert.fail("nothing was dialled") };
  }
  const refusal = async (
    request: Partial<DialRequest>,
    kind: FaultKind,
    words: RegExp,
  ): Promise<readonly Draft[]> => {
    const { outcome, events, dialled } = await ask(request);
    await assert.rejects(outcome, (err) => {
      assert.ok(Fault.is(err, kind), String(err));
      assert.match(err.message, words);
      return true;
    });
    assert.deepEqual(dialled, [], "nothing was dialled");
    return events;
  };

  for (const [address, reached] of [
    ["db1:0", "db1"],
    ["db1:3022", "db1"],
    ["DB1.east:0", "db1"],
    ["db1.any.domain.example:0", "db1"],
    [`${nodes[0]?.metadata.name}:0`, "db1"],
    // Of two of that name the one that they may see.
    ["same:0", "same"],
    ["@remote-auth-server", "auth"],
  ] as const) {
    test(`${address} is ${reached}`, async () => {
      const { outcome, dialled } = await ask({ address });
      await outcome;
      assert.deepEqual(dialled, [reached]);
    });
  }

  for (const [address, audience, user] of [
    ["db1:0", nodes[0]?.metadata.name ?? "", "joe"],
    ["@remote-auth-server", "auth", ""],
  ] as const) {
    test(`S18, S33: ${audience} is told the client's address, by this cluster's own proxy`, async () => {
      const { outcome, far } = await ask({ address });
      await outcome;
      const line = far().read() as Buffer;
      const brought = readBrought(line.toString("utf8", "Teleport-Proxy".length, line.length - 1));
      const isAuthority = (key: Parameters<typeof sameKey>[0]): boolean => sameKey(key, keys.hosts.publicKey);
      const about = { audience, user, now: clock.now(), isAuthority };
      assert.equal(vouchedAddress(brought, about), "198.51.100.7");
    });
  }

  for (const [what, address] of [
    ["this machine", "127.0.0.1:22"],
    ["this machine by name", "localhost:22"],
    ["the metadata service of a cloud", "169.254.169.254:80"],
    ["an address of the network", "192.0.2.99:22"],
    ["a node's address at another port", "192.0.2.20:22"],
    ["IPv6", "[::1]:3025"],
  ] as const) {
    test(`S62: ${what} is nothing that a tunnel leads to`, async () => {
      await refusal({ address }, "not_found", /there is no node .* in this cluster/);
    });
  }

  test("a node at another port is told of to who may see it, and not dialled", async () => {
    await refusal({ address: "db1:22" }, "not_found", /the node "db1" is at port 3022: use -p 3022/);
  });

  test("PRX-01: a node that no role here lets them see is refused, and written down here", async () => {
    const events = await refusal({ address: "db2:0" }, "access_denied", /joe may not log in to db2/);
    assert.deepEqual(
      events.map((event) => [
        event.code,
        "user" in event && event.user,
        "addr.remote" in event && event["addr.remote"],
      ]),
      [["T3007W", "joe", "198.51.100.7:50022"]],
    );
  });

  test("S32: who has no role that is mapped, or comes by another way than their cluster's, opens nothing", async () => {
    const { main, east, west } = keys;
    for (const [certificate, words] of [
      [await certificateOf(main, ["dev"]), /no role of main that you have is mapped/],
      [await certificateOf(east), /a certificate of east came from main|does not exist/],
      [await certificateOf(west), /a certificate of west came from main/],
      [await certificateOf(await generateKey("ed25519")), /not trusted/],
      [await certificateOf(main, ["admin"], { validBefore: seconds(clock.now() - 1000) }), /expired/],
    ] as const) {
      for (const address of ["db1:0", "@remote-auth-server"]) {
        const events = await refusal({ address, certificate }, "access_denied", words);
        assert.deepEqual(
          events.map(({ code }) => code),
          ["T3007W"],
        );
      }
    }
  });

  test("S18: a certificate that is bound to addresses is good from there only", async () => {
    const bound = { criticalOptions: new Map([["source-address", "198.51.100.0/24"]]) };
    const certificate = await certificateOf(keys.main, ["admin"], bound);
    await (await ask({ certificate })).outcome;
    await refusal({ certificate, client_addr: "203.0.113.9:1" }, "access_denied", /may not be used from 203/);
  });

  test("what is no certificate is refused", async () => {
    const plain = Buffer.from(keys.main.publicKey.blob).toString("base64");
    await refusal({ certificate: plain }, "access_denied", /not a certificate/);
    await refusal({ certificate: "AAAA" }, "protocol", /./);
  });
});
