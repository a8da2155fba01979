import type { Millis } from "#core/clock";
import type { Traits } from "./resource.ts";
import type { ResourceKind, Verb } from "./role.ts";

/** Roles of processes, as certificates carry them (AUTH-03). */
export const systemRoles = ["Admin", "Auth", "Proxy", "Node"] as const;
export type SystemRole = (typeof systemRoles)[number];

/** Who is on the other end of an authenticated connection, as its certificate says. */
export type Identity =
  | { readonly kind: "system"; readonly role: SystemRole; readonly hostId: string; readonly cluster: string }
  | {
      readonly kind: "user";
      readonly user: string;
      readonly roles: readonly string[];
      readonly logins: readonly string[];
      readonly traits: Traits;
      readonly cluster: string;
      /** From when on the certificate counts; absent where there is none. */
      readonly validFrom?: Millis;
      readonly expires: Millis;
    }
  | {
      readonly kind: "anonymous";
      /** Address and port of the connection; absent where there is none. */
      readonly from?: string;
    };

/** A caller of the auth API: who it is, and what its roles let it do. */
export type Caller = Identity & {
  /** Without `about`, the resource itself, the answer is whether there may be one for which it is allowed. */
  can(verb: Verb, kind: ResourceKind, about?: object): boolean;
  /** The caller's name in audit records: `joe`, `builtin-Admin`, `<uuid>.<cluster>`. */
  readonly name: string;
};
