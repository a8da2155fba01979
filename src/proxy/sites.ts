import type { Millis } from "#core/clock";
import type { ClusterView } from "#mirror";
import { statusOf } from "#model";

/** The answer of the `proxysites` subsystem (PRX-04): this cluster first, then those that trust it, by name. */
export function sites(view: Pick<ClusterView, "config" | "proxies" | "remoteClusters">, now: Millis): string {
  const { cluster_name: name, keep_alive_interval: every, keep_alive_count_max: count } = view.config();
  const proxies = new Set(view.proxies().map(({ metadata }) => metadata.name));
  const others = view.remoteClusters().map((link) => {
    const { connection, last_heartbeat } = statusOf(link, { now, silence: every * count, proxies });
    return {
      name: link.resource.metadata.name,
      status: connection,
      ...(last_heartbeat !== undefined && { lastconnected: last_heartbeat }),
    };
  });
  return JSON.stringify([
    { name, status: "online", lastconnected: new Date(now).toISOString() },
    ...others.sort((a, b) => (a.name < b.name ? -1 : 1)),
  ]);
}

/**
 * The cluster behind this one that `host`, as in `db.east`, names by its end, for clients that cannot name it otherwise, as
 * `ssh -J`. A node here that is called so comes first.
 */
export function clusterOf(
  host: string,
  view: Pick<ClusterView, "remoteClusters" | "nodesAt">,
): string | undefined {
  const wanted = host.toLowerCase();
  const names = view.remoteClusters().map(({ resource }) => resource.metadata.name);
  const fitting = names.filter((name) => wanted.endsWith(`.${name.toLowerCase()}`));
  if (fitting.length === 0 || view.nodesAt(wanted).length > 0) return undefined;
  // Of `east` and `us.east` the one that says more.
  return fitting.sort((a, b) => b.length - a.length)[0];
}
