import assert from "node:assert/strict";
import { test } from "node:test";
import { minute } from "#core/clock";
import { ClusterConfig, Node, ProxyServer, RemoteLink } from "#model";
import { clusterOf, sites } from "./sites.ts";

const now = Date.parse("2026-11-23T04:00:00Z");
const proxy = (name: string): ProxyServer =>
  ProxyServer.parse({
    kind: "proxy",
    version: "v2",
    metadata: { name },
    spec: { hostname: "p", addr: "10.0.0.1:3023", public_addr: "p:3080" },
  });
const remote = (name: string, tunnels: Record<string, number>, last?: string): RemoteLink =>
  RemoteLink.parse({
    resource: {
      kind: "remote_cluster",
      version: "v3",
      metadata: { name },
      status: { connection: "offline", ...(last && { last_heartbeat: last }) },
    },
    authorities: [],
    tunnels,
  });

test("PRX-04, TC-15: this cluster first, then those that trust it: online while a proxy that is there hears of them", () => {
  const view = {
    config: () => ClusterConfig.parse({ cluster_id: "1", cluster_name: "main" }),
    proxies: () => [proxy("a"), proxy("b")],
    remoteClusters: () => [
      remote("west", { b: now - 14 * minute }, "2026-11-23T03:46:00Z"),
      remote("late", { a: now - 16 * minute }, "2026-11-23T03:44:00Z"),
      remote("gone", { c: now }, "2026-11-23T04:00:00Z"),
      remote("east", {}),
    ],
  };
  assert.deepEqual(JSON.parse(sites(view, now)), [
    { name: "main", status: "online", lastconnected: "2026-11-23T04:00:00.000Z" },
    { name: "east", status: "offline" },
    { name: "gone", status: "offline", lastconnected: "2026-11-23T04:00:00Z" },
    { name: "late", status: "offline", lastconnected: "2026-11-23T03:44:00Z" },
    { name: "west", status: "online", lastconnected: "2026-11-23T03:46:00Z" },
  ]);
});

test("a host's name says in which cluster it is, unless a node here is called so", () => {
  const view = {
    remoteClusters: () => ["east", "us.east", "West"].map((name) => remote(name, {})),
    nodesAt: (name: string) =>
      name === "here.east"
        ? [
            Node.parse({
              kind: "node",
              version: "v2",
              metadata: { name: "1" },
              spec: { hostname: name, addr: "" },
            }),
          ]
        : [],
  };
  for (const [host, cluster] of [
    ["db.east", "east"],
    ["DB.EAST", "east"],
    ["db.us.east", "us.east"],
    ["db.west", "West"],
    ["here.east", undefined],
    ["east", undefined],
    ["beast", undefined],
    ["db.main", undefined],
  ] as const)
    assert.equal(clusterOf(host, view), cluster, host);
});
