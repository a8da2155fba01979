import { z } from "zod";
import { MemberRotation } from "./authority.ts";
import { Metadata, named } from "./resource.ts";

const spec = {
  /** host:port where peers reach it; empty for a tunnel node. */
  addr: z.string().default(""),
  hostname: z.string(),
  public_addr: z.string().optional(),
  version: z.string().optional(),
  /** Which phase of the authorities' rotations it serves (ROT-09). */
  rotation: MemberRotation.optional(),
};

/** A registered machine (RES-30). `metadata.name` is its host UUID. */
export const Node = z.strictObject({
  kind: z.literal("node"),
  version: z.literal("v2"),
  metadata: Metadata,
  spec: z.strictObject({
    ...spec,
    /** Dynamic labels: the command and its latest result (SSH-50). */
    cmd_labels: named(
      z.strictObject({ command: z.array(z.string()), period: z.string(), result: z.string() }),
    ).optional(),
    use_tunnel: z.boolean().optional(),
  }),
});
export type Node = z.output<typeof Node>;

/** A registered proxy; `public_addr` is the HTTPS address it advertises. */
export const ProxyServer = z.strictObject({
  kind: z.literal("proxy"),
  version: z.literal("v2"),
  metadata: Metadata,
  spec: z.strictObject({ ...spec, ssh_addr: z.string().optional(), web_addr: z.string().optional() }),
});
export type ProxyServer = z.output<typeof ProxyServer>;

export const AuthServer = z.strictObject({
  kind: z.literal("auth_server"),
  version: z.literal("v2"),
  metadata: Metadata,
  spec: z.strictObject(spec),
});
export type AuthServer = z.output<typeof AuthServer>;

/** What a node can be called by, in lower case: its id, its name, and where its address leads. */
export function namesOf({ metadata, spec }: Node): ReadonlySet<string> {
  const names = [metadata.name, spec.hostname, hostOf(spec.addr)];
  return new Set(names.filter((name) => name !== "").map((name) => name.toLowerCase()));
}

/** Of `host:port`, `[v6]:port` or a host alone. */
const hostOf = (addr: string): string =>
  /^\[([^\]]*)\]/.exec(addr)?.[1] ?? (/:.*:/.test(addr) ? addr : addr.replace(/:\d*$/, ""));
