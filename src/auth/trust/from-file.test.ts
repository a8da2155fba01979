import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { MemoryBackend } from "#backend";
import { hour, minute, second, TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { type Cluster, cluster, hostId, role } from "../testing/cluster.ts";
import { codes, links, secret, stored, two } from "../testing/two-clusters.ts";
import { doorOf, webDoor } from "../testing/web-door.ts";
import { checkFileLink } from "./file-links.ts";
import { type OtherClusters, otherClustersOfFile } from "./from-file.ts";

type Entry = OtherClusters["links"][number];

const entry = ({ address }: { address: string }, more: Partial<Entry> = {}): Entry => ({
  ...{ name: "main", enabled: true, web_proxy_addr: address, token: async () => secret },
  ...more,
});

/** Runs what a start does with these entries, until disposed. */
function start({ auth }: Cluster, ...entries: Entry[]) {
  const stop = new AbortController();
  let ready = false;
  const done = otherClustersOfFile(auth, { links: entries }, hostId).run(stop.signal, () => {
    ready = true;
  });
  assert.ok(ready, "nothing waits for it");
  return {
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await done;
    },
  };
}

async function until(what: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await what())) await new Promise<void>((resolve) => setImmediate(resolve));
}
/** So long that whatever is about to be sent has been sent, on this machine. */
async function aWhile(): Promise<void> {
  for (let i = 0; i < 50; i++) await new Promise<void>((resolve) => setImmediate(resolve));
}
const warnings = ({ log }: Cluster): string[] =>
  log.lines.filter(({ level }) => level === "warn").map(({ fields }) => `${fields.key}: ${fields.why}`);
const isLinked = async (c: Cluster): Promise<boolean> => (await stored(c).trustedClusters.list()).length > 0;

suite("CFG-64: clusters of the file", () => {
  test("are linked at the start, by the auth server; both sides have the record", async () => {
    await using t = await two();
    await using _ = start(
      t.east,
      entry(t.door, { tunnel_addr: "main:3024", role_map: [{ remote: "ops", local: ["admin"] }] }),
    );
    await until(() => codes(t.east).length > 0);
    assert.deepEqual(await links(t.east), { trusted: ["main"], remote: [] });
    assert.deepEqual(await links(t.main), { trusted: [], remote: ["east"] });
    const [{ spec } = assert.fail()] = await t.east.admin["trusted_clusters.list"]({});
    assert.deepEqual(spec, {
      enabled: true,
      web_proxy_addr: t.door.address,
      tunnel_addr: "main:3024",
      role_map: [{ remote: "ops", local: ["admin"] }],
    });
    const event = t.east.events.find(({ code }) => code === "T4190I") as { user?: string };
    assert.equal(event.user, `${hostId}.east`);
    assert.deepEqual(warnings(t.east), []);
  });

  test("another start does nothing; with another `enabled` it sets that, and nothing else; without the entry it leaves it", async () => {
    await using t = await two();
    const once = async (...entries: Entry[]): Promise<void> => {
      await using _ = start(t.east, ...entries);
      await aWhile();
      await until(() => isLinked(t.east));
    };
    await once(entry(t.door));
    const [before] = await stored(t.east).trustedClusters.list();
    await once(entry(t.door));
    assert.deepEqual(codes(t.east), ["T4190I"]);
    await once(entry(t.door, { enabled: false }));
    await once(entry(t.door, { enabled: false }));
    const [after] = await stored(t.east).trustedClusters.list();
    assert.ok(before && after);
    const { spec } = before.resource;
    assert.deepEqual(after, {
      ...before,
      resource: { ...before.resource, spec: { ...spec, enabled: false } },
    });
    await once();
    assert.deepEqual((await links(t.east)).trusted, ["main"]);
    assert.deepEqual([codes(t.east), t.door.seen.length], [["T4190I", "T4191I"], 1]);
    assert.deepEqual(warnings(t.east), []);
  });

  test("TC-03: one under another name is renamed, with a warning, and known again at the next start", async () => {
    await using t = await two();
    const named = (more: Partial<Entry> = {}): Entry => entry(t.door, { name: "mian", ...more });
    {
      await using _ = start(t.east, named());
      await until(() => isLinked(t.east));
      await until(() => warnings(t.east).length > 0);
    }
    assert.deepEqual((await links(t.east)).trusted, ["main"]);
    assert.match(
      warnings(t.east)[0] ?? "",
      /: trusted cluster "mian" resource has been renamed to match remote cluster name "main"$/,
    );
    await using _ = start(t.east, named({ enabled: false }));
    await until(() => codes(t.east).length > 1);
    await using __ = start(t.east, named({ enabled: false, token: async () => "another" }));
    await until(() => warnings(t.east).length > 1);
    assert.match(warnings(t.east)[1] ?? "", /can not update token for existing trusted cluster "main"/);
    assert.deepEqual([codes(t.east), t.door.seen.length], [["T4190I", "T4191I"], 1]);
  });

  test("one that is away is tried again, told of once, and linked when it is back", async () => {
    await using t = await two();
    let away = true;
    await using door = await webDoor(async (response, body) => {
      if (away) return void response.socket?.destroy();
      const { token, certificate_authorities: authorities } = body as {
        token: string;
        certificate_authorities: never[];
      };
      const mine = await t.main.proxy["remote_clusters.accept"]({ token, authorities });
      response.end(JSON.stringify({ certificate_authorities: mine }));
    });
    await using _ = start(t.east, entry(door));
    await until(() => warnings(t.east).length > 0);
    for (let tries = 1; tries < 4; tries++) {
      await until(() => door.seen.length === tries);
      await aWhile();
      await t.east.clock.advance(5 * minute);
    }
    assert.equal(warnings(t.east).length, 1);
    assert.match(
      warnings(t.east)[0] ?? "",
      /^auth_service\.trusted_clusters\.0: https:\/\/127\.0\.0\.1:\d+ cannot be reached: /,
    );
    await until(() => door.seen.length === 4);
    away = false;
    await aWhile();
    await t.east.clock.advance(5 * minute);
    await until(() => codes(t.east).length > 1);
    assert.deepEqual(codes(t.east), ["T4190W", "T4190I"]);
    assert.deepEqual((await links(t.main)).remote, ["east"]);
  });

  test("a token that is refused is told of once and tried again after minutes: guesses are counted there", async () => {
    await using t = await two();
    const token = "planted-wrong-token";
    await using _ = start(t.east, entry(t.door, { token: async () => token }));
    await until(() => warnings(t.east).length > 0);
    assert.match(warnings(t.east)[0] ?? "", /access denied: the cluster token has been rejected/);
    await t.east.clock.advance(2 * minute);
    await aWhile();
    assert.equal(t.door.seen.length, 1);
    await t.east.clock.advance(3 * minute);
    await until(() => t.door.seen.length === 2);
    await aWhile();
    assert.deepEqual([warnings(t.east).length, codes(t.east)], [1, ["T4190W"]]);
    // Who made the token meanwhile has not to start anything again.
    await t.main.admin["tokens.create"]({ roles: ["trusted_cluster"], ttl: hour, value: token });
    await t.east.clock.advance(10 * minute);
    await until(() => isLinked(t.east));
  });

  test("S72: the token is in no log and no event of either side, nor in what is kept", async () => {
    await using t = await two();
    await using _ = start(
      t.east,
      entry(t.door),
      entry(t.door, { name: "planted", token: async () => "planted-2" }),
    );
    await using echo = await webDoor((response, body) => {
      const { token } = body as { token: string };
      response.writeHead(403).end(JSON.stringify({ message: `no: ${token}` }));
    });
    await using __ = start(t.east, entry(echo, { name: "west", token: async () => "planted-3" }));
    await using ___ = start(
      t.east,
      entry(echo, { name: "south", token: async () => `planted-${"4".repeat(300)}` }),
    );
    await until(() => codes(t.east).length > 1 && warnings(t.east).length > 2);
    for (const c of [t.main, t.east]) {
      const { trustedClusters, remoteClusters } = stored(c);
      const said = [c.events, c.log.lines, await trustedClusters.list(), await remoteClusters.list()];
      assert.doesNotMatch(JSON.stringify(said), /planted-/);
    }
  });

  for (const [what, more] of [
    ["token", { token: async () => "another" }],
    ["proxy address", { web_proxy_addr: "main:1" }],
    ["tunnel address", { tunnel_addr: "main:3024" }],
    ["role map", { role_map: [{ remote: "*", local: ["admin"] }] }],
  ] as const) {
    test(`TC-09: another ${what} is told of, and never tried; enabled stays too`, async () => {
      await using t = await two();
      await t.link({ enabled: true });
      const before = await stored(t.east).trustedClusters.list();
      await using _ = start(t.east, entry(t.door, { enabled: false, ...more } as Partial<Entry>));
      await until(() => warnings(t.east).length > 0);
      assert.match(
        warnings(t.east)[0] ?? "",
        new RegExp(`can not update ${what} for existing trusted cluster "main"; tctl rm it`),
      );
      const { sleeping } = t.east.clock;
      await t.east.clock.advance(2 * hour);
      await aWhile();
      assert.ok(t.east.clock.sleeping <= sleeping);
      assert.deepEqual(await stored(t.east).trustedClusters.list(), before);
      assert.equal(warnings(t.east).length, 1);
    });
  }

  test("of several auth servers that start at once one makes the link; a token for one cluster is enough", async () => {
    const clock = new TestClock();
    await using backend = new MemoryBackend(clock);
    await using main = await cluster();
    await using door = await doorOf(main);
    const made = await main.admin["tokens.create"]({ roles: ["trusted_cluster"], ttl: hour, uses: 1 });
    const token = async (): Promise<string> => made.metadata.name;
    const config = { clusterName: "east", anyClusterCertificate: true };
    await using one = await cluster(config, { backend, clock });
    await using other = await cluster(config, { backend, clock });
    await using _ = start(one, entry(door, { token }));
    await using __ = start(other, entry(door, { token }));
    for (let i = 0; i < 20; i++) {
      await aWhile();
      await clock.advance(200);
    }
    await until(() => isLinked(one));
    assert.deepEqual([...codes(one), ...codes(other)], ["T4190I"]);
    assert.deepEqual([codes(main), warnings(one), warnings(other)], [["T4193I"], [], []]);
  });

  test("a token that cannot be read is asked for again, but not for a link that is there", async () => {
    await using t = await two();
    let there = false;
    const token = async (): Promise<string> => {
      if (there) return secret;
      throw new Fault("not_found", "cannot read /etc/token: ENOENT");
    };
    await using _ = start(t.east, entry(t.door, { token }));
    await until(() => warnings(t.east).length > 0);
    assert.equal(warnings(t.east)[0], "auth_service.trusted_clusters.0: cannot read /etc/token: ENOENT");
    there = true;
    await t.east.clock.advance(5 * second);
    await until(() => isLinked(t.east));
    there = false;
    await using __ = start(t.east, entry(t.door, { token, enabled: false }));
    await until(() => codes(t.east).length > 1);
    assert.deepEqual([codes(t.east), warnings(t.east).length], [["T4190I", "T4191I"], 1]);
  });

  test("a mapping to a role that is made later is taken then", async () => {
    await using t = await two();
    await using _ = start(t.east, entry(t.door, { role_map: [{ remote: "admin", local: ["ops"] }] }));
    await until(() => warnings(t.east).length > 0);
    assert.match(warnings(t.east)[0] ?? "", /a role "ops" referenced in a mapping .* is not defined/);
    await t.east.admin["roles.put"]({ role: role("ops", { allow: {} }) });
    await t.east.clock.advance(5 * minute);
    await until(() => isLinked(t.east));
    assert.equal(t.door.seen.length, 1);
  });

  test("one that is wrong keeps no other from being linked; a stop does not wait for who does not answer", async () => {
    await using t = await two();
    await using silent = await webDoor(() => {});
    const wrong = entry({ address: "main:3080/x" }, { name: "west" });
    const running = start(t.east, wrong, entry(silent, { name: "south" }), entry(t.door));
    await until(() => isLinked(t.east));
    await until(() => silent.seen.length > 0);
    await running[Symbol.asyncDispose]();
    assert.equal(warnings(t.east).length, 1);
    assert.match(
      warnings(t.east)[0] ?? "",
      /^auth_service\.trusted_clusters\.0: web_proxy_addr: .* is not an address/,
    );
    assert.deepEqual(
      await stored(t.east)
        .backend.get("/locks/trust/south")
        .catch((err: Fault) => err.kind),
      "not_found",
    );
  });
});

suite("what an entry of the file may say", () => {
  const good = { name: "main", enabled: true, web_proxy_addr: "main:3080" };
  test("is what a link may be", () => {
    checkFileLink(
      { ...good, tunnel_addr: "main:3024", roles: ["a"] },
      [{ ...good, name: "x", web_proxy_addr: "x" }],
      "east",
    );
    checkFileLink({ ...good, role_map: [{ remote: "^(.*)$", local: ["$1"] }] }, []);
  });
  for (const [what, more, words] of [
    ["another form of address", { web_proxy_addr: "https://main" }, /^web_proxy_addr: .*host:port/],
    ["another form of tunnel address", { tunnel_addr: "main:x" }, /^tunnel_addr: .*host:port/],
    ["a name that is none", { name: "a/b" }, /^name: "a\/b" cannot be a cluster's name/],
    ["the name of this cluster", { name: "EAST" }, /^name: remote cluster name can not be the same/],
    ["a name that is there already", { name: "Other" }, /^name: "Other" is there twice/],
    [
      "an address that is there already",
      { web_proxy_addr: "other" },
      /^web_proxy_addr: "other" is there twice/,
    ],
    [
      "both forms of a mapping",
      { role_map: [{ remote: "a", local: ["a"] }], roles: ["a"] },
      /is the older form of role_map/,
    ],
    ["an empty mapping", { role_map: [] }, /spec\.role_map: is empty/],
    ["wildcards here", { role_map: [{ remote: "a", local: ["*"] }] }, /wildcards are not allowed/],
    [
      "a role twice",
      {
        role_map: [
          { remote: "a", local: ["a"] },
          { remote: "a", local: ["b"] },
        ],
      },
      /is there twice/,
    ],
    ["a pattern that is none", { role_map: [{ remote: "^($", local: ["a"] }] }, /role_map\[0\]\.remote/],
  ] as const) {
    test(`not ${what}`, () => {
      const other = { ...good, name: "other", web_proxy_addr: "other:3080" };
      assert.throws(
        () => checkFileLink({ ...good, ...(more as Partial<Entry>) }, [other], "east"),
        (err) => Fault.is(err, "bad_parameter") && words.test(err.message),
      );
    });
  }
});
