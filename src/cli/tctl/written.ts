import type { AuthClient } from "#authclient";
import { load } from "#config";
import { Fault } from "#core/errors";
import {
  CertAuthority,
  GithubConnector,
  OidcConnector,
  Role,
  SamlConnector,
  TrustedCluster,
  User,
  validateRole,
  validateTrustedCluster,
} from "#model";
import { printable } from "../text.ts";
import { findKind } from "./kinds/index.ts";

/** What may stand in a file, by kind. */
const schemas = {
  user: User,
  role: Role,
  github: GithubConnector,
  oidc: OidcConnector,
  saml: SamlConnector,
  trusted_cluster: TrustedCluster,
  cert_authority: CertAuthority,
};

/** A resource as a file has it. */
export interface Written {
  readonly resource:
    | User
    | Role
    | GithubConnector
    | OidcConnector
    | SamlConnector
    | TrustedCluster
    | CertAuthority;
  /** `<file>:<line>:<column>`. */
  readonly place: string;
}

/**
 * The resources of a file, all of them read and checked before anything of it is sent. Throws `bad_parameter` with the place
 * of the first that is wrong, or that is there twice.
 */
export async function readWritten(text: string, name: string): Promise<Written[]> {
  const { parseResources } = await load();
  const found = parseResources(text, name, schemas, whyNot);
  for (const { value, placeOf } of found) {
    try {
      if (value.kind === "role") validateRole(value);
      if (value.kind === "trusted_cluster") validateTrustedCluster(value);
    } catch (err) {
      if (!Fault.is(err, "bad_parameter")) throw err;
      const { field = "" } = err.details;
      throw new Fault("bad_parameter", `${placeOf(pathOf(String(field)))}: ${err.message}`, { cause: err });
    }
  }
  const written = found.map(({ value: resource, placeOf }): Written => ({ resource, place: placeOf() }));
  refuseTwice(written);
  return written;
}

/** Of what a complaint calls a field: `spec.role_map[0].local`, and of a role `allow.rules[0]`, `deny.node_labels["a b"]`, `metadata.name`. */
function pathOf(field: string): PropertyKey[] {
  const parts = [...field.matchAll(/\[("(?:[^"\\]|\\.)*"|\d+)\]|[^.[\]]+/g)];
  const path = parts.map(([word, inner]): string | number =>
    inner === undefined ? word : JSON.parse(inner),
  );
  return path[0] === "metadata" || path[0] === "spec" ? path : ["spec", ...path];
}

/** Throws `bad_parameter` when one resource stands at two places: only one of them could be what is meant. */
export function refuseTwice(found: readonly Written[]): void {
  const places = new Map<string, string>();
  for (const { resource, place } of found) {
    const before = places.get(keyOf(resource));
    if (before)
      throw new Fault("bad_parameter", `${place}: ${keyOf(resource)} is there twice, first at ${before}`);
    places.set(keyOf(resource), place);
  }
}

/** `user/joe`, `cert_authority/host/main`. */
export const keyOf = (resource: Written["resource"]): string =>
  resource.kind === "cert_authority"
    ? `${resource.kind}/${resource.spec.type}/${resource.metadata.name}`
    : `${resource.kind}/${resource.metadata.name}`;

function whyNot(word: string): string {
  const kind = findKind(word);
  const hint =
    instead[kind?.kind ?? ""] ??
    (kind?.aliases.includes(word) && Object.hasOwn(schemas, kind.kind)
      ? `write kind: ${kind.kind}`
      : undefined) ??
    `use one of ${Object.keys(schemas).join(", ")}`;
  return `creating resources of type ${JSON.stringify(word)} is not supported; ${hint}`;
}

const instead: Readonly<Record<string, string>> = {
  node: "a node joins by itself with a token of tctl nodes add",
  proxy: "a proxy joins by itself with a token of tctl nodes add --roles=proxy",
  auth_server: "an auth server is there while it runs",
  token: "tctl tokens add makes one",
  connectors: "write kind: github, oidc or saml",
  remote_cluster:
    "it is there once the other cluster has made this one its trusted_cluster, with a token of tctl tokens add --type=trusted_cluster",
  reverse_tunnel: "this version has no tunnels between clusters",
  namespace: "there is always the one",
  cluster_auth_preference: "it is auth_service.authentication of the auth server's file",
  cluster_config: "it is part of the auth server's file",
};

/** One that is sent by itself: authorities go together. */
export type Single = Exclude<Written["resource"], CertAuthority>;
export const isSingle = (resource: Written["resource"]): resource is Single =>
  resource.kind !== "cert_authority";

/**
 * Sends one. With `was` it is refused when it is not any more what was read (`compare_failed`). `name`: what it is called there,
 * where that is decided there.
 */
export function put(
  auth: AuthClient,
  resource: Single,
  { force, was }: { readonly force: boolean; readonly was?: Single },
  signal: AbortSignal,
): Promise<{ created: boolean; name?: string }> {
  switch (resource.kind) {
    case "user":
      return auth["users.put"]({ user: resource, force, ...(was?.kind === "user" && { was }) }, signal);
    case "role":
      return auth["roles.put"]({ role: resource, force, ...(was?.kind === "role" && { was }) }, signal);
    case "trusted_cluster": {
      const before = was?.kind === "trusted_cluster" && { was };
      return auth["trusted_clusters.put"]({ cluster: resource, force, ...before }, signal);
    }
    default: {
      const before = was &&
        was.kind !== "user" &&
        was.kind !== "role" &&
        was.kind !== "trusted_cluster" && { was };
      return auth["connectors.put"]({ connector: resource, force, ...before }, signal);
    }
  }
}

/** `user 'joe'` (RES-06). */
export function wordsFor(resource: Written["resource"]): string {
  const name = printable(resource.metadata.name);
  switch (resource.kind) {
    case "user":
    case "role":
      return `${resource.kind} '${name}'`;
    case "cert_authority":
      return `certificate authority '${resource.spec.type}/${name}'`;
    case "trusted_cluster":
      return `trusted cluster ${JSON.stringify(name)}`;
    default:
      return `authentication connector ${JSON.stringify(name)}`;
  }
}
