import { z } from "zod";
import { Metadata } from "./resource.ts";

/** What a host may become with an invite token (AUTH-10), plus what only the system itself is. */
export const joinRoles = ["node", "proxy", "auth", "trusted_cluster"] as const;
export type JoinRole = (typeof joinRoles)[number];

/** An invite token (AUTH-10..13): `metadata.name` is the secret value, `metadata.expires` its end; static ones have none. */
export const Token = z.strictObject({
  kind: z.literal("token"),
  version: z.literal("v2"),
  /** The name is the secret; whatever the operator wrote, so slashes too. */
  metadata: Metadata.extend({
    name: z.string().regex(/^\P{Cc}{1,256}$/u, "may not hold control characters"),
  }),
  spec: z.strictObject({
    roles: z.array(z.enum([...joinRoles, "signup", "reset"])).min(1),
    /** From the configuration file: cannot be removed by a command. */
    static: z.boolean().optional(),
    /** How many more hosts it lets in; absent: any number. */
    uses: z.int().min(0).optional(),
    /** Of an invitation to sign up, or to choose a new password: for whom. */
    user: z.string().optional(),
  }),
});
export type Token = z.output<typeof Token>;
