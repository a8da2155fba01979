import { z } from "zod";
import { Metadata } from "./resource.ts";

/** The steps of a rotation (ROT-05): what signs in each, and who shows what, says `signerIndex`. */
export const rotationPhases = ["standby", "init", "update_clients", "update_servers", "rollback"] as const;
export type RotationPhase = (typeof rotationPhases)[number];

/** Where a rotation stands (ROT-04). Standby unless one is under way. */
const Rotation = z.strictObject({
  state: z.enum(["standby", "in_progress"]).default("standby"),
  phase: z.enum(rotationPhases).default("standby"),
  mode: z.enum(["auto", "manual"]).optional(),
  /** Of the rotation that is under way, or was the last: every one has its own. */
  current_id: z.string().optional(),
  started: z.string().optional(),
  /** As `48h0m0s`; `0s` for one that replaced the authority at once. */
  grace_period: z.string().optional(),
  last_rotated: z.string().optional(),
  /** When each phase begins by itself, in mode `auto`. */
  schedule: z
    .strictObject({ update_clients: z.string(), update_servers: z.string(), standby: z.string() })
    .optional(),
});

const tlsPair = z.strictObject({ cert: z.string(), key: z.string().optional() });

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
    tls_key_pairs: z.array(tlsPair).min(1),
    roles: z.array(z.string()).optional(),
    role_map: z.array(z.strictObject({ remote: z.string(), local: z.array(z.string()) })).optional(),
    rotation: Rotation.optional(),
  }),
});
export type CertAuthority = z.output<typeof CertAuthority>;
export type AuthorityType = CertAuthority["spec"]["type"];

/**
 * An authority of another cluster in a link. Only its SSH keys may be known, as of one that stands in the file (CFG-61): then no
 * X.509 certificate is taken for one of its own.
 */
export const LinkedAuthority = CertAuthority.extend({
  spec: CertAuthority.shape.spec.extend({ tls_key_pairs: z.array(tlsPair) }),
});

export type Rotation = z.output<typeof Rotation>;

/** What a member has made its own of a rotation: it does in this phase what it has to. */
const ServedRotation = z.strictObject({ current_id: z.string(), phase: z.enum(rotationPhases) });
export type ServedRotation = z.output<typeof ServedRotation>;

/** How far a member is with both authorities; one that was never rotated is absent. */
export const MemberRotation = z.strictObject({
  user: ServedRotation.optional(),
  host: ServedRotation.optional(),
});
export type MemberRotation = z.output<typeof MemberRotation>;

/**
 * Which of an authority's entries signs. What is shown to those who connect (`server`) is signed by the old one until every
 * client has had the time to learn of the new one: one phase longer than what clients show (ROT-05).
 */
export const signerIndex = ({ spec }: CertAuthority, shownBy: "client" | "server"): number =>
  shownBy === "server" && spec.rotation?.phase === "update_clients" && spec.checking_keys.length > 1 ? 1 : 0;

/** What a member reports that does what this authority's phase asks of it. */
export const servedOf = ({ spec: { rotation } }: CertAuthority): ServedRotation | undefined =>
  rotation?.current_id === undefined ? undefined : { current_id: rotation.current_id, phase: rotation.phase };

/** The same authority without private keys. */
export function publicPart(ca: CertAuthority): CertAuthority {
  const { signing_keys: _, ...spec } = ca.spec;
  return { ...ca, spec: { ...spec, tls_key_pairs: spec.tls_key_pairs.map(({ cert }) => ({ cert })) } };
}
