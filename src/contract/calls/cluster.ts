import { z } from "zod";
import { day, hour, type Millis } from "#core/clock";
import {
  AuthPreference,
  AuthServer,
  CertAuthority,
  ClusterConfig,
  LinkedAuthority,
  Node,
  ProxyServer,
  RemoteLink,
  Role,
  rotationPhases,
  TrustedLink,
  User,
} from "#model";
import { call, feed } from "../rpc.ts";
import { admin, anyone, force, member, none, system } from "./parts.ts";

/** No rotation takes longer: what it is to replace would be trusted for as long. */
const longestGrace: Millis = 366 * day;

/** A member says that it is there, and which of its records auth should have (OVW-34). */
const Alive = z.strictObject({
  type: z.literal("alive"),
  kinds: z.array(z.enum(["node", "proxy"])).max(2),
  /** Now and then the records themselves, to be compared with those that auth has. */
  records: z
    .array(z.discriminatedUnion("kind", [Node, ProxyServer]))
    .max(2)
    .optional(),
});
export type Alive = z.output<typeof Alive>;

/** One change of what members mirror. `reset` opens the feed: forget everything of before; `live` ends the first list. */
const MirrorChange = z.discriminatedUnion("type", [
  z.object({ type: z.literal("reset") }),
  z.object({ type: z.literal("live") }),
  z.object({ type: z.literal("beat") }),
  /** In place of a beat: not all records that the member says it has are there; they are to be announced again. */
  z.object({ type: z.literal("announce") }),
  z.discriminatedUnion("kind", [
    z.object({ type: z.literal("put"), kind: z.literal("cert_authority"), value: CertAuthority }),
    z.object({ type: z.literal("put"), kind: z.literal("user"), value: User }),
    z.object({ type: z.literal("put"), kind: z.literal("role"), value: Role }),
    z.object({ type: z.literal("put"), kind: z.literal("node"), value: Node }),
    z.object({ type: z.literal("put"), kind: z.literal("proxy"), value: ProxyServer }),
    z.object({ type: z.literal("put"), kind: z.literal("auth_server"), value: AuthServer }),
    z.object({ type: z.literal("put"), kind: z.literal("trusted_cluster"), value: TrustedLink }),
    z.object({ type: z.literal("put"), kind: z.literal("remote_cluster"), value: RemoteLink }),
    z.object({ type: z.literal("put"), kind: z.literal("cluster_config"), value: ClusterConfig }),
  ]),
  z.object({
    type: z.literal("delete"),
    kind: z.enum([
      "cert_authority",
      "user",
      "role",
      "node",
      "proxy",
      "auth_server",
      "trusted_cluster",
      "remote_cluster",
    ]),
    /** Of an authority: `<type>/<cluster>`. */
    name: z.string(),
  }),
]);
export type MirrorChange = z.output<typeof MirrorChange>;

const authorityType = z.enum(["user", "host"]);

/** A member that does not serve the phase of a rotation, or that a rotation would cut off. */
const LaggingMember = z.object({
  kind: z.enum(["node", "proxy", "auth_server"]),
  name: z.string(),
  host_id: z.string(),
  /** It holds good certificates and is not there. */
  offline: z.boolean(),
  /** Whose rotation it does not serve. */
  authorities: z.array(authorityType),
  /** Up to which phase it has followed the host CA's last rotation, where it has said so. */
  phase: z.enum(rotationPhases).optional(),
});
export type LaggingMember = z.output<typeof LaggingMember>;

/** A rotation to begin, or one step of it by hand (ROT-01, ROT-07). */
const RotationRequest = z.strictObject({
  types: z.array(authorityType).min(1).max(2).default(["user", "host"]),
  /** Milliseconds; 0 replaces the authorities at once (ROT-08). */
  grace_period: z
    .number()
    .nonnegative()
    .max(longestGrace)
    .default(48 * hour),
  /** By hand, to this phase; absent: by itself, in thirds of the grace period. */
  phase: z.enum(rotationPhases).optional(),
});

/** The cluster, its authorities, and what members mirror. */
export const clusterCalls = {
  "cluster.status": call({
    input: none,
    output: z.object({
      cluster_name: z.string(),
      server_version: z.string(),
      cas: z.array(CertAuthority),
      /** `sha256:<64 hex>` of each host CA certificate (AUTH-16). */
      ca_pins: z.array(z.string()),
      license: z.string().optional(),
      /** Who does not yet serve the phase of a rotation that is under way; for those who may rotate. */
      behind: z.array(LaggingMember).optional(),
    }),
    allow: member,
  }),
  "cluster.config": call({ input: none, output: ClusterConfig, allow: member }),
  "cluster.preference": call({ input: none, output: AuthPreference, allow: system("Proxy") }),
  /** The host CA's TLS certificates, before a joining host can verify anything (AUTH-15). */
  "cluster.ca": call({ input: none, output: z.object({ tls_ca_certs: z.array(z.string()) }), allow: anyone }),
  "authorities.list": call({
    input: z.strictObject({ type: z.enum(["user", "host"]).optional(), secrets: z.boolean().default(false) }),
    output: z.array(LinkedAuthority),
    allow: (caller, { secrets }) => (secrets ? admin(caller) : member(caller)),
  }),
  /**
   * Puts back this cluster's authorities with their private keys, all of those given or none. Where a private key is not
   * given, the stored one of that public key stays.
   */
  "authorities.restore": call({
    input: z.strictObject({ authorities: z.array(CertAuthority).min(1).max(2), force }),
    output: z.void(),
    allow: admin,
  }),
  /** Begins a rotation or takes one step of it; answers the authorities, public parts. */
  "authorities.rotate": call({
    input: RotationRequest,
    output: z.array(CertAuthority),
    allow: ["rotate", "cert_authority"],
  }),
  /** Whom such a rotation of the host CA would cut off as things are, or the end of the one under way. Changes nothing. */
  "authorities.rehearse": call({
    input: RotationRequest,
    output: z.array(LaggingMember),
    allow: ["rotate", "cert_authority"],
  }),
  /** Each `alive` keeps the caller's announced records for another 30 s, and is answered with a beat. */
  "mirror.watch": feed({ input: none, said: Alive, output: MirrorChange, allow: system("Proxy", "Node") }),
};
