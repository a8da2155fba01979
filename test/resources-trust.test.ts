import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, suite, test } from "node:test";
import type { AuthClient } from "#authclient";
import { hour } from "#core/clock";
import { type Cluster, cluster, role } from "../src/auth/testing/cluster.ts";
import { doorOf, type WebDoor } from "../src/auth/testing/web-door.ts";
import { programWith } from "../src/cli/tctl/program.ts";
import { runLine } from "../src/cli/testing.ts";

type Ran = { code: number; out: string; err: string };

/** Links between clusters by `tctl`: `main`, where people are, and `east`, which is to let them in. */
suite("tctl and trusted clusters", () => {
  const stack = new AsyncDisposableStack();
  let main: Cluster;
  let east: Cluster;
  let door: WebDoor;
  let folder: string;

  before(async () => {
    main = stack.use(await cluster({ staticTokens: [{ roles: ["trusted_cluster"], token: "planted" }] }));
    east = stack.use(await cluster({ clusterName: "east", anyClusterCertificate: true }));
    door = stack.use(await doorOf(main));
    folder = mkdtempSync(join(tmpdir(), "tctl-trust-"));
    stack.defer(() => rmSync(folder, { recursive: true }));
    for (const name of ["auditor", "dev"]) await east.admin["roles.put"]({ role: role(name, {}) });
  });
  after(() => stack.disposeAsync());
  afterEach(async () => {
    for (const c of [main, east]) {
      const { trustedClusters, remoteClusters } = c.auth.parts.store;
      for (const { resource } of await trustedClusters.list())
        await trustedClusters.delete(resource.metadata.name);
      for (const { resource } of await remoteClusters.list())
        await remoteClusters.delete(resource.metadata.name);
    }
  });

  const tctl = (c: Cluster, line: string, input = ""): Promise<Ran> =>
    runLine(
      programWith(async () => ({ ...c.admin, close() {} }) as unknown as AuthClient),
      line.split(" "),
      { input },
    );
  async function must(c: Cluster, line: string, input?: string): Promise<string> {
    const { code, out, err } = await tctl(c, line, input);
    assert.deepEqual([code, err], [0, ""], line);
    return out;
  }
  const map = "role_map: [{remote: admin, local: [auditor]}, {remote: 'team-*', local: dev}]";
  const file = (spec = map, name = "main", token = "token: planted, "): string =>
    `kind: trusted_cluster\nversion: v2\nmetadata: {name: ${name}}\nspec: {enabled: false, ${token}web_proxy_addr: "${door.address}", ${spec}}\n`;

  test("ACC-35: create says so, get prints it without its token, and what get printed can be sent back", async () => {
    assert.equal(await must(east, "create", file()), 'trusted cluster "main" has been created\n');
    const printed = await must(east, "get tc/main");
    assert.equal(
      printed,
      `kind: trusted_cluster
metadata:
  name: main
spec:
  enabled: false
  web_proxy_addr: ${door.address}
  role_map:
    - remote: admin
      local:
        - auditor
    - remote: team-*
      local:
        - dev
version: v2
`,
    );
    for (const flag of ["", " --with-secrets", " --format=text", " --format=json"])
      assert.doesNotMatch(await must(east, `get tc${flag}`), /planted/);
    assert.equal(await must(east, "create -f", printed), 'trusted cluster "main" has been updated\n');
    assert.equal(await must(east, "create -f", file()), 'trusted cluster "main" has been updated\n');
    assert.equal(await must(east, "get tc/main"), printed);
  });

  test("text is a table, of both ends (TCT-62)", async () => {
    const cells = (out: string): string[][] =>
      out
        .split("\n")
        .map((line) => line.split(/ {1,}/).filter((cell) => !/^-*$/.test(cell)))
        .filter((line) => line.length > 0);
    await must(east, "create", file());
    const [, row] = cells(await must(east, "get tc --format=text"));
    const { address } = door;
    assert.deepEqual(row, ["main", "false", "(used)", address, address, "admin:auditor", "team-*:dev"]);
    assert.deepEqual(cells(await must(main, "get rc --format=text"))[1], ["east", "offline", "never"]);
    await must(east, "rm tc/main");
    await must(east, "create", file("tunnel_addr: 'main:3024'"));
    assert.deepEqual(cells(await must(east, "get tc --format=text"))[1]?.slice(4), [
      "main:3024",
      "admin:admin",
    ]);
  });

  test("a name that is not the other cluster's is put right, with a warning (TC-03)", async () => {
    const { code, out, err } = await tctl(east, "create", file(map, "mian"));
    assert.deepEqual(
      [code, out, err],
      [
        0,
        'trusted cluster "main" has been created\n',
        'WARNING: trusted cluster "mian" resource has been renamed to match remote cluster name "main"\n',
      ],
    );
  });

  for (const [why, text, code, words] of [
    [
      "a mapping that makes no sense, at its place",
      () => file("role_map: [{remote: a, local: ['*']}]"),
      2,
      /^error: standard input:4:\d+: trusted cluster "main", spec\.role_map\[0\]\.local: "\*": wildcards/,
    ],
    [
      "an unknown key, at its place",
      () => file("rolemap: []"),
      2,
      /standard input:4:\d+: spec: unknown key "rolemap"; did you mean "role_map"\?/,
    ],
    [
      "a token that is none",
      () => file(map, "main", "token: x, "),
      1,
      /^error: access denied: the cluster token has been rejected/,
    ],
    [
      "a role that is not there",
      () => file("role_map: [{remote: a, local: b}]"),
      2,
      /^error: a role "b" referenced in a mapping/,
    ],
  ] as const) {
    test(`refuses ${why}`, async () => {
      const ran = await tctl(east, "create", text());
      assert.deepEqual([ran.code, ran.out], [code, ""]);
      assert.match(ran.err, words);
      assert.equal(await must(east, "get tc"), "");
    });
  }

  test("DEC-09: rm tc/NAME takes a remote cluster where there is no trusted one, and says which it was", async () => {
    await must(east, "create", file());
    assert.equal(await must(main, "rm tc/east"), 'remote cluster "east" has been deleted\n');
    assert.deepEqual(await tctl(main, "rm tc/east"), {
      code: 1,
      out: "",
      err: "error: trusted_cluster east not found\n",
    });
    assert.equal(await must(east, "rm tc/main"), 'trusted cluster "main" has been deleted\n');
    await must(east, "create", file());
    assert.equal(await must(main, "rm rc east"), 'remote cluster "east" has been deleted\n');
  });

  test("TC-14: where both trust each other it tells of the trust that is left", async () => {
    await must(east, "create", file());
    const { metadata } = await east.admin["tokens.create"]({ roles: ["trusted_cluster"], ttl: hour });
    await using back = await doorOf(east);
    await using other = await cluster({ anyClusterCertificate: true }, main);
    const text = file("roles: [admin]", "east", `token: ${metadata.name}, `).replace(
      door.address,
      back.address,
    );
    await must(other, "create", text);
    assert.match(await must(main, "get tc/east --format=text"), / \*:admin\n/);
    assert.equal(
      await must(main, "rm tc/east"),
      'trusted cluster "east" has been deleted\neast trusts this cluster too, and goes on doing so; tctl rm rc/east ends that from here\n',
    );
    assert.equal(await must(main, "rm tc/east"), 'remote cluster "east" has been deleted\n');
    // What is removed is what was named.
    assert.equal(await must(east, "rm rc/main"), 'remote cluster "main" has been deleted\n');
    assert.match(await must(east, "get tc/main"), /name: main/);
  });

  test("several documents: a role, and the cluster whose people get it", async () => {
    const ops = "kind: role\nversion: v3\nmetadata: {name: ops}\nspec: {}\n";
    const both = `${ops}---\n${file("role_map: [{remote: admin, local: ops}]")}`;
    assert.equal(
      await must(east, "create", both),
      `role 'ops' has been created\ntrusted cluster "main" has been created\n`,
    );
    const again = await tctl(east, "create", both);
    assert.deepEqual(
      [again.code, again.err],
      [
        1,
        "error: role/ops, trusted_cluster/main already exist, so nothing of the file was created; -f overwrites what is there\n",
      ],
    );
  });

  test("apply makes it once, sees what differs, and with --prune deletes it; remote clusters stay", async () => {
    const path = join(folder, "links.yaml");
    const apply = (...flags: string[]): Promise<Ran> =>
      tctl(east, ["apply", `--file=${path}`, ...flags].join(" "));
    writeFileSync(
      path,
      `kind: role\nversion: v3\nmetadata: {name: guest}\nspec: {}\n---\n${file("roles: [guest]")}`,
    );
    assert.match((await apply()).out, /^\+ role guest\n\+ trusted_cluster main\n2 created/);
    assert.match((await apply()).out, /^Nothing to do: 2 as the files say\n/);
    // The links of others to this cluster are not the files' business.
    const { metadata } = await east.admin["tokens.create"]({ roles: ["trusted_cluster"], ttl: hour });
    const authorities = (await main.admin["authorities.list"]({ type: "host" })).slice(0, 1);
    await east.proxy["remote_clusters.accept"]({ token: metadata.name, authorities });

    writeFileSync(
      path,
      file("roles: [dev]").replace("metadata: {name: main}", "metadata: {name: main, labels: {a: b}}"),
    );
    const changed = await apply();
    assert.equal(changed.code, 1);
    assert.match(
      changed.err,
      /^error: ~ trusted_cluster main: can not update role map for existing trusted cluster/,
    );

    writeFileSync(path, file("roles: [nobody]"));
    assert.match(
      (await apply()).err,
      /trusted_cluster\/main gives the role "nobody", which is neither among the files/,
    );

    writeFileSync(path, "kind: role\nversion: v3\nmetadata: {name: dev}\nspec: {}\n");
    assert.match((await apply("--prune")).err, /role\/\w+ cannot be deleted: trusted_cluster\/main has it/);

    writeFileSync(path, file("roles: [guest]", "other"));
    const pruned = await apply("--prune", "--dry-run");
    assert.match(pruned.out, /\+ trusted_cluster other\n- trusted_cluster main\n/);
    assert.deepEqual(
      (await east.admin["remote_clusters.list"]({})).map((one) => one.metadata.name),
      ["main"],
    );
  });
});
