import { z } from "zod";

// What a page and the auth service say to each other about a security key: the JSON forms of WebAuthn Level 3, §5.1.8 to §5.1.10, as
// far as a key that is a second factor needs them. Bytes are base64url without padding.

const bytes = (most: number) =>
  z
    .string()
    .min(1)
    .max(most)
    .regex(/^[A-Za-z0-9_-]+$/);

/** Ways to a key, `usb` and `nfc` and those to come: kept, and handed back to the browser. */
const transports = z.array(z.string().max(32)).max(16);
const credential = z.object({ id: z.string(), type: z.literal("public-key"), transports });

/** What `navigator.credentials.create` is asked for: a key of this person that is not enrolled yet. */
export const KeyCreation = z.object({
  rp: z.object({ id: z.string(), name: z.string() }),
  user: z.object({ id: z.string(), name: z.string(), displayName: z.string() }),
  challenge: z.string(),
  pubKeyCredParams: z.array(z.object({ type: z.literal("public-key"), alg: z.number() })),
  /** Milliseconds. */
  timeout: z.number(),
  excludeCredentials: z.array(credential),
  authenticatorSelection: z.object({
    residentKey: z.literal("discouraged"),
    requireResidentKey: z.literal(false),
    userVerification: z.literal("discouraged"),
  }),
  attestation: z.literal("none"),
});
export type KeyCreation = z.output<typeof KeyCreation>;

/** What `navigator.credentials.get` is asked for: a touch of one of this person's keys. */
export const KeyRequest = z.object({
  challenge: z.string(),
  rpId: z.string(),
  /** Milliseconds. */
  timeout: z.number(),
  allowCredentials: z.array(credential),
  userVerification: z.literal("discouraged"),
});
export type KeyRequest = z.output<typeof KeyRequest>;

const answered = {
  id: bytes(2048),
  rawId: bytes(2048),
  type: z.literal("public-key"),
};
/** What extensions say: none was asked for. */
const clientExtensionResults = z.object({}).default({});

/** A new key's answer. */
export const KeyCreated = z.object({
  ...answered,
  response: z.object({
    clientDataJSON: bytes(8192),
    attestationObject: bytes(32_768),
    transports: transports.default([]),
  }),
  clientExtensionResults,
});
export type KeyCreated = z.output<typeof KeyCreated>;
/** A person's keys: one, and perhaps others in reserve. */
export const KeysCreated = z.array(KeyCreated).max(5).default([]);

/** A known key's answer. */
export const KeyAnswer = z.object({
  ...answered,
  response: z.object({
    clientDataJSON: bytes(8192),
    authenticatorData: bytes(8192),
    signature: bytes(2048),
  }),
  clientExtensionResults,
});
export type KeyAnswer = z.output<typeof KeyAnswer>;
