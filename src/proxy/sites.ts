import type { ClusterConfig } from "#model";

/** The answer of the `proxysites` subsystem (PRX-04): this cluster first, then those that reach us. */
export function sites(config: Pick<ClusterConfig, "cluster_name">, now: Date): string {
  return JSON.stringify([{ name: config.cluster_name, status: "online", lastconnected: now.toISOString() }]);
}
