import assert from "node:assert/strict";
import { chmod, mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { parseAllDocuments } from "yaml";
import { type Ran, run } from "../support/run.ts";
import { type Cluster, login, startCluster } from "./cluster.ts";
import { programs, quiet, startDaemon } from "./daemon.ts";

const connector = (kind: "github" | "oidc" | "saml", name: string): string =>
  ({
    github: `kind: github
version: v3
metadata:
  name: ${name}
spec:
  client_id: "1234567890"
  client_secret: planted-secret
  display: Github
  redirect_url: https://proxy.example.com/v1/webapi/github/callback
  teams_to_logins:
    - organization: octocats
      team: admins
      logins: [root]
`,
    oidc: `kind: oidc
version: v2
metadata:
  name: ${name}
spec:
  issuer_url: https://login.example.com
  client_id: "1234567890"
  client_secret: planted-secret
  redirect_url: https://proxy.example.com/v1/webapi/oidc/callback
`,
    saml: `kind: saml
version: v2
metadata:
  name: ${name}
spec:
  acs: https://proxy.example.com/v1/webapi/saml/acs
`,
  })[kind];

suite("resources, by the real commands", () => {
  const stack = new AsyncDisposableStack();
  let cluster: Cluster;
  let dir: string;

  before(async () => {
    cluster = stack.use(await startCluster());
    await cluster.makeUser("joe");
    dir = cluster.folder.at("files");
    await mkdir(dir);
  });
  after(() => stack.disposeAsync());

  const write = async (name: string, text: string): Promise<string> => {
    const path = join(dir, name);
    await writeFile(path, text);
    return path;
  };
  const listed = async (...args: string[]): Promise<string[]> =>
    parseAllDocuments(await cluster.mustTctl("get", ...args)).map((document) => {
      const { kind, metadata } = document.toJS() as { kind: string; metadata: { name: string } };
      return `${kind}/${metadata.name}`;
    });
  const names = async (kind: string): Promise<string[]> =>
    (
      JSON.parse(await cluster.mustTctl("get", kind, "--format=json")) as { metadata: { name: string } }[]
    ).map(({ metadata }) => metadata.name);

  test("ACC-29a: tctl get connectors prints those of every kind", async () => {
    const all = ["github", "oidc", "saml"].map((kind, i) =>
      connector(kind as "oidc", ["corp", "okta", "adfs"][i] ?? ""),
    );
    const path = await write("connectors.yaml", all.join("---\n"));
    assert.equal(
      await cluster.mustTctl("create", path),
      ["corp", "okta", "adfs"]
        .map((name) => `authentication connector "${name}" has been created\n`)
        .join(""),
    );
    const text = await cluster.mustTctl("get", "connectors");
    assert.deepEqual(await listed("connectors"), ["github/corp", "oidc/okta", "saml/adfs"]);
    assert.doesNotMatch(text, /planted-secret/);
    assert.match(await cluster.mustTctl("get", "connectors", "--with-secrets"), /planted-secret/);
    await cluster.event("who took out secrets", (e) => e.event === "connector.export");
  });

  test("ACC-29b: tctl get connectors/okta prints that one whatever its kind; one that is missing is exit 1", async () => {
    for (const word of ["connectors/okta", "connector/okta", "oidc/okta"])
      assert.deepEqual(await listed(word), ["oidc/okta"]);
    const { code, out, err } = await cluster.tctl("get", "connectors/nosuch");
    assert.deepEqual([code, out, err], [1, "", "error: connector nosuch not found\n"]);
  });

  test("ACC-29c: tctl rm connectors/okta deletes it, and only it", async () => {
    assert.equal(await cluster.mustTctl("rm", "connectors/okta"), "OIDC connector okta has been deleted\n");
    assert.deepEqual(await listed("connectors"), ["github/corp", "saml/adfs"]);
    assert.equal((await cluster.tctl("get", "connectors/okta")).code, 1);
    assert.equal((await cluster.tctl("rm", "connectors/okta")).code, 1);
    await cluster.event("the deletion", (e) => e.event === "connector.delete" && e.name === "okta");
  });

  test("ACC-82: tctl create refuses what is there, tctl create -f updates it", async () => {
    const user = "kind: user\nversion: v2\nmetadata:\n  name: eve\nspec:\n  roles: [admin]\n";
    const path = await write("eve.yaml", user);
    assert.equal(await cluster.mustTctl("create", path), "user 'eve' has been created\n");
    const again = await cluster.tctl("create", path);
    assert.deepEqual([again.code, again.err], [1, "error: user 'eve' already exists\n"]);
    await write("eve.yaml", `${user}  traits:\n    logins: [root]\n`);
    assert.equal(await cluster.mustTctl("create", "-f", path), "user 'eve' has been updated\n");
    assert.match(await cluster.mustTctl("get", "user/eve"), /logins:\n +- root\n/);
    assert.match((await cluster.tctl("create", path)).err, /already exists/);
  });

  test("ACC-92: the commands of the guide, and every kind of its table, in singular and plural", async () => {
    const joe = await cluster.mustTctl("get", "user/joe");
    const path = await write("joe.yaml", joe);
    assert.equal(await cluster.mustTctl("create", "-f", path), "user 'joe' has been updated\n");
    assert.equal(await cluster.mustTctl("get", "user/joe"), joe);
    assert.equal(await cluster.mustTctl("rm", "user/eve"), "user eve has been deleted\n");

    // All spellings of the table are in test/resources.test.ts, without processes.
    for (const [singular, plural] of [
      ["user", "users"],
      ["node", "nodes"],
      ["role", "roles"],
      ["connector", "connectors"],
    ] as const) {
      const [one, all] = await Promise.all([names(singular), names(plural)]);
      assert.ok(all.length > 0, plural);
      assert.deepEqual(one, all);
    }
    assert.deepEqual(await Promise.all(["cluster", "clusters"].map(names)), [[], []]);
    assert.deepEqual(await Promise.all(["cas", "namespaces"].map(names)), [["main", "main"], ["default"]]);
    assert.match(await cluster.mustTctl("get", "cluster", "--format=text"), /^Name Enabled Token /);
    const cluster_yaml = await write(
      "cluster.yaml",
      "kind: trusted_cluster\nversion: v2\nmetadata: {name: other}\nspec: {token: t, web_proxy_addr: '127.0.0.1:1'}\n",
    );
    const refused = await cluster.tctl("create", cluster_yaml);
    assert.equal(refused.code, 1);
    assert.match(refused.err, /^error: https:\/\/127\.0\.0\.1:1 .*connection refused/);
  });

  test("tctl edit: $EDITOR changes the file; another's change meanwhile is not overwritten", async () => {
    const script = async (name: string, body: string): Promise<string> => {
      const path = await write(name, `#!/bin/sh\nset -e\n${body}\n`);
      await chmod(path, 0o755);
      return path;
    };
    const tmp = cluster.folder.at("tmp");
    await mkdir(tmp);
    const edit = (editor: string, env: Record<string, string> = {}): Promise<Ran> =>
      run(programs.tctl, ["-c", cluster.config, "edit", "user/joe"], {
        env: { ...quiet, VISUAL: undefined, EDITOR: editor, TMPDIR: tmp, HOME: cluster.home, ...env },
      });
    const seen = cluster.folder.at("seen");
    const add = await script(
      "add.sh",
      `stat -c '%a %U' "$2" > ${seen}\nsed -i 's/^    logins:$/&\\n      - '"$1"'/' "$2"`,
    );
    const first = await edit(`${add} newlogin`);
    assert.deepEqual([first.code, first.out, first.err], [0, "user 'joe' has been updated\n", ""]);
    assert.equal(await readFile(seen, "utf8"), `600 ${login}\n`);
    assert.match(await cluster.mustTctl("get", "user/joe"), /- newlogin\n/);
    assert.deepEqual(await readdir(tmp), []);

    assert.equal((await edit("true")).out, "Nothing was changed of user/joe\n");
    const missing = await edit("/no/such/editor");
    assert.equal(missing.code, 1);
    assert.match(missing.err, /the editor "\/no\/such\/editor" is not there; set \$VISUAL or \$EDITOR/);
    assert.deepEqual(await readdir(tmp), []);

    const racing = await script(
      "race.sh",
      `${programs.tctl} -c ${cluster.config} users update joe --set-roles=admin,dev\nsed -i 's/newlogin/mine/' "$1"`,
    );
    await cluster.mustTctl(
      "create",
      await write("dev.yaml", "kind: role\nversion: v3\nmetadata: {name: dev}\nspec: {}\n"),
    );
    const late = await edit("false", { VISUAL: racing });
    assert.equal(late.code, 1, late.out);
    const kept = /^Your text is kept in (.*)$/m.exec(late.err)?.[1] ?? "";
    assert.match(late.err, /^error: the user "joe" was changed by somebody else meanwhile/m);
    assert.match(await readFile(kept, "utf8"), /- mine\n/);
    assert.equal((await stat(kept)).mode & 0o777, 0o600);
    assert.match(await cluster.mustTctl("get", "user/joe"), /- newlogin\n/);
    await cluster.mustTctl("users", "update", "joe", "--set-roles=admin");
  });

  test("tctl apply: a folder makes the cluster, a second run has nothing to do", async () => {
    const folder = cluster.folder.at("cluster");
    await mkdir(join(folder, "roles"), { recursive: true });
    const get = async (what: string, to: string): Promise<void> =>
      writeFile(join(folder, to), await cluster.mustTctl("get", what));
    await get("users", "users.yaml");
    await get("roles", "roles/all.yaml");
    await writeFile(
      join(folder, "roles/ops.yaml"),
      "kind: role\nversion: v3\nmetadata: {name: ops}\nspec: {allow: {logins: [root]}}\n",
    );
    await rm(join(dir, "dev.yaml"));
    const apply = (...flags: string[]): Promise<string> => cluster.mustTctl("apply", "-f", folder, ...flags);
    const would = "1 to create, 0 to change, 0 to delete, 3 unchanged; nothing was changed (--dry-run)\n";
    assert.equal(await apply("--dry-run", "--prune"), `+ role ops\n${would}`);
    assert.equal(await apply(), "+ role ops\n1 created, 0 changed, 0 deleted, 3 unchanged\n");
    assert.equal(await apply("--prune"), "Nothing to do: 4 as the files say\n");
    await rm(join(folder, "roles/ops.yaml"));
    assert.equal(await apply("--prune"), "- role ops\n0 created, 0 changed, 1 deleted, 3 unchanged\n");
    await cluster.event("the deletion", (e) => e.event === "role.delete" && e.name === "ops");
  });

  test("a cluster whose storage is lost comes back with its authorities: who was logged in still is", async () => {
    await cluster.logIn("joe");
    const host = `${login}@testnode`;
    const pin = async (): Promise<string> =>
      /sha256:[0-9a-f]{64}/.exec(await cluster.mustTctl("status"))?.[0] ?? "";
    assert.equal(await cluster.mustTsh(["ssh", host, "echo here"]), "here\n");
    const before = await pin();
    const backup = await write("cas.yaml", await cluster.mustTctl("get", "cas", "--with-secrets"));
    const users = await write("users.yaml", await cluster.mustTctl("get", "users"));
    await cluster.daemon.stop();
    for (const name of await readdir(cluster.dataDir))
      await rm(join(cluster.dataDir, name), { recursive: true });
    {
      await using anew = await startDaemon(cluster.config);
      await anew.ready();
      assert.notEqual(await pin(), before);
      await cluster.mustTctl("create", users);
      const { code, out, err } = await cluster.tctl("create", "-f", backup);
      assert.equal(code, 0, err);
      assert.match(out, /^certificate authority 'host\/main' has been updated\n/);
      assert.match(err, /^Restart every auth server now/);
      await anew.stop();
    }
    await using again = await startDaemon(cluster.config);
    await again.ready();
    assert.equal(await pin(), before);
    assert.equal(await cluster.mustTsh(["ssh", host, "echo still here"]), "still here\n");
    const told = (await cluster.events()).filter(({ event }) => event === "ca.restore");
    assert.deepEqual(told.map(({ kind, user }) => [kind, user]).sort(), [
      ["host", "builtin-Admin"],
      ["user", "builtin-Admin"],
    ]);
    for (const text of [
      JSON.stringify(await cluster.events()),
      cluster.daemon.program.said,
      again.program.said,
    ])
      assert.doesNotMatch(text, /PRIVATE KEY|planted-secret/);
  });
});
