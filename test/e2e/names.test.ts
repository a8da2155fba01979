import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { after, before, suite, test } from "node:test";
import { parse } from "yaml";
import { skipUnless } from "../support/installed.ts";
import { type Ran, run } from "../support/run.ts";
import { type Cluster, login, startCluster } from "./cluster.ts";
import { type Host, type HostOptions, quiet, startHost } from "./daemon.ts";

interface Listed {
  readonly metadata: { readonly name: string; readonly labels: Readonly<Record<string, string>> };
  readonly spec: { readonly hostname: string; readonly addr: string };
}

suite("two nodes of one name", () => {
  const stack = new AsyncDisposableStack();
  let cluster: Cluster;
  let first: Host;
  let second: Host;
  const ids: Record<string, string> = {};

  before(async () => {
    cluster = stack.use(await startCluster());
    const invitation = await cluster.mustTctl("nodes", "add");
    const flags = [`--token=${/^The invite token: ([0-9a-f]{32})$/m.exec(invitation)?.[1]}`];
    const twin = async (name: string, more: Partial<HostOptions>): Promise<Host> =>
      stack.use(
        await startHost({
          ...{ name, nodename: "twin", role: "node", folder: cluster.folder.at(name), flags },
          authPort: cluster.ports.auth,
          ...more,
        }),
      );
    first = await twin("first", {});
    // The same port too: with another one it would be the port that tells them apart.
    second = await twin("second", { listen: first.address.replace("127.0.0.1", "127.0.0.2") });
    await Promise.all([first.ready(), second.ready()]);
    await cluster.makeUser("joe");
    await cluster.logIn("joe");
    for (const name of ["first", "second"])
      ids[name] = (await readFile(cluster.folder.at(name, "data", "host_uuid"), "utf8")).trim();
  });
  after(() => stack.disposeAsync());

  const choices = (): RegExp =>
    new RegExp(
      `"twin(\\.main)?" is ambiguous: 2 nodes have that name; use an id: (?=.*${ids.first} \\(127\\.0\\.0\\.1:)(?=.*${ids.second} \\(127\\.0\\.0\\.2:)`,
    );

  test("both are in the lists, with ids, addresses and what tells them apart", async () => {
    for (const table of [await cluster.mustTsh(["ls"]), await cluster.mustTctl("nodes", "ls")]) {
      for (const [name, host] of [
        ["first", first],
        ["second", second],
      ] as const)
        assert.match(table, new RegExp(`^twin +${ids[name]} +${host.address} +host[:=]${name}$`, "m"));
    }
    assert.equal(ids.first === ids.second, false);
  });

  test("lists take labels and formats", async () => {
    for (const list of [
      (...args: string[]) => cluster.mustTsh(["ls", ...args]),
      (...args: string[]) => cluster.mustTctl("nodes", "ls", ...args),
    ]) {
      const json = JSON.parse(await list("--format=json", "host=second")) as Listed[];
      assert.deepEqual(
        json.map(({ metadata, spec }) => [metadata.name, metadata.labels.host, spec.addr]),
        [[ids.second, "second", second.address]],
      );
      assert.deepEqual(parse(await list("--format=yaml", "host=second")), json);
      assert.deepEqual(JSON.parse(await list("--format=json", "host=second,env=test")), []);
      const names = (JSON.parse(await list("--format=json")) as Listed[]).map(({ spec }) => spec.hostname);
      assert.deepEqual(names, ["testnode", "twin", "twin"]);
      assert.match(
        await list("host=first"),
        /^Node Name +Node ID +Address +Labels *\n-+ -+ -+ -+\ntwin .*\n$/,
      );
    }
  });

  test("tsh ssh refuses the name with the choices, and takes an id", async () => {
    const name = await cluster.tsh(["ssh", `${login}@twin`, "true"]);
    assert.equal(name.code, 1);
    assert.match(name.err, choices());
    for (const [id, port] of [
      [ids.first, first.address],
      [`${ids.second}.main`, second.address],
    ] as const) {
      const ran = await cluster.mustTsh(["ssh", `${login}@${id}`, "set -- $SSH_CONNECTION; echo $3:$4"]);
      assert.equal(ran, `${port}\n`);
    }
    assert.equal(await cluster.mustTsh(["ssh", `${login}@host=second`, "echo one"]), "one\n");
  });

  test("tsh scp does the same", async () => {
    const [here, there] = [cluster.folder.at("here"), cluster.folder.at("there")];
    await writeFile(here, "text");
    const name = await cluster.tsh(["scp", here, `${login}@twin:${there}`]);
    assert.equal(name.code, 1);
    assert.match(name.err, choices());
    await cluster.mustTsh(["scp", "-q", here, `${login}@${ids.second}:${there}`]);
    assert.equal(await readFile(there, "utf8"), "text");
  });

  test("stock ssh through the proxy does the same", {
    skip: skipUnless("ssh"),
  }, async () => {
    const file = cluster.folder.at("ssh_config");
    const config = await cluster.mustTsh(["config", `--login=${login}`]);
    await writeFile(file, config);
    const port = first.address.split(":")[1] ?? "";
    const env = { ...quiet, HOME: cluster.home };
    const ssh = (host: string, more: readonly string[] = []): Promise<Ran> =>
      run("ssh", ["-F", file, "-p", port, ...more, host, "set -- $SSH_CONNECTION; echo $3"], { env });
    const name = await ssh("twin.main");
    assert.equal(name.code, 255, name.err);
    assert.match(name.err, choices());
    assert.equal((await ssh(`${ids.first}.main`)).out, "127.0.0.1\n");
    assert.equal((await ssh(`${ids.second}.main`)).out, "127.0.0.2\n");
  });
});
