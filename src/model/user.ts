import { z } from "zod";
import { type Millis, minute, second } from "#core/clock";
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
 * Whether a certificate that counts from `validFrom` on was made for somebody who had this name before: certificates tell
 * only the name. Not asked of accounts that a connector makes anew at each login, where the provider vouches for the name.
 */
export function isOfEarlierAccount({ spec: { created_by } }: User, validFrom: Millis): boolean {
  if (created_by?.time === undefined || created_by.connector) return false;
  return validFrom < Date.parse(created_by.time) - leeway;
}
/** Certificates count from a minute before they are made (OVW-43), in whole seconds, and a clock may be set back a little. */
const leeway: Millis = minute + 2 * second;
