import type { AuthClient } from "#authclient";
import { Fault } from "#core/errors";
import type { CertAuthority, Role, User } from "#model";
import { sortNodes } from "../nodes.ts";
import { table } from "../table.ts";
import { nodeTable } from "./node-list.ts";
import { sortTokens, tokenTable } from "./tokens.ts";

interface Named {
  readonly metadata: { readonly name: string };
}

/** A kind of resource as `tctl get` and `tctl rm` know it. */
export interface Kind<R extends Named = Named> {
  readonly kind: string;
  readonly aliases: readonly string[];
  list(auth: AuthClient, options: { secrets: boolean }, signal: AbortSignal): Promise<readonly R[]>;
  /** How many ways a resource may be named beside its `metadata.name`. */
  readonly alsoNamed?: (resource: R) => string;
  remove?(auth: AuthClient, name: string, signal: AbortSignal): Promise<void>;
  /** For people. */
  text(resources: readonly R[]): string[];
}

const of = <R extends Named>(kind: Kind<R>): Kind => kind as unknown as Kind;
const list = (values: readonly string[] | undefined): string => (values ?? []).join(",");

/** Every kind, in the order of the admin guide. */
const kinds: readonly Kind[] = [
  of<User>({
    kind: "user",
    aliases: ["users"],
    list: (auth, _, signal) => auth["users.list"]({}, signal).then(sorted),
    remove: (auth, name, signal) => auth["users.delete"]({ name }, signal),
    text: (users) =>
      table(
        ["User"],
        users.map(({ metadata }) => [metadata.name]),
      ),
  }),
  of({
    kind: "node",
    aliases: ["nodes"],
    list: (auth, _, signal) => auth["nodes.list"]({}, signal).then(sortNodes),
    alsoNamed: ({ spec }) => spec.hostname,
    remove: (auth, name, signal) => auth["nodes.remove"]({ name }, signal),
    text: nodeTable,
  }),
  of<Role>({
    kind: "role",
    aliases: ["roles"],
    list: (auth, _, signal) => auth["roles.list"]({}, signal).then(sorted),
    remove: (auth, name, signal) => auth["roles.delete"]({ name }, signal),
    text: (roles) =>
      table(
        ["Role", "Allowed to login as", "Node Labels", "Access to resources"],
        roles.map(({ metadata, spec: { allow } }) => [
          metadata.name,
          list(allow.logins),
          Object.entries(allow.node_labels ?? { "*": ["*"] })
            .map(([name, values]) => `${name}:${values.join("|")}`)
            .join(","),
          (allow.rules ?? []).map(({ resources, verbs }) => `${list(resources)}:${list(verbs)}`).join(" "),
        ]),
      ),
  }),
  of({
    kind: "token",
    aliases: ["tokens"],
    list: (auth, _, signal) => auth["tokens.list"]({}, signal).then(sortTokens),
    remove: (auth, name, signal) => auth["tokens.delete"]({ name }, signal),
    text: tokenTable,
  }),
  of<CertAuthority>({
    kind: "cert_authority",
    aliases: ["cert_authorities", "cas", "ca"],
    list: (auth, { secrets }, signal) => auth["authorities.list"]({ secrets }, signal).then(sorted),
    text: (cas) =>
      table(
        ["Cluster Name", "CA Type", "Keys", "Role Map"],
        cas.map(({ spec }) => [
          spec.cluster_name,
          spec.type,
          spec.checking_keys.map((key) => key.split(" ").slice(0, 2).join(" ")).join(", "),
          (spec.role_map ?? []).map(({ remote, local }) => `${remote}:${list(local)}`).join(" "),
        ]),
      ),
  }),
  of({
    kind: "proxy",
    aliases: ["proxies"],
    list: (auth, _, signal) => auth["proxies.list"]({}, signal).then(sorted),
    alsoNamed: ({ spec }) => spec.hostname,
    text: serverTable,
  }),
  of({
    kind: "auth_server",
    aliases: ["auth_servers", "auth"],
    list: (auth, _, signal) => auth["auth_servers.list"]({}, signal).then(sorted),
    alsoNamed: ({ spec }) => spec.hostname,
    text: serverTable,
  }),
];

function serverTable(servers: readonly (Named & { spec: { hostname: string; addr: string } })[]): string[] {
  return table(
    ["Name", "ID", "Address"],
    servers.map(({ metadata, spec }) => [spec.hostname, metadata.name, spec.addr]),
  );
}

const sorted = <R extends Named>(found: readonly R[]): R[] =>
  found.toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));

/**
 * What `user/joe`, `users joe` or `users` means (RES-02, RES-03). Throws `bad_parameter` for a kind that there is none of.
 */
export function readReference(words: readonly string[]): { kind: Kind; name: string | undefined } {
  const [first = "", second] = words;
  const at = first.indexOf("/");
  const word = at < 0 ? first : first.slice(0, at);
  const name = at < 0 ? second : first.slice(at + 1);
  const lower = word.toLowerCase();
  const kind = kinds.find((each) => each.kind === lower || each.aliases.includes(lower));
  if (!kind) {
    throw new Fault(
      "bad_parameter",
      `unsupported resource: ${JSON.stringify(word)} - resources should be expressed as 'type/name', for example 'user/joe'; types: ${kinds.map((each) => each.kind).join(", ")}`,
    );
  }
  if (at >= 0 && second !== undefined) {
    throw new Fault(
      "bad_parameter",
      `name one resource at a time: ${JSON.stringify(first)} or ${JSON.stringify(second)}`,
    );
  }
  return { kind, name: name || undefined };
}

/** Those that `name` means: by their own name, else by the name they are also known by. */
export function named(kind: Kind, found: readonly Named[], name: string): Named[] {
  const exact = found.filter(({ metadata }) => metadata.name === name);
  const meant = exact.length > 0 ? exact : found.filter((each) => kind.alsoNamed?.(each) === name);
  if (meant.length === 0) throw new Fault("not_found", `${kind.kind} ${name} not found`);
  return meant;
}
