import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { after, before, suite, test } from "node:test";
import type { AuthClient } from "#authclient";
import { Fault } from "#core/errors";
import { Connector, TrustedCluster } from "#model";
import { account, type Cluster, cluster } from "../src/auth/testing/cluster.ts";
import { makeIo } from "../src/cli/io.ts";
import { edit, readEdit } from "../src/cli/tctl/edit.ts";
import { collector } from "../src/cli/testing.ts";

let tmp: string;

/** Runs `tctl edit NAME` with an editor that writes what each of `edits` makes of the file, in turn. */
async function editing(
  c: Cluster,
  name: string,
  edits: readonly ((text: string, path: string) => string | Promise<string>)[],
  { terminal = false, secrets = false, signal = new AbortController().signal } = {},
) {
  const [stdout, stderr] = [collector(), collector()];
  const io = makeIo({
    stdin: Object.assign(Readable.from([]), { isTTY: terminal }),
    stdout: stdout.stream,
    stderr: stderr.stream,
    env: { TMPDIR: tmp },
    machine: { uid: 1000, home: "/nonexistent", hostname: "testhost", user: "tester" },
    openTerminal: () => Promise.reject(new Error("a test has no terminal")),
  });
  let turn = 0;
  let path = "";
  const runEditor = async (at: string): Promise<void> => {
    path = at;
    const change = edits[turn++];
    assert.ok(change, "the editor was opened too often");
    const before = readFileSync(at, "utf8");
    const after = await change(before, at);
    if (after !== before) writeFileSync(at, after);
  };
  const auth = c.admin as AuthClient;
  let error: unknown;
  await edit({ auth, io, secrets, runEditor }, readEdit([name]), signal).catch((err: unknown) => {
    error = err;
  });
  assert.equal(turn, edits.length, "the editor was opened too seldom");
  return { out: stdout.text(), err: stderr.text(), error, path };
}

const logins = async (c: Cluster): Promise<unknown> =>
  (await c.admin["users.get"]({ name: "joe" })).spec.traits.logins;

async function withJoe(): Promise<Cluster> {
  const c = await cluster();
  await c.addUser("joe", { traits: { logins: ["joe"] } });
  return c;
}

suite("tctl edit", () => {
  before(() => {
    tmp = mkdtempSync(join(tmpdir(), "tctl-edit-test-"));
  });
  after(() => rmSync(tmp, { recursive: true }));
  test("shows the resource in a file that only its owner can read, sends what was made of it, and leaves nothing", async () => {
    await using c = await withJoe();
    const { out, error, path } = await editing(c, "user/joe", [
      (text, at) => {
        assert.equal(statSync(at).mode & 0o777, 0o600);
        assert.equal(statSync(dirname(at)).mode & 0o777, 0o700);
        // As editors do.
        writeFileSync(`${at}~`, "backup");
        return text.replace("- joe", "- root");
      },
    ]);
    assert.equal(error, undefined);
    assert.equal(out, "user 'joe' has been updated\n");
    assert.deepEqual(await logins(c), ["root"]);
    assert.equal(existsSync(dirname(path)), false);
    const told = c.events.filter(({ code }) => code === "T1002I").at(-1);
    assert.ok(told && "by" in told && told.by === "builtin-Admin");
  });

  for (const [what, change] of [
    ["nothing", (text: string) => text],
    ["a comment only", (text: string) => `# mine\n${text}`],
    ["the way it is written only", (text: string) => text.replace("- joe", '- "joe"')],
  ] as const) {
    test(`${what} changed: says so and sends nothing`, async () => {
      await using c = await withJoe();
      const before = c.events.length;
      const { out, error } = await editing(c, "users/joe", [change]);
      assert.deepEqual(
        [out, error, c.events.length],
        ["Nothing was changed of user/joe\n", undefined, before],
      );
      assert.deepEqual(readdirSync(tmp), []);
    });
  }

  test("a slip with a program for an editor: the text is kept, and where is told", async () => {
    await using c = await withJoe();
    const { err, error, path } = await editing(c, "user/joe", [(text) => text.replace("roles:", "rules:")]);
    assert.ok(Fault.is(error, "bad_parameter"));
    assert.match(error.message, /^user\.yaml:5:3: spec: unknown key "rules"; did you mean "roles"\?$/);
    assert.equal(err, `Your text is kept in ${path}\n`);
    assert.match(readFileSync(path, "utf8"), /rules:/);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    rmSync(dirname(path), { recursive: true });
  });

  test("a slip of a person: the editor opens again with the complaint, at the lines as they are then", async () => {
    await using c = await withJoe();
    const { out, error } = await editing(
      c,
      "user/joe",
      [
        (text) => text.replace("- joe", "- root").replace("roles:", "rules:"),
        (text) => {
          const lines = text.split("\n");
          assert.match(lines[0] ?? "", /^# ! This cannot be saved\./);
          const at = /^# ! user\.yaml:(\d+):3: spec: unknown key "rules"/.exec(lines[1] ?? "")?.[1];
          assert.match(lines[Number(at) - 1] ?? "", /^ {2}rules:/);
          return text.replace("rules:", "rolls:");
        },
        (text) => {
          assert.equal(text.match(/^# !/gm)?.length, 2, text);
          return text.replace("rolls:", "roles:");
        },
      ],
      { terminal: true },
    );
    assert.deepEqual([out, error], ["user 'joe' has been updated\n", undefined]);
    assert.deepEqual(await logins(c), ["root"]);
    assert.deepEqual(readdirSync(tmp), []);
  });

  test("who leaves without saving after a slip gives up, and keeps the text", async () => {
    await using c = await withJoe();
    const { err, error, path } = await editing(
      c,
      "user/joe",
      [(text) => text.replace("- admin", "- nosuch"), (text) => text],
      { terminal: true },
    );
    assert.ok(Fault.is(error, "bad_parameter") || Fault.is(error, "not_found"), String(error));
    assert.match(err, /^Your text is kept in /);
    rmSync(dirname(path), { recursive: true });
  });

  test("a trusted cluster: what is said about it, and not what it is (TC-09)", async () => {
    await using c = await cluster();
    const { trustedClusters } = c.auth.parts.store;
    const resource = TrustedCluster.parse({
      kind: "trusted_cluster",
      version: "v2",
      metadata: { name: "west" },
      spec: { enabled: false, web_proxy_addr: "west:3080" },
    });
    await trustedClusters.put({ resource, tokenHash: "", authorities: [], told: 0 });
    const say = (text: string): string =>
      text.replace("name: west", "name: west\n  description: the old one");
    const { out, error } = await editing(c, "tc/west", [say]);
    assert.deepEqual([out, error], ['trusted cluster "west" has been updated\n', undefined]);
    const stored = (await trustedClusters.get("west")).resource;
    assert.deepEqual(stored, { ...resource, metadata: { name: "west", description: "the old one" } });
    // A person is asked again, and leaves.
    const { err, path } = await editing(
      c,
      "tc/west",
      [
        (text) => text.replace("west:3080", "east:3080"),
        (text) => {
          assert.match(text, /^# ! This cannot be saved.*\n# ! can not update proxy address/);
          return text;
        },
      ],
      { terminal: true },
    );
    assert.equal(err, `Your text is kept in ${path}\n`);
    assert.deepEqual((await trustedClusters.get("west")).resource, stored);
    rmSync(dirname(path), { recursive: true });
  });

  test("somebody else was faster: theirs stays, and the text is kept", async () => {
    await using c = await withJoe();
    const { err, error, path } = await editing(
      c,
      "user/joe",
      [
        async (text) => {
          const user = account("joe", { traits: { logins: ["theirs"] } });
          await c.admin["users.put"]({ user, force: true });
          return text.replace("- joe", "- mine");
        },
      ],
      { terminal: true },
    );
    assert.ok(Fault.is(error, "compare_failed"));
    assert.match(error.message, /the user "joe" was changed by somebody else meanwhile; nothing was written/);
    assert.equal(err, `Your text is kept in ${path}\n`);
    assert.deepEqual(await logins(c), ["theirs"]);
    rmSync(dirname(path), { recursive: true });
  });

  for (const [what, change] of [
    ["another name", (text: string) => text.replace("name: joe", "name: ann")],
    ["another kind", () => "kind: role\nversion: v3\nmetadata: {name: joe}\nspec: {}\n"],
    [
      "a second document",
      (text: string) => `${text}---\nkind: user\nversion: v2\nmetadata: {name: ann}\nspec: {}\n`,
    ],
    ["nothing at all", () => "# nothing\n"],
  ] as const) {
    test(`${what} is refused`, async () => {
      await using c = await withJoe();
      const { error, path } = await editing(c, "user/joe", [change]);
      assert.ok(Fault.is(error, "bad_parameter"), String(error));
      assert.match(error.message, /has to stay user\/joe and nothing else|no resources found/);
      assert.deepEqual(
        (await c.admin["users.list"]({})).map(({ metadata }) => metadata.name),
        ["joe"],
      );
      rmSync(dirname(path), { recursive: true });
    });
  }

  test("an editor that fails leaves nothing behind", async () => {
    await using c = await withJoe();
    const { error } = await editing(c, "user/joe", [
      () => Promise.reject(new Fault("unreachable", "the editor is not there")),
    ]);
    assert.ok(Fault.is(error, "unreachable"));
    assert.deepEqual(readdirSync(tmp), []);
  });

  test("interrupted after a change: the text is kept", async () => {
    await using c = await withJoe();
    const stop = new AbortController();
    const { err, error, path } = await editing(
      c,
      "user/joe",
      [
        (text) => {
          stop.abort();
          return text.replace("- joe", "- mine");
        },
      ],
      { signal: stop.signal },
    );
    assert.ok(error);
    assert.equal(err, `Your text is kept in ${path}\n`);
    assert.deepEqual(await logins(c), ["joe"]);
    rmSync(dirname(path), { recursive: true });
  });

  test("S72: of a connector secrets are neither shown nor lost; with --with-secrets they are shown", async () => {
    await using c = await cluster();
    const connector = Connector.parse({
      kind: "oidc",
      version: "v2",
      metadata: { name: "okta" },
      spec: {
        issuer_url: "https://login.example.com",
        client_id: "id",
        client_secret: "planted",
        redirect_url: "https://proxy.example.com/v1/webapi/oidc/callback",
        display: "one",
      },
    });
    await c.admin["connectors.put"]({ connector });
    const secret = async () => {
      const [found] = await c.auth.parts.store.connectors.list();
      return found?.kind === "oidc" && [found.spec.display, found.spec.client_secret];
    };
    const first = await editing(c, "connectors/okta", [
      (text) => {
        assert.doesNotMatch(text, /planted/);
        return text.replace("one", "two");
      },
    ]);
    assert.equal(first.error, undefined);
    assert.deepEqual(await secret(), ["two", "planted"]);
    await editing(c, "oidc/okta", [(text) => text.replace("planted", "other")], { secrets: true });
    assert.deepEqual(await secret(), ["two", "other"]);
  });
});
