import { z } from "zod";
import type { Millis } from "#core/clock";
import { Metadata, neverTime, Time, Traits } from "./resource.ts";

const ExternalIdentity = z.strictObject({ connector_id: z.string(), username: z.string() });

/** A local account, as `tctl get user/joe` prints it (RES-10). Passwords and second factors are kept apart from it. */
export const User = z.strictObject({
  kind: z.literal("user"),
  version: z.literal("v2"),
  metadata: Metadata,
  spec: z.strictObject({
    roles: z.array(z.string()).default([]),
    traits: Traits.default({}),
    /** When the record vanishes by itself. */
    expires: Time.optional(),
    status: z
      .strictObject({
        is_locked: z.boolean().default(false),
        locked_message: z.string().optional(),
        locked_time: Time.optional(),
        /** The zero time, or none: locked by an administrator. Later: locked by failed logins until then (AUTH-40, AUTH-44). */
        lock_expires: Time.optional(),
      })
      .prefault({}),
    created_by: z
      .strictObject({
        time: Time.optional(),
        user: z.strictObject({ name: z.string() }),
        connector: z.strictObject({ type: z.string(), id: z.string(), identity: z.string() }).optional(),
      })
      .optional(),
    github_identities: z.array(ExternalIdentity).optional(),
    oidc_identities: z.array(ExternalIdentity).optional(),
    saml_identities: z.array(ExternalIdentity).optional(),
  }),
});
export type User = z.output<typeof User>;

/**
 * Why an account is closed at `now`, if it is. An administrator's lock refuses also certificates issued before; one
 * by failed logins only stops logins, and ends by itself (AUTH-40, AUTH-44).
 */
export function lockOf(
  { spec: { status } }: User,
  now: Millis,
): "administrator" | "failed_logins" | undefined {
  if (!status.is_locked) return undefined;
  if (status.lock_expires === undefined || status.lock_expires === neverTime) return "administrator";
  return Date.parse(status.lock_expires) > now ? "failed_logins" : undefined;
}

/**
 * Why nobody may act as this account at `now`, whatever certificates there are (AUTH-44): it has expired, or is locked by an
 * administrator. A lock by failed logins stops logins only.
 */
export function accountProblem(account: User, now: Millis): string | undefined {
  const { name } = account.metadata;
  for (const end of [account.spec.expires, account.metadata.expires]) {
    if (end !== undefined && end !== neverTime && Date.parse(end) <= now) return `user ${name} has expired`;
  }
  return lockOf(account, now) === "administrator" ? `user ${name} is locked` : undefined;
}
