import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, suite, test } from "node:test";
import type { AuthClient } from "#authclient";
import { minute } from "#core/clock";
import { Connector } from "#model";
import { account, type Cluster, cluster, role } from "../src/auth/testing/cluster.ts";
import { programWith } from "../src/cli/tctl/program.ts";
import { runLine } from "../src/cli/testing.ts";

const user = (name: string, spec: string): string =>
  `kind: user\nversion: v2\nmetadata: {name: ${name}}\nspec: ${spec}\n`;
const roleFile = (name: string, logins: string): string =>
  `kind: role\nversion: v3\nmetadata: {name: ${name}}\nspec: {allow: {logins: [${logins}]}}\n`;
const github = (name: string, more = ""): string =>
  `kind: github\nversion: v3\nmetadata: {name: ${name}}\nspec: {client_id: id, redirect_url: "https://p/cb", teams_to_logins: []${more}}\n`;

suite("tctl apply", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "tctl-apply-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const file = (name: string, text: string): void => {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  };
  const apply = (c: Cluster, ...flags: string[]) => {
    const program = programWith(async () => ({ ...c.admin, close() {} }) as unknown as AuthClient);
    return runLine(program, ["apply", "-f", folder, ...flags]);
  };
  const names = async (c: Cluster): Promise<string[]> => [
    ...(await c.admin["roles.list"]({})).map(({ metadata }) => `role/${metadata.name}`),
    ...(await c.admin["users.list"]({})).map(({ metadata }) => `user/${metadata.name}`),
    ...(await c.admin["connectors.list"]({})).map(({ kind, metadata }) => `${kind}/${metadata.name}`),
  ];

  test("makes what is missing, roles before those who have them, and a second run has nothing to do", async () => {
    await using c = await cluster();
    file("a-users.yaml", `${user("ann", "{roles: [dev]}")}---\n${user("ben", "{roles: [admin]}")}`);
    file("roles/dev.json", JSON.stringify(role("dev", { allow: { logins: ["root"] } })));
    file("z.yml", github("corp", ", client_secret: planted"));
    file(".hidden/x.yaml", "not yaml: [");
    file("README.md", "not yaml: [");
    const first = await apply(c);
    assert.deepEqual(
      [first.code, first.err, first.out],
      [
        0,
        "",
        "+ role dev\n+ github corp\n+ user ann\n+ user ben\n4 created, 0 changed, 0 deleted, 0 unchanged\n",
      ],
    );
    const events = c.events.length;
    const second = await apply(c);
    assert.deepEqual([second.code, second.out], [0, "Nothing to do: 4 as the files say\n"]);
    // That the secret was compared is told, and nothing else.
    assert.deepEqual(
      c.events.slice(events).map(({ code }) => code),
      ["T4132W"],
    );
  });

  test("tells what changes, field by field, without secrets; what the files leave out stays", async () => {
    await using c = await cluster();
    await c.admin["roles.put"]({ role: role("dev", { allow: { logins: ["root"] } }) });
    await c.addUser("ann", {
      roles: ["admin"],
      traits: { logins: ["ann"] },
      created_by: { user: { name: "somebody" } },
    });
    await c.admin["connectors.put"]({
      connector: Connector.parse({
        kind: "github",
        version: "v3",
        metadata: { name: "corp" },
        spec: { client_id: "id", client_secret: "planted-old", redirect_url: "https://p/cb" },
      }),
    });
    file(
      "all.yaml",
      [roleFile("dev", "root, joe"), user("ann", "{roles: [admin, dev]}"), github("corp")].join("---\n"),
    );
    const first = await apply(c);
    assert.equal(
      first.out,
      '~ role dev: spec.allow.logins ["root"] -> ["root","joe"]\n' +
        '~ user ann: spec.roles ["admin"] -> ["admin","dev"]; spec.traits.logins ["ann"] -> (none)\n' +
        "0 created, 2 changed, 0 deleted, 1 unchanged\n",
    );
    const ann = await c.admin["users.get"]({ name: "ann" });
    assert.equal(ann.spec.created_by?.user.name, "somebody");
    file("all.yaml", github("corp", ", client_secret: planted-new, display: Corp"));
    const second = await apply(c);
    assert.equal(
      second.out,
      '~ github corp: spec.client_secret "(secret)" -> "(secret)"; spec.display (none) -> "Corp"\n0 created, 1 changed, 0 deleted, 0 unchanged\n',
    );
    assert.doesNotMatch(JSON.stringify(c.events), /planted/);
  });

  test("--dry-run changes nothing and says the same", async () => {
    await using c = await cluster();
    await c.addUser("old");
    file("users.yaml", user("ann", "{roles: [admin]}"));
    const before = [await names(c), c.events.length];
    const dry = await apply(c, "--dry-run", "--prune");
    assert.deepEqual(
      [dry.code, dry.out],
      [
        0,
        "+ user ann\n- user old\n1 to create, 0 to change, 1 to delete, 0 unchanged; nothing was changed (--dry-run)\n",
      ],
    );
    assert.deepEqual([await names(c), c.events.length], before);
    const real = await apply(c, "--prune");
    assert.equal(real.out, "+ user ann\n- user old\n1 created, 0 changed, 1 deleted, 0 unchanged\n");
  });

  test("--prune deletes of the kinds that the files have only, and never what is built in or a connector's", async () => {
    await using c = await cluster();
    await c.admin["roles.put"]({ role: role("old", {}) });
    await c.addUser("joe", { roles: ["old"] });
    await c.addUser("sso", {
      created_by: { user: { name: "x" }, connector: { type: "github", id: "corp", identity: "x" } },
    });
    await c.addUser("boss");
    file("all.yaml", roleFile("dev", "root"));
    const held = await apply(c, "--prune");
    assert.deepEqual(
      [held.code, held.out, held.err],
      [
        2,
        "",
        "error: role/old cannot be deleted: user/joe has it; take it off first, or keep the role among the files\n",
      ],
    );
    assert.ok(!(await names(c)).includes("role/dev"), "nothing was done");
    file("users.yaml", user("boss", "{roles: [admin]}"));
    const both = await apply(c, "--prune");
    assert.equal(
      both.out,
      "+ role dev\n- user joe\n- role old\n1 created, 0 changed, 2 deleted, 1 unchanged\n",
    );
    assert.deepEqual(await names(c), ["role/admin", "role/dev", "user/boss", "user/sso"]);
  });

  test("--prune deletes no role that a connector gives to people", async () => {
    await using c = await cluster();
    await c.admin["roles.put"]({ role: role("ops", {}) });
    const team = { organization: "o", team: "t", roles: ["ops"] };
    const connector = Connector.parse({
      kind: "github",
      version: "v3",
      metadata: { name: "corp" },
      spec: {
        client_id: "id",
        client_secret: "s",
        redirect_url: "https://p/cb",
        teams_to_logins: [team],
      },
    });
    await c.admin["connectors.put"]({ connector });
    file("dev.yaml", roleFile("dev", "root"));
    const { code, err } = await apply(c, "--prune");
    assert.equal(code, 2);
    assert.match(err, /^error: role\/ops cannot be deleted: github\/corp has it;/);
    assert.deepEqual(await names(c), ["role/admin", "role/ops", "github/corp"]);
  });

  test("--prune never deletes the last administrator", async () => {
    await using c = await cluster();
    await c.addUser("boss");
    await c.addUser("chief");
    await c.admin["roles.put"]({ role: role("dev", {}) });
    file("users.yaml", user("ann", "{roles: [dev]}"));
    const { code, out, err } = await apply(c, "--prune");
    assert.deepEqual(
      [code, out, err],
      [
        1,
        "",
        "error: this would delete user/boss, the last account with the role admin; nothing was changed\n",
      ],
    );
    assert.deepEqual(await names(c), ["role/admin", "role/dev", "user/boss", "user/chief"]);
    file("chief.yaml", user("chief", "{roles: [admin]}"));
    assert.equal((await apply(c, "--prune")).code, 0);
  });

  test("the first failure ends it: what was done is told, and what was not", async () => {
    await using c = await cluster();
    await c.admin["roles.put"]({ role: role("old", {}) });
    // Without a secret it cannot be made, which only the service knows.
    file("all.yaml", [roleFile("dev", "root"), github("corp"), user("ann", "{roles: [dev]}")].join("---\n"));
    const { code, out, err } = await apply(c, "--prune");
    assert.equal(code, 1);
    assert.equal(out, "+ role dev\n1 created, 0 changed, 0 deleted, 0 unchanged; stopped at an error\n");
    assert.match(
      err,
      /^error: \+ github corp: the connector "corp" has no spec\.client_secret; .*\nnot done: \+ user ann\nnot done: - role old\n$/,
    );
    const json = await apply(c, "--prune", "--format=json");
    assert.equal(json.code, 1);
    assert.deepEqual(
      (JSON.parse(json.out) as { changes: { name: string; done: boolean }[] }).changes.map(
        ({ name, done }) => [name, done],
      ),
      [
        ["corp", false],
        ["ann", false],
        ["old", false],
      ],
    );
  });

  test("a lock is set by the files and never lifted, and no lock by failed logins is touched", async () => {
    await using c = await cluster();
    const statusOf = async (name: string) => (await c.admin["users.get"]({ name })).spec.status;
    await c.addUser("ann", { status: { is_locked: true, locked_message: "lost laptop" } });
    const lock_expires = new Date(c.clock.now() + minute).toISOString();
    await c.addUser("ben", { status: { is_locked: true, lock_expires } });
    file(
      "users.yaml",
      [
        user("ann", "{roles: [admin], status: {is_locked: false}}"),
        user("ben", "{roles: [admin], status: {is_locked: false}}"),
      ].join("---\n"),
    );
    const first = await apply(c);
    assert.deepEqual(
      [first.out, first.err],
      [
        "Nothing to do: 2 as the files say\n",
        "NOTE: user/ann is locked, and stays so: tctl users unlock ann opens it\n",
      ],
    );
    assert.equal((await statusOf("ann")).locked_message, "lost laptop");
    assert.equal((await statusOf("ben")).is_locked, true);
    file("users.yaml", user("ben", "{roles: [admin], status: {is_locked: true}}"));
    assert.match((await apply(c)).out, /^~ user ben: spec\.status\.lock_expires/);
    assert.equal((await statusOf("ben")).lock_expires, undefined);
    assert.equal((await apply(c)).out, "Nothing to do: 1 as the files say\n");
  });

  test("what tctl get prints of a whole cluster applies with nothing to do", async () => {
    await using c = await cluster();
    const expires = new Date(c.clock.now() + minute).toISOString();
    await c.admin["roles.put"]({
      role: role("dev", { allow: { logins: ["root"] }, deny: { logins: ["x"] } }),
    });
    await c.addUser("ann", { roles: ["dev"], traits: { logins: ["a"] }, expires });
    await c.addUser("ben", { status: { is_locked: true } });
    const program = programWith(async () => ({ ...c.admin, close() {} }) as unknown as AuthClient);
    for (const kind of ["users", "roles"]) file(`${kind}.yaml`, (await runLine(program, ["get", kind])).out);
    const { code, out } = await apply(c, "--prune");
    assert.deepEqual([code, out], [0, "Nothing to do: 4 as the files say\n"]);
  });

  test("--format=json and yaml are for programs", async () => {
    await using c = await cluster();
    await c.addUser("ann", { traits: { logins: ["a"] } });
    file("users.yaml", user("ann", "{roles: [admin], traits: {logins: [b]}}"));
    assert.deepEqual(JSON.parse((await apply(c, "--format=json", "--dry-run")).out), {
      dry_run: true,
      changes: [
        {
          action: "update",
          kind: "user",
          name: "ann",
          changes: [{ path: "spec.traits.logins", from: ["a"], to: ["b"] }],
          done: false,
        },
      ],
      unchanged: 0,
      notes: [],
    });
    assert.match((await apply(c, "--format=yaml")).out, /^dry_run: false\nchanges:\n(?:.*\n)+ +done: true\n/);
  });

  test("somebody changed a record between the look and the deed: it is not overwritten", async () => {
    await using c = await cluster();
    await c.addUser("ann");
    file("users.yaml", user("ann", "{roles: [admin], traits: {logins: [mine]}}"));
    const racing = {
      ...c.admin,
      close() {},
      "users.put": async (given: Parameters<Cluster["admin"]["users.put"]>[0]) => {
        const theirs = account("ann", { traits: { logins: ["theirs"] } });
        await c.admin["users.put"]({ user: theirs, force: true });
        return c.admin["users.put"](given);
      },
    };
    const program = programWith(async () => racing as unknown as AuthClient);
    const { code, err } = await runLine(program, ["apply", "-f", folder]);
    assert.equal(code, 1);
    assert.match(err, /^error: ~ user ann: the user "ann" was changed by somebody else meanwhile/);
    assert.deepEqual((await c.admin["users.get"]({ name: "ann" })).spec.traits.logins, ["theirs"]);
  });

  for (const [what, files, complaint] of [
    ["no files", {}, /has no files that end in \.yaml, \.yml or \.json$/],
    ["nothing in a file", { "a.yaml": "# nothing\n" }, /no resources found, empty input\? \(.*a\.yaml\)$/],
    [
      "one resource in two files",
      { "a.yaml": user("ann", "{}"), "b/c.yaml": user("ann", "{}") },
      /b\/c\.yaml:1:1: user\/ann is there twice, first at .*a\.yaml:1:1$/,
    ],
    [
      "a slip in the last file",
      { "a.yaml": user("ann", "{}"), "b.yaml": user("ben", "{role: [x]}") },
      /b\.yaml:4:8: spec: unknown key "role"; did you mean "roles"\?$/,
    ],
    [
      "a role that nobody has",
      { "a.yaml": user("ann", "{roles: [dev]}") },
      /a\.yaml:1:1: user\/ann has the role "dev", which is neither among the files nor left in the cluster$/,
    ],
    ["a machine", { "a.yaml": "kind: node" }, /creating resources of type "node" is not supported/],
    [
      "an authority",
      {
        "a.yaml":
          "kind: cert_authority\nversion: v2\nmetadata: {name: main}\nspec: {type: host, cluster_name: main, checking_keys: [k], tls_key_pairs: [{cert: c}]}",
      },
      /a\.yaml:1:1: authorities are not applied/,
    ],
  ] as const) {
    test(`refuses ${what}, and changes nothing`, async () => {
      await using c = await cluster();
      for (const [name, text] of Object.entries(files)) file(name, text);
      const { code, err, out } = await apply(c);
      assert.deepEqual([code, out], [2, ""]);
      assert.match(err.trim(), complaint);
      assert.deepEqual(await names(c), ["role/admin"]);
    });
  }

  test("one file does as a folder, links are followed, and no folder is wrong usage", async () => {
    await using c = await cluster();
    file(".data/users", user("ann", "{roles: [admin]}"));
    symlinkSync(join(folder, ".data/users"), join(folder, "users.yaml"));
    assert.equal((await apply(c)).code, 0);
    const program = programWith(async () => ({ ...c.admin, close() {} }) as unknown as AuthClient);
    const one = await runLine(program, ["apply", `--file=${join(folder, "users.yaml")}`]);
    assert.equal(one.out, "Nothing to do: 1 as the files say\n");
    for (const [line, complaint] of [
      [["apply"], /say which folder with -f DIR/],
      [["apply", "-f", join(folder, "no")], /file not found/],
    ] as const) {
      const { code, err } = await runLine(program, line);
      assert.equal(code, 2);
      assert.match(err, complaint);
    }
  });

  test("S61: a name of what all objects have is a name like others", async () => {
    await using c = await cluster();
    file(
      "users.yaml",
      `${user("constructor", "{roles: [admin], traits: {constructor: [a], toString: [b]}}")}---\n${user("__proto__", "{roles: [admin]}")}`,
    );
    assert.equal((await apply(c)).code, 0);
    assert.equal((await apply(c)).out, "Nothing to do: 2 as the files say\n");
    file("users.yaml", user("constructor", "{roles: [admin], traits: {toString: [b]}}"));
    assert.match(
      (await apply(c)).out,
      /^~ user constructor: spec\.traits\.constructor \["a"\] -> \(none\)\n/,
    );
  });
});
