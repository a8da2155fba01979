import { z } from "zod";
import { Metadata } from "./resource.ts";

const verbs = ["list", "create", "read", "update", "delete", "connect", "rotate", "readnosecrets"] as const;
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
  node_labels: z.record(z.string(), list).optional(),
  rules: z.array(Rule).optional(),
});
export type Conditions = z.output<typeof Conditions>;

const Recording = z.enum(["strict", "best_effort"]);

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
        /** Whether a session may go on that cannot be recorded, as when a disk is full; `ssh` before `default`. */
        record_session: z
          .strictObject({ default: Recording.optional(), ssh: Recording.optional() })
          .optional(),
      })
      .default({}),
    allow: Conditions.default({}),
    deny: Conditions.default({}),
  }),
});
export type Role = z.output<typeof Role>;
