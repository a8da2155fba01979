import type { Change, Stored } from "#backend";
import type { AuthServer, CertAuthority, ClusterConfig, Node, ProxyServer, Role, User } from "#model";
import type { Store } from "./store.ts";

/** One change of what members mirror, as `mirror.watch` tells it. */
export type StateChange =
  | { readonly type: "put"; readonly kind: "cert_authority"; readonly value: CertAuthority }
  | { readonly type: "put"; readonly kind: "user"; readonly value: User }
  | { readonly type: "put"; readonly kind: "role"; readonly value: Role }
  | { readonly type: "put"; readonly kind: "node"; readonly value: Node }
  | { readonly type: "put"; readonly kind: "proxy"; readonly value: ProxyServer }
  | { readonly type: "put"; readonly kind: "auth_server"; readonly value: AuthServer }
  | { readonly type: "put"; readonly kind: "cluster_config"; readonly value: ClusterConfig }
  | {
      readonly type: "delete";
      readonly kind: "cert_authority" | "user" | "role" | "node" | "proxy" | "auth_server";
      /** Of an authority: `<type>/<cluster>`. */
      readonly name: string;
    };

/**
 * All records that members mirror, then a `live`, then every change, in order. Records whose content did not change, such as
 * those of members that are merely alive, are told once. Private keys of authorities are in it: it is for the auth
 * server itself. Throws `limit_exceeded` when the reader fell behind: start again.
 */
export async function* watchState(
  store: Store,
  signal: AbortSignal,
): AsyncGenerator<StateChange | { readonly type: "live" }> {
  const seen = new Map<string, { content: string; change: StateChange }>();
  const after = await store.backend.range("/").revision();
  const watch = await store.backend.watch("/", { after, signal });
  const step = (change: Change): StateChange | undefined => {
    if (change.type === "delete") {
      const before = seen.get(change.key);
      seen.delete(change.key);
      return before && deletion(before.change);
    }
    const read = reading(store, change.item);
    if (!read) return undefined;
    const content = Buffer.from(change.item.value).toString();
    if (seen.get(change.item.key)?.content === content) return undefined;
    const put = read();
    seen.set(change.item.key, { content, change: put });
    return put;
  };
  for (const prefix of prefixes(store)) {
    for await (const item of store.backend.range(prefix)) {
      const change = step({ type: "put", item });
      if (change) yield change;
    }
  }
  yield { type: "live" };
  for await (const change of watch) {
    const told = step(change);
    if (told) yield told;
  }
}

const prefixes = (store: Store): string[] => [
  store.config.key("config"),
  store.authorities.prefix,
  store.roles.prefix,
  store.users.prefix,
  store.nodes.prefix,
  store.proxies.prefix,
  store.authServers.prefix,
];

/** How to read an item, when it is of a kind that is mirrored; reading is left out where nothing changed. */
function reading(store: Store, item: Stored): (() => StateChange) | undefined {
  const { key } = item;
  if (key === store.config.key("config"))
    return () => ({ type: "put", kind: "cluster_config", value: must(store.config.read(item)) });
  if (key.startsWith(store.authorities.prefix))
    return () => ({ type: "put", kind: "cert_authority", value: must(store.authorities.read(item)) });
  if (key.startsWith(store.users.prefix))
    return () => ({ type: "put", kind: "user", value: must(store.users.read(item)) });
  if (key.startsWith(store.roles.prefix))
    return () => ({ type: "put", kind: "role", value: must(store.roles.read(item)) });
  if (key.startsWith(store.nodes.prefix))
    return () => ({ type: "put", kind: "node", value: must(store.nodes.read(item)) });
  if (key.startsWith(store.proxies.prefix))
    return () => ({ type: "put", kind: "proxy", value: must(store.proxies.read(item)) });
  if (key.startsWith(store.authServers.prefix))
    return () => ({ type: "put", kind: "auth_server", value: must(store.authServers.read(item)) });
  return undefined;
}

function deletion(change: StateChange): StateChange | undefined {
  if (change.type === "delete" || change.kind === "cluster_config") return undefined;
  const { kind, value } = change;
  const name = kind === "cert_authority" ? `${value.spec.type}/${value.metadata.name}` : value.metadata.name;
  return { type: "delete", kind, name };
}
