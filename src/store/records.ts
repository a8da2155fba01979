import { z } from "zod";
import { ResourceName, Traits } from "#model";

// Records that are no resources: nobody lists or shows them, and no watch carries them.

/** A password's hash. Salt and hash are base64. */
export const PasswordRecord = z.strictObject({
  user: z.string(),
  algorithm: z.literal("argon2id"),
  /** KiB. */
  memory: z.number(),
  passes: z.number(),
  parallelism: z.number(),
  salt: z.string(),
  hash: z.string(),
});
export type PasswordRecord = z.output<typeof PasswordRecord>;

/** A TOTP seed, base32, and the last time step whose code was used: no code counts twice. */
export const OtpRecord = z.strictObject({ user: z.string(), seed: z.string(), lastStep: z.number() });

/** Failed logins of a name, whether or not there is such a user. Times in milliseconds since the epoch. */
export const AttemptsRecord = z.strictObject({
  user: z.string(),
  failures: z.number(),
  lockedUntil: z.number().optional(),
  /** There was such a user. */
  known: z.literal(true).optional(),
});

/** Failed logins of one source of addresses, as `network/bits`, since a time. */
export const SourceRecord = z.strictObject({
  source: z.string(),
  since: z.number(),
  failures: z.number(),
  lockedUntil: z.number().optional(),
});

/** An invitation to sign up, or to choose a new password, found by the hash of its token. */
export const SignupRecord = z.strictObject({
  token: z.string(),
  user: ResourceName,
  roles: z.array(z.string()),
  traits: Traits,
  expires: z.number(),
  createdBy: z.string(),
  /** The account is there: its owner chooses a new password and second factor. Roles and traits are then none. */
  reset: z.literal(true).optional(),
  /** The seed last shown; a page that was fetched again makes the one before worthless. */
  seed: z.string().optional(),
});
export type SignupRecord = z.output<typeof SignupRecord>;

/** A web login. The id and the bearer token are kept as hashes: who reads the storage cannot use them. */
export const WebSessionRecord = z.strictObject({
  user: z.string(),
  id: z.string(),
  bearer: z.string(),
  bearerExpires: z.number(),
  expires: z.number(),
  /** Where alone the session is good, as ranges. */
  sources: z.array(z.string()).optional(),
});
export type WebSessionRecord = z.output<typeof WebSessionRecord>;

/** What the first auth server decided for good. */
export const ClusterNameRecord = z.strictObject({ id: z.string(), name: z.string() });

/** A member to whom certificates were issued, so that one that is away is not forgotten (ROT-03). */
export const HostRecord = z.strictObject({
  kind: z.enum(["node", "proxy", "auth_server"]),
  host_id: z.string(),
  name: z.string(),
  /** When its certificates run out, milliseconds since the epoch. */
  expires: z.number(),
});
