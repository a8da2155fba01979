import { z } from "zod";
import { Metadata } from "./resource.ts";

/** Where a rotation stands (ROT-04). Standby unless one is under way. */
const Rotation = z.strictObject({
  state: z.enum(["standby", "in_progress"]).default("standby"),
  phase: z.enum(["standby", "init", "update_clients", "update_servers", "rollback"]).default("standby"),
  mode: z.enum(["auto", "manual"]).optional(),
  current_id: z.string().optional(),
  started: z.string().optional(),
  grace_period: z.string().optional(),
  last_rotated: z.string().optional(),
  schedule: z
    .strictObject({ update_clients: z.string(), update_servers: z.string(), standby: z.string() })
    .optional(),
});

/** A certificate authority (OVW-13..15, RES-34). The lists hold more than one entry during a rotation; the first signs. */
export const CertAuthority = z.strictObject({
  kind: z.literal("cert_authority"),
  version: z.literal("v2"),
  metadata: Metadata,
  spec: z.strictObject({
    type: z.enum(["user", "host"]),
    cluster_name: z.string(),
    /** SSH public keys, authorized_keys lines. */
    checking_keys: z.array(z.string()).min(1),
    /** SSH private keys, OpenSSH format, same order. Absent unless secrets were asked for by one who may see them. */
    signing_keys: z.array(z.string()).optional(),
    /** X.509 CA pairs, PEM; keys absent like `signing_keys`. */
    tls_key_pairs: z.array(z.strictObject({ cert: z.string(), key: z.string().optional() })).min(1),
    roles: z.array(z.string()).optional(),
    role_map: z.array(z.strictObject({ remote: z.string(), local: z.array(z.string()) })).optional(),
    rotation: Rotation.optional(),
  }),
});
export type CertAuthority = z.output<typeof CertAuthority>;
export type AuthorityType = CertAuthority["spec"]["type"];

/** The same authority without private keys. */
export function publicPart(ca: CertAuthority): CertAuthority {
  const { signing_keys: _, ...spec } = ca.spec;
  return { ...ca, spec: { ...spec, tls_key_pairs: spec.tls_key_pairs.map(({ cert }) => ({ cert })) } };
}
