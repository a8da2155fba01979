import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { parse } from "yaml";
import { type Cluster, startCluster } from "./cluster.ts";
import { type Host, type HostOptions, startHost } from "./daemon.ts";

/** `22 Nov 26 09:29 UTC`. */
const date = String.raw`\d\d [A-Z][a-z]{2} \d\d \d\d:\d\d UTC`;

suite("invite tokens", { concurrency: 2 }, () => {
  const stack = new AsyncDisposableStack();
  let cluster: Cluster;

  before(async () => {
    cluster = stack.use(
      await startCluster({
        config: { auth_service: { tokens: ["node:static-secret", "proxy,auth:other-secret"] } },
      }),
    );
  });
  after(() => stack.disposeAsync());

  const start = (name: string, role: HostOptions["role"], token: string): Promise<Host> =>
    startHost({
      name,
      role,
      folder: cluster.folder.at(name),
      authPort: cluster.ports.auth,
      flags: [`--token=${token}`],
    });
  const joins = async (name: string, role: HostOptions["role"], token: string): Promise<void> => {
    await using host = await start(name, role, token);
    await host.ready();
  };
  /** It goes on trying, and the audit log has who was refused. */
  const isRefused = async (
    name: string,
    role: HostOptions["role"],
    token: string,
    said: RegExp,
  ): Promise<void> => {
    await using host = await start(name, role, token);
    await host.program.line(said);
    assert.equal((await host.diag("/readyz")).status, 503);
    const event = await cluster.event(
      `the refusal of ${name}`,
      (e) => e.event === "node.join" && e.hostname === name && e.success === false,
    );
    assert.equal(event.code, "T4000W");
    assert.match(String(event.error), said);
    assert.match(String(event["addr.remote"]), /^127\.0\.0\.1:\d+$/);
  };
  const make = async (...args: string[]): Promise<string> => {
    const text = await cluster.mustTctl("nodes", "add", ...args);
    return /^The invite token: (\S+)$/m.exec(text.split("\n")[0] ?? "")?.[1] ?? "";
  };
  const row = async (token: string): Promise<string | undefined> => {
    const rows = (await cluster.mustTctl("tokens", "ls")).split("\n");
    return rows.find((line) => line.startsWith(`${token} `))?.trimEnd();
  };

  test("ACC-02: tctl nodes add with a token of one's own: for nodes and proxies, again and again, until its time is over", async () => {
    const said = await cluster.mustTctl(
      ...["nodes", "add", "--ttl=5m", "--roles=node,proxy", "--token=secret-value"],
    );
    assert.match(said, /^The invite token: secret-value\nThis token will expire in 5 minutes\n/);
    const listed = new RegExp(`^secret-value +Node,Proxy +(${date})$`).exec(
      (await row("secret-value")) ?? "",
    );
    const left = Date.parse(`${listed?.[1]}`) - Date.now();
    assert.ok(left > 3 * 60_000 && left <= 5 * 60_000, `${left} ms`);
    await joins("first", "node", "secret-value");
    await joins("second", "node", "secret-value");
    await joins("third", "proxy", "secret-value");

    await cluster.mustTctl("nodes", "add", "--ttl=1s", "--token=short-lived");
    const over = Date.now() + 1500;
    while (Date.now() < over) await row("short-lived");
    assert.equal(await row("short-lived"), undefined);
    await isRefused("late", "node", "short-lived", /the token is not valid/);
  });

  test("ACC-03a: tctl nodes add makes a token of 32 hex digits, and prints the command that works", async () => {
    const said = await cluster.mustTctl("nodes", "add", "--ttl=5m", "--roles=node,proxy");
    assert.match(said, /^The invite token: [0-9a-f]{32}\n/);
    const command = /^> teleport start \\\n((?: {3}--\S+(?: \\)?\n)+)/m.exec(said)?.[1] ?? "";
    const words = command.split(/[\s\\]+/).filter((word) => word !== "");
    assert.deepEqual(
      words.map((word) => word.split("=")[0]),
      ["--roles", "--token", "--ca-pin", "--auth-server"],
    );
    await using host = await startHost({
      name: "as-printed",
      role: "node,proxy",
      folder: cluster.folder.at("as-printed"),
      authPort: cluster.ports.auth,
      flags: words.slice(1),
    });
    await host.ready();
    assert.doesNotMatch(host.program.said, /warning/i);
  });

  test("ACC-03b: tctl tokens ls tells type and end; no token that is over is in it", async () => {
    const token = await make("--roles=node");
    const [head = "", line = ""] = (await cluster.mustTctl("tokens", "ls")).split("\n");
    assert.match(head, /^Token +Type +Expiry Time \(UTC\) *$/);
    assert.match(line, /^-+ -+ -+ *$/);
    assert.match((await row(token)) ?? "", new RegExp(`^${token} +Node +${date}$`));
    type Listed = { metadata: { name: string; expires?: string }; spec: { roles: string[] } };
    const json = JSON.parse(await cluster.mustTctl("tokens", "ls", "--format=json")) as Listed[];
    const yaml = parse(await cluster.mustTctl("tokens", "ls", "--format=yaml")) as Listed[];
    for (const list of [json, yaml])
      assert.deepEqual(list.find(({ metadata }) => metadata.name === token)?.spec.roles, ["node"]);
  });

  test("ACC-03c: tctl tokens rm takes a token away, and a host that offers it is refused", async () => {
    const token = await make();
    assert.equal(await cluster.mustTctl("tokens", "rm", token), `Token ${token} has been deleted\n`);
    assert.equal(await row(token), undefined);
    await isRefused(
      "revoked",
      "node",
      token,
      /revoked.* \[[-0-9a-f]{36}\] can not join the cluster with role Node, the token is not valid/,
    );
    const again = await cluster.tctl("tokens", "rm", token);
    assert.deepEqual([again.code, again.out], [1, ""]);
    assert.equal((await cluster.tctl("tokens", "rm")).code, 2);
  });

  test("ACC-09: tctl tokens ls with static tokens, invitations of hosts, of clusters and of people", async () => {
    const token = await make("--roles=auth");
    await cluster.mustTctl("tokens", "add", "--type=trusted_cluster", "--value=link", "--ttl=2h");
    await cluster.mustTctl("users", "add", "anna", "root");
    const rows = (await cluster.mustTctl("tokens", "ls")).trimEnd().split("\n").slice(2);
    const has = (pattern: string): void =>
      assert.ok(
        rows.some((line) => new RegExp(`^${pattern} *$`).test(line)),
        `${pattern} is not in\n${rows.join("\n")}`,
      );
    has("static-secret +Node +never");
    has("other-secret +Proxy,Auth +never");
    has(`${token} +Auth +${date}`);
    has(`link +trusted_cluster +${date}`);
    has(`[0-9a-f]{32} +Signup +${date}`);
    const ends = rows.map((line) => Date.parse(/\d\d \w+ \d\d [\d:]+ UTC/.exec(line)?.[0] ?? "1 Jan 1970"));
    assert.deepEqual(
      ends,
      ends.toSorted((a, b) => a - b),
    );
  });

  test("ACC-10: tctl tokens del, of a host's invitation and of a person's, whose page is gone with it", async () => {
    const token = await make();
    assert.equal(await cluster.mustTctl("tokens", "del", token), `Token ${token} has been deleted\n`);
    const invitation = await cluster.mustTctl("users", "add", "berta", "root");
    const signup = /\/web\/newuser\/([0-9a-f]{32})/.exec(invitation)?.[1] ?? "";
    const page = `/v1/webapi/users/invites/${signup}`;
    assert.equal((await cluster.web(page)).status, 200);
    assert.equal(await cluster.mustTctl("tokens", "del", signup), `Token ${signup} has been deleted\n`);
    assert.equal((await cluster.web(page)).status, 404);
    const done = await cluster.web("/v1/webapi/users", {
      body: { invite_token: signup, user: "berta", pass: "correct horse", second_factor_token: "" },
    });
    assert.equal(done.status, 404);
    assert.doesNotMatch(await cluster.mustTctl("users", "ls"), /berta/);
  });

  test("AUTH-13: a static token cannot be deleted", async () => {
    const { code, err } = await cluster.tctl("tokens", "rm", "static-secret");
    assert.deepEqual(
      [code, err],
      [2, "error: token static-secret is statically configured and cannot be removed\n"],
    );
  });

  test("TP-01: static tokens let in whom they are for; one that nobody made, or made for another role, nobody", async () => {
    await joins("by-static", "node", "static-secret");
    await isRefused("invented", "node", "0123456789abcdef0123456789abcdef", /the token is not valid/);
    await isRefused("wrong-role", "proxy", "static-secret", /the token does not allow .*Proxy.* role/);
  });

  test("S49: a token for one host lets in one", async () => {
    const token = await make("--uses=1");
    await joins("the-one", "node", token);
    assert.equal(await row(token), undefined);
    await isRefused("another", "node", token, /the token is not valid/);
  });
});
