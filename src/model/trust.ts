import { z } from "zod";
import type { Millis } from "#core/clock";
import { Fault } from "#core/errors";
import { type CertAuthority, LinkedAuthority } from "./authority.ts";
import { adminRoleName } from "./builtin.ts";
import { valueMapper } from "./match.ts";
import { Metadata, Time } from "./resource.ts";

/** One role or several: files have both. */
const some = z.union([z.string().transform((one) => [one]), z.array(z.string())]);

/**
 * Another cluster whose people this one lets in, by the roles that the mapping gives them (TC-02, RES-32). Without a mapping the
 * role `admin` there is `admin` here, and no other is anything (TC-08).
 */
export const TrustedCluster = z.strictObject({
  kind: z.literal("trusted_cluster"),
  /** Files of older versions are taken, and are of this one then. */
  version: z.enum(["v1", "v2"]).transform((): "v2" => "v2"),
  metadata: Metadata,
  spec: z.strictObject({
    enabled: z.boolean().default(true),
    /** An invitation of the other cluster; used once, and in no answer. */
    token: z.string().min(1).max(256).optional(),
    /** `host:port` of the other cluster's reverse tunnels; absent: `web_proxy_addr` serves for both (OVW-12). */
    tunnel_addr: z.string().min(1).max(300).optional(),
    /** `host:port` of the other cluster's web pages. */
    web_proxy_addr: z.string().min(1).max(300),
    role_map: z
      .array(z.strictObject({ remote: z.string(), local: some }))
      .max(200)
      .optional(),
    /** The roles here of everybody from there, as older files have it; not beside `role_map`. */
    roles: z.array(z.string()).max(200).optional(),
  }),
});
export type TrustedCluster = z.output<typeof TrustedCluster>;

/** A cluster that this one's people can be let into: it trusts this one (RES-33). It makes the record itself, with an invitation. */
export const RemoteCluster = z.strictObject({
  kind: z.literal("remote_cluster"),
  version: z.literal("v3"),
  metadata: Metadata,
  status: z.strictObject({
    connection: z.enum(["online", "offline"]),
    /** Absent: never. */
    last_heartbeat: Time.optional(),
  }),
});
export type RemoteCluster = z.output<typeof RemoteCluster>;

/** A trusted cluster as members know it: with its host and its user authority, public parts. Without its token. */
export const TrustedLink = z.object({ resource: TrustedCluster, authorities: z.array(LinkedAuthority) });
export type TrustedLink = z.output<typeof TrustedLink>;

/** A remote cluster as members know it: with its host authority, public part. */
export const RemoteLink = z.object({
  resource: RemoteCluster,
  authorities: z.array(LinkedAuthority),
  /** Which proxies of this cluster, by host id, have a tunnel to it, and when it was last heard there: milliseconds since the epoch. */
  tunnels: z.record(z.string(), z.number()).default({}),
});
export type RemoteLink = z.output<typeof RemoteLink>;

/** The authority whose certificates let people of a trusted cluster in; undefined while the link is not enabled (TC-09). */
export const userAuthorityOf = ({ resource, authorities }: TrustedLink): CertAuthority | undefined =>
  resource.spec.enabled ? authorities.find(({ spec }) => spec.type === "user") : undefined;

/**
 * How a remote cluster stands (TC-15): online while one of the proxies that are there has heard of it within `silence`, in
 * milliseconds (TUN-06).
 */
export function statusOf(
  { resource, tunnels }: RemoteLink,
  { now, silence, proxies }: { now: Millis; silence: Millis; proxies: ReadonlySet<string> },
): RemoteCluster["status"] {
  const online = Object.entries(tunnels).some(([proxy, at]) => proxies.has(proxy) && now - at <= silence);
  return { ...resource.status, connection: online ? "online" : "offline" };
}

/**
 * The roles of this cluster that a trusted cluster's people may get, as far as they are named: what `$1` stands for is known with
 * the person only.
 */
export function localRolesOf({ spec }: TrustedCluster): string[] {
  const roles = spec.roles ?? roleMapOf(spec).flatMap(({ local }) => local);
  return [...new Set(roles.filter((role) => !isFilledIn(role)))];
}

/** The mapping of roles there to roles here; where nothing is said, that of `admin` alone (TC-08). */
const roleMapOf = ({ role_map }: TrustedCluster["spec"]) =>
  role_map ?? [{ remote: adminRoleName, local: [adminRoleName] }];

/**
 * What somebody of a trusted cluster who has these roles there is here (TC-08). Throws `access_denied` when that is nothing: then
 * nobody is let in.
 */
export function rolesHere({ metadata, spec }: TrustedCluster, roles: readonly string[]): string[] {
  const here = spec.roles ?? roleMapOf(spec).flatMap(({ remote, local }) => mapped(remote, local, roles));
  const distinct = [...new Set(here.filter((role) => role !== ""))];
  if (distinct.length > 0) return distinct;
  throw new Fault(
    "access_denied",
    `no role of ${metadata.name} that you have is mapped to one of this cluster`,
  );
}

function mapped(remote: string, local: readonly string[], roles: readonly string[]): string[] {
  const map = valueMapper(remote);
  return roles.flatMap((role) => local.flatMap((here) => map(role, here) ?? []));
}

const isFilledIn = (role: string): boolean => /\$(\d|\{\d)/.test(role);

/** Refuses a mapping that no decision could use (TC-08). Throws `bad_parameter` naming the field, in `details` too. */
export function validateTrustedCluster({ metadata, spec }: TrustedCluster): void {
  const { role_map, roles } = spec;
  const refuse = (field: string, why: string, cause?: unknown): never => {
    throw new Fault(
      "bad_parameter",
      `trusted cluster ${JSON.stringify(metadata.name)}, spec.${field}: ${why}`,
      { cause, details: { field: `spec.${field}` } },
    );
  };
  if (role_map && roles) refuse("roles", "is the older form of role_map; write one of them");
  const checkLocal = (field: string, local: readonly string[]): void => {
    if (local.length === 0) refuse(field, "names no role");
    for (const role of local) {
      if (role === "") refuse(field, "a role has a name");
      if (role.includes("*"))
        refuse(field, `${JSON.stringify(role)}: wildcards are not allowed in local roles`);
    }
  };
  if (roles) checkLocal("roles", roles);
  if (role_map?.length === 0)
    refuse("role_map", `is empty; leave it out where ${adminRoleName} there is to be ${adminRoleName} here`);
  const seen = new Set<string>();
  for (const [i, { remote, local }] of (role_map ?? []).entries()) {
    const field = `role_map[${i}].remote`;
    if (remote === "") refuse(field, "names no role");
    if (seen.has(remote))
      refuse(field, `${JSON.stringify(remote)} is there twice; write one entry with all its local roles`);
    seen.add(remote);
    try {
      valueMapper(remote);
    } catch (cause) {
      if (!Fault.is(cause, "bad_parameter")) throw cause;
      refuse(field, cause.message, cause);
    }
    checkLocal(`role_map[${i}].local`, local);
  }
}
