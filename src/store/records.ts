import { z } from "zod";
import { LinkedAuthority, RemoteCluster, RemoteLink, ResourceName, Traits, TrustedCluster } from "#model";

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

/** The security keys of a user (AUTH-38). Ids and COSE public keys are base64url. */
export const SecurityKeysRecord = z.strictObject({
  user: z.string(),
  keys: z.array(
    z.strictObject({
      id: z.string(),
      publicKey: z.string(),
      /** What the key counted at its last signature; 0 for one that does not count. */
      counter: z.number(),
      transports: z.array(z.string()),
      /** Milliseconds since the epoch. */
      added: z.number(),
    }),
  ),
});
export type SecurityKeysRecord = z.output<typeof SecurityKeysRecord>;

/** What a security key was asked to sign, once. */
export const ChallengeRecord = z.strictObject({
  /** SHA-256 of the challenge. */
  hash: z.string(),
  user: z.string(),
  purpose: z.enum(["enrol", "web", "console", "password"]),
  /** SHA-256 of the invitation or the console login that it is for, if it is for one. */
  about: z.string().optional(),
  /** The revision of the password that was checked before. */
  password: z.string().optional(),
  expires: z.number(),
});
export type ChallengeRecord = z.output<typeof ChallengeRecord>;

/** A `tsh login` that goes on in the browser. Keys as requests carry them. */
export const ConsoleLoginRecord = z.strictObject({
  /** SHA-256 of its id. */
  hash: z.string(),
  user: z.string(),
  /** Where the answer goes, with the key to seal it with. */
  redirectUrl: z.string(),
  pubKey: z.string(),
  tlsPubKey: z.string().optional(),
  /** Milliseconds. */
  ttl: z.number(),
  compatibility: z.enum(["", "standard", "oldssh"]),
  /** Where `tsh` runs: `ip:port`. */
  clientAddr: z.string(),
  expires: z.number(),
});

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

/** A member to whom certificates were issued, so that one that is away is not forgotten (ROT-03). */
export const HostRecord = z.strictObject({
  kind: z.enum(["node", "proxy", "auth_server"]),
  host_id: z.string(),
  name: z.string(),
  /** When its certificates run out, milliseconds since the epoch. */
  expires: z.number(),
});

/** When the other cluster said what is known of its authorities, by its own clock in milliseconds: nothing older is taken. */
const told = z.number().default(0);
/** The file named the authorities, and nobody said them in an exchange (CFG-61). */
const fromFile = z.literal(true).optional();

/**
 * A cluster that this one trusts, with its authorities, public parts. They are kept here, apart from the cluster's own, so that only
 * who asks for a link finds them, and sees whether it is enabled (TC-09, TC-10).
 */
export const TrustedClusterRecord = z.strictObject({
  /** Without its token. */
  resource: TrustedCluster,
  /** SHA-256 of the token that the link was made with, so that a file that has it is known again; absent for one made without. */
  tokenHash: z.string().optional(),
  authorities: z.array(LinkedAuthority),
  told,
  fromFile,
});
export type TrustedClusterRecord = z.output<typeof TrustedClusterRecord>;

/** A cluster that trusts this one, with its host authority, public part; kept apart like those of a trusted cluster. */
export const RemoteClusterRecord = z.strictObject({
  resource: RemoteCluster,
  authorities: z.array(LinkedAuthority),
  tunnels: RemoteLink.shape.tunnels,
  told,
  fromFile,
});
