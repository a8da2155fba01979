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
});

/** An invitation to sign up, found by the hash of its token. */
export const SignupRecord = z.strictObject({
  token: z.string(),
  user: ResourceName,
  roles: z.array(z.string()),
  traits: Traits,
  expires: z.number(),
  createdBy: z.string(),
  /** The seed last shown; a page that was fetched again makes the one before worthless. */
  seed: z.string().optional(),
});

/** A web login. The id and the bearer token are kept as hashes: who reads the storage cannot use them. */
export const WebSessionRecord = z.strictObject({
  user: z.string(),
  id: z.string(),
  bearer: z.string(),
  bearerExpires: z.number(),
  expires: z.number(),
});
export type WebSessionRecord = z.output<typeof WebSessionRecord>;

const console = z.strictObject({
  type: z.literal("console"),
  redirect_url: z.string(),
  pub_key: z.string(),
  tls_pub_key: z.string().optional(),
  ttl: z.number(),
  compatibility: z.enum(["", "standard", "oldssh"]),
});
const web = z.strictObject({ type: z.literal("web"), redirect_url: z.string(), csrf_token: z.string() });

/** A login that is under way at an identity provider (AUTH-61), found by the hash of its state. Good for one answer. */
export const SsoRequestRecord = z.strictObject({
  /** SHA-256 of the state. */
  state: z.string(),
  kind: z.enum(["github", "oidc"]),
  connector: z.string(),
  verifier: z.string(),
  nonce: z.string(),
  flow: z.discriminatedUnion("type", [web, console]),
  expires: z.number(),
});
export type SsoRequestRecord = z.output<typeof SsoRequestRecord>;

/** What the first auth server decided for good. */
export const ClusterNameRecord = z.strictObject({ id: z.string(), name: z.string() });
