import type { Millis } from "#core/clock";
import type { Traits } from "./resource.ts";
import type { ResourceKind, Verb } from "./role.ts";

/** Roles of processes, as certificates carry them (AUTH-03). */
export const systemRoles = ["Admin", "Auth", "Proxy", "Node"] as const;
export type SystemRole = (typeof systemRoles)[number];

/** Who is on the other end of an authenticated connection, as its certificate says. */
export type Identity = {
  /** Address and port of the connection; absent where there is none. */
  readonly from?: string;
} & (
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
      /** Where alone the certificate is good, as ranges; absent: anywhere. */
      readonly sources?: readonly string[];
    }
  /** Somebody of a cluster that this one trusts, as that cluster's certificate says: nothing of it counts here as it is. */
  | {
      readonly kind: "remote_user";
      readonly user: string;
      readonly roles: readonly string[];
      readonly logins: readonly string[];
      readonly cluster: string;
      readonly expires: Millis;
      readonly sources?: readonly string[];
    }
  | { readonly kind: "anonymous" }
);

/** A caller of the auth API: who it is, and what its roles let it do. */
export type Caller = Identity & {
  /** Without `about`, the resource itself, the answer is whether there may be one for which it is allowed. */
  can(verb: Verb, kind: ResourceKind, about?: object): boolean;
  /** Why `can` last said no: the reason of the decision, for the audit log and not for the caller. */
  why?(): string | undefined;
  /** The caller's name in audit records: `joe`, `builtin-Admin`, `<uuid>.<cluster>`, and `joe@main` for somebody of another cluster. */
  readonly name: string;
};
