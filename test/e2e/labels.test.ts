import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { after, before, suite, test } from "node:test";
import { eventually } from "../support/eventually.ts";
import { type Cluster, login, startCluster } from "./cluster.ts";
import { type Host, startHost } from "./daemon.ts";

const shell = (script: string): string[] => ["/bin/sh", "-c", script];

suite("labels of nodes", { concurrency: true }, () => {
  const stack = new AsyncDisposableStack();
  let cluster: Cluster;
  let flags: string[];

  before(async () => {
    cluster = stack.use(
      await startCluster({
        config: {
          ssh_service: {
            enabled: "yes",
            labels: { environment: "test", arch: "static" },
            commands: [
              { name: "arch", command: ["/bin/uname", "-m"], period: "1h0m0s" },
              { name: "greeting", command: shell("printf '  hello\\n\\n'"), period: "1h0m0s" },
              { name: "split", command: ["/bin/uname -m"] },
              { name: "piped", command: shell("echo one two | wc -w"), period: "5s" },
              { name: "hanging", command: shell("sleep 3600 & sleep 3600"), period: "1h" },
              { name: "chatty", command: ["yes"], period: "1h" },
              { name: "painted", command: shell("printf '\\033[31mred'"), period: "1h" },
            ],
          },
        },
      }),
    );
    const invitation = await cluster.mustTctl("nodes", "add");
    flags = [`--token=${/^The invite token: ([0-9a-f]{32})$/m.exec(invitation)?.[1]}`];
    await cluster.makeUser("joe");
    await cluster.logIn("joe");
  });
  after(() => stack.disposeAsync());

  const labelled = (name: string, more: readonly string[]): Promise<Host> =>
    startHost({
      ...{ name, role: "node", folder: cluster.folder.at(name), authPort: cluster.ports.auth },
      flags: [...flags, ...more],
    });
  const row = async (name: string): Promise<string> =>
    (await cluster.mustTctl("nodes", "ls")).split("\n").find((l) => l.startsWith(`${name} `)) ?? "";
  const ids = async (filter: string): Promise<string[]> =>
    JSON.parse(await cluster.mustTsh(["ls", "--format=json", filter])).map(
      ({ spec }: { spec: { hostname: string } }) => spec.hostname,
    );

  test("ACC-11: --labels with commands: both lists show their output, and what changes is shown within its minute", async () => {
    await using host = await labelled("flags", [
      `--labels=uptime=[1m:"date +up%s%N"],kernel=[1h:"uname -r"],role=db`,
    ]);
    await host.ready();
    const first = /uptime:(up\d+)/.exec(await row("flags"))?.[1];
    assert.ok(first, await row("flags"));
    const kernel = (await cluster.mustTsh(["ssh", `${login}@flags`, "uname -r"])).trim();
    const shown = await cluster.mustTsh(["ls", "-v", `kernel=${kernel},role=db`]);
    assert.match(shown, new RegExp(`^flags +\\S+ +\\S+ +kernel=${kernel}, role=db, uptime=up\\d+$`, "m"));
    assert.doesNotMatch(await row("flags"), /host:/, "the flag replaces the labels of the file (CFG-120)");
    await eventually(
      "another value",
      async () => {
        const now = /uptime:(up\d+)/.exec(await row("flags"))?.[1];
        return now !== undefined && now !== first;
      },
      { timeout: 75_000, every: 3000 },
    );
  });

  test("ACC-12: a label of the file is shown and stays", async () => {
    assert.match(await row("testnode"), /environment:test/);
    assert.match(await cluster.mustTsh(["ls", "-v"]), /environment=test/);
    assert.deepEqual(await ids("environment=test"), ["testnode"]);
    assert.deepEqual(await ids("environment=prod"), []);
  });

  test("ACC-13: a command of the file gives a label; its output is trimmed, a short period is raised with a warning", async () => {
    assert.match(await row("testnode"), /greeting:hello,/);
    assert.match(
      cluster.daemon.program.said,
      /the label "piped" is refreshed once a minute, which is the shortest/,
    );
    assert.doesNotMatch(cluster.daemon.program.said, /the label "(?!piped)/);
  });

  test("ACC-14: a command is a program and its arguments; what fails shows its error, and the daemon goes on", async () => {
    const line = await row("testnode");
    assert.match(line, new RegExp(`arch:${process.arch === "x64" ? "x86_64" : "aarch64"}`));
    assert.doesNotMatch(line, /arch:static/, "SSH-51: it hides the static label of its name");
    assert.match(line, /split:spawn \/bin\/uname -m ENOENT output:/);
    assert.match(line, /piped:2/);
    assert.match(line, /painted:\\u001b\[31mred/);
    assert.match(line, /chatty:it printed more than 4096 bytes, output: y\\ny\\n/);
    await cluster.mustTsh(["ssh", `${login}@testnode`, "true"]);
    await eventually(
      "an end of the command that hangs",
      async () => /hanging:it ran longer than 30 s, output:/.test(await row("testnode")),
      { timeout: 45_000, every: 2000 },
    );
    assert.equal((await cluster.daemon.diag("/readyz")).status, 200);
  });

  test("TP-02: static and dynamic labels decide who is let in", async () => {
    const role = (name: string, labels: string): string =>
      `kind: role
version: v3
metadata: {name: ${name}}
spec: {allow: {logins: [${login}], node_labels: ${labels}}}
`;
    for (const [name, labels, may] of [
      ["static", "{environment: test}", true],
      ["dynamic", "{greeting: hello, piped: '2'}", true],
      ["hidden", "{arch: static}", false],
      ["other", "{greeting: hullo}", false],
    ] as const) {
      const [file, home] = [cluster.folder.at(`${name}.yaml`), cluster.folder.at(`home-${name}`)];
      await writeFile(file, role(name, labels));
      await cluster.mustTctl("create", file);
      await cluster.makeUser(`${name}-user`);
      await cluster.mustTctl("users", "update", `${name}-user`, `--set-roles=${name}`);
      await mkdir(home, { mode: 0o700 });
      const env = { HOME: home };
      await cluster.logIn(`${name}-user`, { env });
      const ran = await cluster.tsh(["ssh", `${login}@testnode`, "echo in"], { env });
      assert.equal(ran.out, may ? "in\n" : "", `${name}: ${ran.err}`);
      assert.equal(ran.code === 0, may, ran.err);
      assert.equal(/testnode/.test(await cluster.mustTsh(["ls"], { env })), may, name);
      if (!may) assert.match(ran.err, /no role allows it/);
    }
  });
});
