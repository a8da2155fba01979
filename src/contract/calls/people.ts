import { z } from "zod";
import { KeyAnswer } from "../webauthn.ts";

// What logins take and give, by whatever way.

/** A cluster's host CA as a client needs it: SSH checking keys and TLS certificates (WEB-18 `host_signers`). */
const HostSigner = z.object({
  domain_name: z.string(),
  checking_keys: z.array(z.string()),
  tls_certs: z.array(z.string()),
});
export const IssuedCerts = z.object({
  username: z.string(),
  /** authorized_keys line of the SSH certificate; absent when the user may log in nowhere (OVW-19). */
  cert: z.string().optional(),
  /** PEM; absent unless a TLS key was sent. */
  tls_cert: z.string().optional(),
  host_signers: z.array(HostSigner),
});
export type IssuedCerts = z.output<typeof IssuedCerts>;

export const credentials = {
  user: z.string().max(255),
  password: z.string().max(1024),
  otp_token: z.string().max(64).default(""),
  /** The person's address as the proxy saw it, for audit and lockout. */
  client_addr: z.string().default(""),
};

/** With the answer of a security key, where the cluster asks for one: then the password was checked when the key was asked. */
export const withKey = { ...credentials, webauthn: KeyAnswer.optional() };
export const { otp_token: _, ...passwordOnly } = credentials;
export const webCredentials = z.strictObject({
  user: z.string(),
  id: z.string().max(64),
  bearer: z.string().max(64),
  client_addr: credentials.client_addr,
});

export const WebSession = z.object({
  /** 32 hex digits: the cookie's part. */
  id: z.string(),
  /** 32 hex digits: the Authorization header's part. */
  bearer: z.string(),
  /** Milliseconds since the epoch. */
  bearer_expires: z.number(),
  expires: z.number(),
  user: z.string(),
});
export type WebSession = z.output<typeof WebSession>;
