import { z } from "zod";
import { mostDestinations } from "./destination.ts";
import { Metadata, named } from "./resource.ts";

export const verbs = [
  "list",
  "create",
  "read",
  "update",
  "delete",
  "connect",
  "rotate",
  "readnosecrets",
] as const;
export type Verb = (typeof verbs)[number];

/** Kinds that rules speak of (RBAC-08). */
export const resourceKinds = [
  "role",
  "auth_connector",
  "session",
  "trusted_cluster",
  "remote_cluster",
  "user",
  "token",
  "node",
  "proxy",
  "auth_server",
  "event",
  "cert_authority",
  "tunnel",
  "cluster_auth_preference",
  "cluster_config",
  "cluster_name",
  "namespace",
  "host_cert",
] as const;
export type ResourceKind = (typeof resourceKinds)[number];

const list = z.union([z.string().transform((s) => [s]), z.array(z.string())]);

const Rule = z.strictObject({
  resources: z.array(z.string()).min(1),
  verbs: z.array(z.enum([...verbs, "*"])).min(1),
  where: z.string().optional(),
  actions: z.array(z.string()).optional(),
});
export type Rule = z.output<typeof Rule>;

const Conditions = z.strictObject({
  logins: z.array(z.string()).optional(),
  kubernetes_groups: z.array(z.string()).optional(),
  /** Label → allowed values: literal, `*`, glob or `^regex$` (RBAC-06). Absent in `allow` means `*: *`. */
  node_labels: named(list).optional(),
  /**
   * Where one may forward to: `host:port`, `CIDR:port`, `*:port`, the path of a Unix socket; with `listen:` before it where `-R`
   * may listen. One role with such a list in `allow` is enough, and nothing else is open.
   */
  forward_to: z.array(z.string()).max(mostDestinations).optional(),
  rules: z.array(Rule).optional(),
});
export type Conditions = z.output<typeof Conditions>;

/** `required` and `strict` are one, `on` and `best_effort` too. YAML's bare `on` and `off` are booleans. */
const Recording = z.union([
  z.enum(["on", "off", "required", "strict", "best_effort"]),
  z.boolean().transform((on) => (on ? "on" : "off")),
]);
export type Recording = z.output<typeof Recording>;

/** What fits into a certificate without making it long. */
export const mostSources = 64;

/** Role v3 (RBAC-02). The file form: durations as text, so that what was written is what is printed. */
export const Role = z.strictObject({
  kind: z.literal("role"),
  version: z.literal("v3"),
  metadata: Metadata,
  spec: z.strictObject({
    options: z
      .strictObject({
        max_session_ttl: z.string().optional(),
        forward_agent: z.boolean().optional(),
        port_forwarding: z.boolean().optional(),
        client_idle_timeout: z.string().optional(),
        disconnect_expired_cert: z.boolean().optional(),
        cert_format: z.enum(["standard", "oldssh"]).optional(),
        /** Whether sessions are recorded, and whether one may go on that cannot be, as when a disk is full; `ssh` before `default`. */
        record_session: z
          .union([Recording, z.strictObject({ default: Recording.optional(), ssh: Recording.optional() })])
          .optional(),
        /** Certificates are good only at the address that their login came from. */
        pin_source_ip: z.boolean().optional(),
        /** Addresses and ranges, from which alone people log in and use their certificates. */
        source_addresses: z.array(z.string()).min(1).max(mostSources).optional(),
      })
      .default({}),
    allow: Conditions.default({}),
    deny: Conditions.default({}),
  }),
});
export type Role = z.output<typeof Role>;
