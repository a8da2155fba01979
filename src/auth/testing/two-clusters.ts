import { Fault, type FaultKind } from "#core/errors";
import { TrustedCluster } from "#model";
import { type Cluster, cluster } from "./cluster.ts";
import { doorOf, type WebDoor } from "./web-door.ts";

export const secret = "planted-link-token";

export const resource = (door: Pick<WebDoor, "address">, spec: object = {}, name = "main"): TrustedCluster =>
  TrustedCluster.parse({
    kind: "trusted_cluster",
    version: "v2",
    metadata: { name },
    spec: { enabled: false, token: secret, web_proxy_addr: door.address, ...spec },
  });

/** `main`, where people are, with its web door, and `east`, which is to let them in. */
export async function two() {
  await using stack = new AsyncDisposableStack();
  const main = stack.use(await cluster({ staticTokens: [{ roles: ["trusted_cluster"], token: secret }] }));
  const east = stack.use(await cluster({ clusterName: "east", anyClusterCertificate: true }));
  const door = stack.use(await doorOf(main));
  const open = stack.move();
  return {
    main,
    east,
    door,
    link: (spec: object = {}, name?: string) =>
      east.admin["trusted_clusters.put"]({ cluster: resource(door, spec, name) }),
    again: (spec: object = {}) =>
      east.admin["trusted_clusters.put"]({ cluster: resource(door, spec), force: true }),
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}

/** For `assert.rejects`: another fault is thrown, so that it is seen. */
export const refused = (kind: FaultKind, words: RegExp | string) => (err: unknown) => {
  const isIt =
    typeof words === "string" ? (text: string) => text === words : (text: string) => words.test(text);
  if (Fault.is(err, kind) && isIt(err.message)) return true;
  throw err;
};
export const rejected = refused("access_denied", /^access denied: the cluster token has been rejected/);

/** Of the events about links. */
export const codes = (c: Cluster): string[] =>
  c.events.map(({ code }) => code).filter((code) => code.startsWith("T419"));
/** Names. */
export const links = async (c: Cluster) => ({
  trusted: (await c.admin["trusted_clusters.list"]({})).map(({ metadata }) => metadata.name),
  remote: (await c.admin["remote_clusters.list"]({})).map(({ metadata }) => metadata.name),
});
export const stored = ({ auth: { parts } }: Cluster) => parts.store;
