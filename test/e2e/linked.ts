import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { eventually } from "../support/eventually.ts";
import type { Ran } from "../support/run.ts";
import { type Cluster, type ClusterOptions, startCluster } from "./cluster.ts";

/** `main`, where people are, and `east`, which is to let them in. */
export interface TwoClusters extends AsyncDisposable {
  readonly main: Cluster;
  readonly east: Cluster;
  /** A token of main's for a cluster. */
  invite(): Promise<string>;
  /** `tctl create` on east of a trusted cluster `main`; `more` are further lines of its spec. Without `tunnel_addr` where main has one port. */
  link(token: string, more?: readonly string[], ...flags: string[]): Promise<Ran>;
  /** Waits until `tsh clusters` of somebody who is logged in at main shows east so. */
  seen(status: "online" | "offline"): Promise<void>;
}

export async function twoClusters(
  options: { readonly main?: ClusterOptions; readonly east?: ClusterOptions } = {},
): Promise<TwoClusters> {
  await using stack = new AsyncDisposableStack();
  const { config, ...eastOptions } = options.east ?? {};
  const [main, east] = await Promise.all([
    startCluster(options.main),
    startCluster({
      flags: ["--insecure"],
      ...eastOptions,
      config: {
        ...config,
        teleport: { nodename: "eastnode", ...config?.teleport },
        auth_service: { cluster_name: "east", ...config?.auth_service },
        ssh_service: { labels: { env: "east" }, ...config?.ssh_service },
      },
    }),
  ]);
  stack.use(main);
  stack.use(east);
  const open = stack.move();
  return {
    main,
    east,
    async invite() {
      const said = await main.mustTctl("tokens", "add", "--type=trusted_cluster", "--ttl=1h");
      return /^The cluster invite token: (\S+)$/m.exec(said)?.[1] ?? assert.fail(said);
    },
    async link(token, more = [], ...flags) {
      const path = east.folder.at("cluster.yaml");
      const spec = [
        ...(token === "" ? [] : [`token: ${token}`]),
        ...(options.main?.onePort ? [] : [`tunnel_addr: 127.0.0.1:${main.ports.tunnel}`]),
        `web_proxy_addr: 127.0.0.1:${main.ports.web}`,
        ...more,
      ];
      await writeFile(
        path,
        `kind: trusted_cluster\nversion: v2\nmetadata:\n  name: main\nspec:\n${spec.map((line) => `  ${line}\n`).join("")}`,
      );
      return east.tctl("create", ...flags, path);
    },
    async seen(status) {
      const line = new RegExp(`^east +${status}`, "m");
      await eventually(`east ${status}`, async () => line.test((await main.tsh(["clusters"])).out), {
        every: 300,
      });
    },
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}
