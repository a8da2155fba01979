import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { Fault } from "#core/errors";
import { type Node, namesOf } from "#model";
import { dialPolicy, parseTarget, resolve, route, routeByAddress } from "./index.ts";

const node = (id: string, hostname: string, addr: string, tunnel = false): Node => ({
  kind: "node",
  version: "v2",
  metadata: { name: id },
  spec: { hostname, addr, use_tunnel: tunnel },
});
const db = node("5a6f0f3c-0000-4000-8000-000000000001", "db", "10.0.0.1:3022");
const db2 = node("5a6f0f3c-0000-4000-8000-000000000002", "db", "10.0.0.2:3023");
const web = node("5a6f0f3c-0000-4000-8000-000000000003", "Web", "10.0.0.3:3022");
const far = node("5a6f0f3c-0000-4000-8000-000000000004", "far", "", true);
const nodes = [db, db2, web, far];
const nodesAt = (name: string): readonly Node[] =>
  nodes.filter((one) => namesOf(one).has(name.toLowerCase()));
const cluster = { name: "main", nodesAt };

suite("proxy targets", () => {
  for (const [text, want] of [
    ["proxy:db:3022", { kind: "host", host: "db", port: 3022 }],
    ["proxy:db:", { kind: "host", host: "db", port: 0 }],
    ["proxy:db", { kind: "host", host: "db", port: 0 }],
    ["proxy:db:0@east", { kind: "host", host: "db", port: 0, cluster: "east" }],
    ["proxy:db:22@default@east", { kind: "host", host: "db", port: 22, cluster: "east" }],
    ["proxy:[fd00::1]:22", { kind: "host", host: "fd00::1", port: 22 }],
    ["proxy:fd00::1:22", { kind: "host", host: "fd00::1", port: 22 }],
    ["proxy:@main", { kind: "auth", cluster: "main" }],
  ] as const) {
    test(`${text} is read`, () => assert.deepEqual(parseTarget(text), want));
  }
  for (const text of [
    "sftp",
    "proxy:",
    "proxy:@",
    "proxy:db:99999",
    "proxy:db:x",
    "proxy:db:22@a@b",
    "proxy:db:22@default@a@b",
    "proxy:a b:22",
    "proxy:-oX:22",
    "proxy:a\u001b[2J:22",
    `proxy:${"a".repeat(256)}:22`,
  ]) {
    test(`${JSON.stringify(text).slice(0, 40)} is refused`, () =>
      assert.throws(
        () => parseTarget(text),
        (err) => Fault.is(err, "bad_parameter"),
      ));
  }
});

suite("routes", () => {
  for (const [host, port, want] of [
    ["web", 0, web],
    ["web", 3022, web],
    ["WEB.main", 3022, web],
    [web.metadata.name, 0, web],
    [`${web.metadata.name}.main`, 3022, web],
    ["10.0.0.3", 0, web],
    ["db", 3023, db2],
    ["far", 22, far],
  ] as const) {
    test(`${host}:${port} is ${want.metadata.name.slice(-1)}`, () =>
      assert.deepEqual(route(host, port, cluster), { kind: "node", node: want }));
  }
  for (const [host, port] of [
    ["nosuch", 0],
    ["web.east", 0],
  ] as const) {
    test(`${host}:${port} is no node`, () =>
      assert.deepEqual(route(host, port, cluster), { kind: "host", host, port }));
  }
  test("a node at another port is no node, and is told of to who may see it", () => {
    assert.deepEqual(route("web", 22, cluster), { kind: "host", host: "web", port: 22, elsewhere: web });
    const unseen = route("web", 22, { ...cluster, sees: () => false });
    assert.deepEqual(unseen, { kind: "host", host: "web", port: 22 });
  });
  test("a name that only such a node has is answered with its port", async () => {
    await assert.rejects(resolve("web.invalid", web), {
      message: 'the node "web.invalid" is at port 3022: use -p 3022',
    });
    await assert.rejects(resolve("web.invalid"), /there is no node "web.invalid"/);
  });
  test("several nodes of one name are refused with their ids", () => {
    assert.throws(
      () => route("db", 0, cluster),
      (err) =>
        Fault.is(err, "bad_parameter") &&
        err.message.includes(db.metadata.name) &&
        err.message.includes(`${db2.metadata.name} (10.0.0.2:3023)`) &&
        err.message.includes("2 nodes"),
    );
  });
  test("nodes that a person may not see are neither choices nor told of", () => {
    const only = (seen: Node) => ({ ...cluster, sees: (one: Node) => one === seen });
    assert.deepEqual(route("db", 0, only(db2)), { kind: "node", node: db2 });
    assert.equal(route("db", 0, only(web)).kind, "node", "to be refused like any other that may not be seen");
  });
  test("of very many choices some are told", () => {
    const all = Array.from({ length: 500 }, (_, i) => node(`id-${i}`, "same", "10.0.0.9:3022"));
    assert.throws(
      () => route("same", 0, { name: "main", nodesAt: () => all }),
      (err) =>
        Fault.is(err, "bad_parameter") && / and 490 more$/.test(err.message) && err.message.length < 1000,
    );
  });
  test("a DNS name of a node is found by its address", () => {
    assert.equal(routeByAddress(["10.0.0.3"], 3022, nodesAt), web);
    assert.equal(routeByAddress(["10.0.0.3"], 22, nodesAt), undefined);
  });
});

suite("S62: what a proxy may dial", () => {
  const own = [{ host: "10.9.9.9", port: 3025 }];
  const policy = (...entries: string[]) => dialPolicy(entries, () => own);
  const table: readonly [
    entries: string[],
    host: string,
    addresses: string[],
    port: number,
    allowed: string[] | undefined,
  ][] = [
    [["*:22", "*:3022"], "h", ["10.0.0.9"], 22, ["10.0.0.9"]],
    [["*:22"], "h", ["10.0.0.9"], 2222, undefined],
    [["*:22"], "h", ["127.0.0.1"], 22, undefined],
    [["*:*"], "localhost", ["::1"], 22, undefined],
    [["*:*"], "h", ["::ffff:127.0.0.1"], 22, undefined],
    [["*:*"], "h", ["::ffff:7f00:1"], 22, undefined],
    [["*:*"], "h", ["0.0.0.0"], 22, undefined],
    [["*:*"], "h", ["169.254.169.254"], 80, undefined],
    [["*:*"], "h", ["224.0.0.1"], 22, undefined],
    [["*:*"], "h", ["fe80::1"], 22, undefined],
    [["*:*"], "h", ["10.9.9.9"], 3025, undefined],
    [["*:*"], "h", ["10.9.9.9"], 22, ["10.9.9.9"]],
    [["127.0.0.1:2022"], "localhost", ["127.0.0.1"], 2022, ["127.0.0.1"]],
    [["127.0.0.1:2022"], "localhost", ["127.0.0.1"], 2023, undefined],
    [["127.0.0.0/8:*"], "h", ["127.0.0.1"], 22, undefined],
    [["localhost:*"], "localhost", ["127.0.0.1"], 22, undefined],
    [["db.example.com:*"], "DB.example.com", ["10.0.0.9"], 99, ["10.0.0.9"]],
    [["db.example.com:*"], "other", ["10.0.0.9"], 99, undefined],
    [["10.0.0.0/8:22"], "h", ["10.1.2.3", "11.0.0.1"], 22, ["10.1.2.3"]],
    [["[fd00::/8]:22"], "h", ["fd00::7"], 22, ["fd00::7"]],
    [[], "h", ["10.0.0.9"], 22, undefined],
  ];
  for (const [entries, host, addresses, port, allowed] of table) {
    test(`${entries.join(" ") || "nothing"}: ${host} at ${addresses.join(" ")} port ${port} ${allowed ? "is dialled" : "is refused"}`, () => {
      if (allowed) assert.deepEqual(policy(...entries).permitted(host, addresses, port), allowed);
      else
        assert.throws(
          () => policy(...entries).permitted(host, addresses, port),
          (err) => Fault.is(err, "access_denied"),
        );
    });
  }
  for (const entry of ["*", "host", "10.0.0.0/33:22", "h:0", "h:70000", "a b:22", "name/8:22", ""]) {
    test(`the entry ${JSON.stringify(entry)} is refused`, () =>
      assert.throws(
        () => policy(entry),
        (err) => Fault.is(err, "bad_parameter"),
      ));
  }
});
