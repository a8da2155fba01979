import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { TestCluster } from "./cluster.ts";

suite("tsh ssh, hosts by label", () => {
  let cluster: TestCluster;
  const ssh = (...line: string[]) => cluster.tsh(["ssh", ...line]);
  after(() => cluster[Symbol.asyncDispose]());
  const ids = ["one", "two", "three"].map((name) => ({
    name,
    id: `0000000${name.length}-0000-4000-8000-${name.padEnd(12, "0").replaceAll(/[^0-9a-f]/g, "a")}`,
  }));
  const list = (hostile = "") =>
    ids.map(({ name, id }) => ({
      kind: "node",
      version: "v2",
      metadata: { name: id, labels: { env: "prod" } },
      spec: { hostname: name + hostile, addr: "10.0.0.1:3022" },
    }));
  /** How many run at this moment, and ran at most. */
  let running = 0;
  let most = 0;
  before(async () => {
    cluster = await TestCluster.start();
    await cluster.login();
    await cluster.node("db", async ({ channel, exit }) => {
      await channel.write(Buffer.from("of one"));
      await exit(0);
    });
    for (const [index, { id, name }] of ids.entries()) {
      await cluster.node(id, async (session) => {
        running++;
        most = Math.max(most, running);
        await new Promise((resolve) => setImmediate(resolve));
        for (const part of [`${name} be`, "gins\nand", " ends"])
          await session.channel.write(Buffer.from(part));
        await session.channel.writeStderr(Buffer.from("\u001b[31mred\u001b[0m\n"));
        running--;
        await session.exit(index * 2);
      });
    }
    cluster.auth.set("nodes.list", () => list());
  });
  test("lines come whole behind their node's name, then a table; the exit code is the highest", async () => {
    const got = await ssh("root@env=prod", "x");
    assert.equal(got.code, 4);
    assert.deepEqual(got.out.trimEnd().split("\n").sort(), [
      "one: and ends",
      "one: one begins",
      "three: and ends",
      "three: three begins",
      "two: and ends",
      "two: two begins",
    ]);
    assert.ok(got.err.includes("\ntwo: \u001b[31mred\u001b[0m\n"), "not a terminal: as it came");
    assert.match(
      got.err,
      /\nNode Name Exit Code Time *\n-+ -+ -+\none +0 +\d+m?s\nthree +4 +\S+\ntwo +2 +\S+\n$/,
    );
  });
  test("--parallel bounds how many run at a time", async () => {
    [running, most] = [0, 0];
    await ssh("--parallel=1", "root@env=prod", "x");
    assert.equal(most, 1);
    assert.equal((await ssh("--parallel=0", "root@env=prod", "x")).code, 2);
  });
  test("with --format=json standard output is the table alone", async () => {
    const got = await ssh("--format=json", "root@env=prod", "x");
    const table = JSON.parse(got.out) as {
      node: string;
      exit_code: number;
      error: string;
      seconds: number;
    }[];
    assert.deepEqual(
      table.map(({ node, exit_code, error }) => [node, exit_code, error]),
      [
        ["one", 0, ""],
        ["three", 4, ""],
        ["two", 2, ""],
      ],
    );
    assert.match(got.err, /^one: one begins$/m);
    const one = await ssh("--format=json", "root@db", "x");
    assert.deepEqual([JSON.parse(one.out)[0].node, /^db: of one$/m.test(one.err)], ["db", true]);
    assert.equal((await ssh("--format=json", "root@db")).code, 2);
  });
  test("one that cannot be reached does not stop the rest, and counts as 1", async () => {
    const [gone] = ids;
    const host = cluster.hosts.get(gone?.id ?? "");
    cluster.hosts.delete(gone?.id ?? "");
    const got = await ssh("root@env=prod", "x");
    assert.equal(got.code, 4);
    assert.match(got.err, /^one: error: failed connecting to node/m);
    assert.match(got.err, /^one +1 +\S+ +failed connecting/m);
    assert.equal(got.out.includes("two begins"), true);
    if (host) cluster.hosts.set(gone?.id ?? "", host);
  });
  test("without a command, or with forwards, the choices are named", async () => {
    for (const line of [
      ["root@env=prod"],
      ["-N", "-L", "1:a:2", "root@env=prod"],
      ["-L", "1:a:2", "root@env=prod", "x"],
    ]) {
      const got = await ssh(...line);
      assert.equal(got.code, 2);
      assert.match(got.err, /error: 3 nodes match, and .* need one|needs one of them: one, three, two/);
    }
  });
  test("S66: names of nodes cannot drive the terminal", async () => {
    cluster.auth.set("nodes.list", () => list("\u001b]52;c;aGk=\u0007\u001b[2J\n"));
    for (const line of [["root@env=prod", "x"], ["root@env=prod"]]) {
      const got = await ssh(...line);
      const ours = got.err.replaceAll("\u001b[31mred\u001b[0m", "");
      assert.equal(`${got.out}${ours}`.includes("\u001b"), false);
      assert.match(got.out + got.err, /three/);
    }
    cluster.auth.set("nodes.list", () => list());
  });
});
