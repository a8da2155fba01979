import type { Stored } from "#backend";
import type {
  AuthServer,
  CertAuthority,
  ClusterConfig,
  Node,
  ProxyServer,
  RemoteLink,
  Role,
  TrustedLink,
  User,
} from "#model";
import type { Store } from "./store.ts";

/** One change of what members mirror, as `mirror.watch` tells it. */
export type StateChange =
  | { readonly type: "put"; readonly kind: "cert_authority"; readonly value: CertAuthority }
  | { readonly type: "put"; readonly kind: "user"; readonly value: User }
  | { readonly type: "put"; readonly kind: "role"; readonly value: Role }
  | { readonly type: "put"; readonly kind: "node"; readonly value: Node }
  | { readonly type: "put"; readonly kind: "proxy"; readonly value: ProxyServer }
  | { readonly type: "put"; readonly kind: "auth_server"; readonly value: AuthServer }
  | { readonly type: "put"; readonly kind: "trusted_cluster"; readonly value: TrustedLink }
  | { readonly type: "put"; readonly kind: "remote_cluster"; readonly value: RemoteLink }
  | { readonly type: "put"; readonly kind: "cluster_config"; readonly value: ClusterConfig }
  | {
      readonly type: "delete";
      readonly kind: Exclude<Mirrored, "cluster_config">;
      /** Of an authority: `<type>/<cluster>`. */
      readonly name: string;
    };

type Put = Extract<StateChange, { type: "put" }>;
type Mirrored = Put["kind"];

/**
 * All records that members mirror, then a `live`, then every change, in order. Records whose content did not change, such as
 * those of members that are merely alive, are told once. Private keys of authorities are in it: it is for the auth
 * server itself. Throws `limit_exceeded` when the reader fell behind: start again.
 */
export async function* watchState(
  store: Store,
  signal: AbortSignal,
): AsyncGenerator<StateChange | { readonly type: "live" }> {
  const kinds = mirrored(store);
  const seen = new Map<string, { content: string; revision: string; change: StateChange }>();
  const after = await store.backend.range("/").revision();
  const watch = await store.backend.watch("/", { after, signal });

  const put = (item: Stored): StateChange | undefined => {
    const before = seen.get(item.key);
    // What the list has shown already comes again in the watch.
    if (before && before.revision >= item.revision) return undefined;
    const content = Buffer.from(item.value).toString();
    const same = before?.content === content;
    const change = same ? before.change : kinds.find(({ prefix }) => item.key.startsWith(prefix))?.read(item);
    if (!change) return undefined;
    seen.set(item.key, { content, revision: item.revision, change });
    return same ? undefined : change;
  };
  const gone = (key: string, revision: string): StateChange | undefined => {
    const before = seen.get(key);
    if (!before || before.revision > revision) return undefined;
    seen.delete(key);
    const { change } = before;
    if (change.type === "delete" || change.kind === "cluster_config") return undefined;
    return { type: "delete", kind: change.kind, name: nameOf(change) };
  };

  for (const { prefix } of kinds) {
    for await (const item of store.backend.range(prefix)) {
      const change = put(item);
      if (change) yield change;
    }
  }
  yield { type: "live" };
  for await (const step of watch) {
    const change = step.type === "put" ? put(step.item) : gone(step.key, step.revision);
    if (change) yield change;
  }
}

/** As the change of a record calls it; empty for the one that has no name. */
export function nameOf(change: Put): string {
  if (change.kind === "cluster_config") return "";
  const { value } = change;
  if ("resource" in value) return value.resource.metadata.name;
  const { name } = value.metadata;
  return change.kind === "cert_authority" ? `${change.value.spec.type}/${name}` : name;
}

/** Where each kind is kept and how it is read. */
function mirrored(store: Store): { prefix: string; read: (item: Stored) => StateChange }[] {
  const { config, authorities, roles, users, nodes, proxies, authServers } = store;
  const { trustedClusters, remoteClusters } = store;
  return [
    {
      prefix: config.key("config"),
      read: (item) => ({ type: "put", kind: "cluster_config", value: config.read(item) }),
    },
    {
      prefix: authorities.prefix,
      read: (item) => ({ type: "put", kind: "cert_authority", value: authorities.read(item) }),
    },
    { prefix: roles.prefix, read: (item) => ({ type: "put", kind: "role", value: roles.read(item) }) },
    { prefix: users.prefix, read: (item) => ({ type: "put", kind: "user", value: users.read(item) }) },
    { prefix: nodes.prefix, read: (item) => ({ type: "put", kind: "node", value: nodes.read(item) }) },
    { prefix: proxies.prefix, read: (item) => ({ type: "put", kind: "proxy", value: proxies.read(item) }) },
    {
      prefix: authServers.prefix,
      read: (item) => ({ type: "put", kind: "auth_server", value: authServers.read(item) }),
    },
    {
      prefix: trustedClusters.prefix,
      read: (item) => {
        const { resource, authorities } = trustedClusters.read(item);
        return { type: "put", kind: "trusted_cluster", value: { resource, authorities } };
      },
    },
    {
      prefix: remoteClusters.prefix,
      read: (item) => ({ type: "put", kind: "remote_cluster", value: remoteClusters.read(item) }),
    },
  ];
}
