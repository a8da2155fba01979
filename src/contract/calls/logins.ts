import { z } from "zod";
import { User } from "#model";
import { call } from "../rpc.ts";
import { KeyAnswer, KeyRequest } from "../webauthn.ts";
import { sshPublicKey, system, tlsPublicKey, ttl } from "./parts.ts";
import { credentials, IssuedCerts, passwordOnly, WebSession, webCredentials, withKey } from "./people.ts";

/** What a login by an identity provider is for: a web session, or certificates for keys of tsh. */
const SsoFlow = z.discriminatedUnion("type", [
  z.strictObject({
    type: z.literal("web"),
    /** The page to go to afterwards. */
    redirect_url: z.string().max(4096),
    /** Of the browser that begins: it must be the one that comes back. */
    csrf_token: z.string().min(32).max(64),
  }),
  z.strictObject({
    type: z.literal("console"),
    /** Where tsh waits, with the key to seal with. */
    redirect_url: z.string().max(4096),
    pub_key: sshPublicKey,
    tls_pub_key: tlsPublicKey.optional(),
    ttl,
    compatibility: z.enum(["", "standard", "oldssh"]).default(""),
  }),
]);
export type SsoFlow = z.output<typeof SsoFlow>;

const SsoFinished = z.discriminatedUnion("type", [
  z.object({ type: z.literal("web"), session: WebSession, redirect_url: z.string() }),
  z.object({ type: z.literal("console"), certs: IssuedCerts, redirect_url: z.string() }),
  z.object({
    type: z.literal("refused"),
    flow: z.enum(["web", "console"]),
    redirect_url: z.string(),
    error: z.string(),
  }),
]);
export type SsoFinished = z.output<typeof SsoFinished>;

/** Logging in, for certificates (`tsh`) or for a web session: with a password and a second factor, or by an identity provider. */
export const loginCalls = {
  "logins.certs": call({
    input: z.strictObject({
      ...credentials,
      pub_key: sshPublicKey,
      tls_pub_key: tlsPublicKey.optional(),
      ttl,
      compatibility: z.enum(["", "standard", "oldssh"]).default(""),
    }),
    output: IssuedCerts,
    allow: system("Proxy"),
  }),
  /** Checks the password, and says what a security key has to sign for the rest of it. */
  "logins.challenge": call({
    input: z.strictObject({ ...passwordOnly, purpose: z.enum(["web", "password"]) }),
    output: KeyRequest,
    allow: system("Proxy"),
  }),
  /** `tsh login` on a page of the proxy, where a security key can be asked (AUTH-38). `redirect_url`: `#contract/loopback`. */
  "console_logins.create": call({
    input: z.strictObject({
      user: credentials.user,
      redirect_url: z.string().max(1024),
      pub_key: sshPublicKey,
      tls_pub_key: tlsPublicKey.optional(),
      ttl,
      compatibility: z.enum(["", "standard", "oldssh"]).default(""),
      client_addr: credentials.client_addr,
    }),
    output: z.object({ id: z.string() }),
    allow: system("Proxy"),
  }),
  "console_logins.get": call({
    input: z.strictObject({ id: z.string().max(64) }),
    output: z.object({ user: z.string() }),
    allow: system("Proxy"),
  }),
  "console_logins.challenge": call({
    input: z.strictObject({
      id: z.string().max(64),
      password: credentials.password,
      client_addr: credentials.client_addr,
    }),
    output: KeyRequest,
    allow: system("Proxy"),
  }),
  /** Certificates for the keys that it began with, and where they go, sealed. */
  "console_logins.complete": call({
    input: z.strictObject({
      id: z.string().max(64),
      webauthn: KeyAnswer,
      client_addr: credentials.client_addr,
    }),
    output: z.object({ certs: IssuedCerts, redirect_url: z.string() }),
    allow: system("Proxy"),
  }),
  "logins.web": call({ input: z.strictObject(withKey), output: WebSession, allow: system("Proxy") }),
  /** Logging in by an identity provider (AUTH-61): where the browser is to go. */
  "sso.start": call({
    input: z.strictObject({
      kind: z.enum(["github", "oidc"]),
      /** Absent: the default one of its kind. */
      connector: z.string().max(255).optional(),
      flow: SsoFlow,
    }),
    output: z.object({ redirect_url: z.string() }),
    allow: system("Proxy"),
  }),
  /** The end of it, with the query by which the provider sent the browser back (AUTH-62). */
  "sso.finish": call({
    input: z.strictObject({
      kind: z.enum(["github", "oidc"]),
      query: z.string().max(16_384),
      csrf_token: z.string().max(64).default(""),
      client_addr: credentials.client_addr,
    }),
    output: SsoFinished,
    allow: system("Proxy"),
  }),
  "web_sessions.get": call({
    input: webCredentials,
    output: z.object({
      user: User,
      expires: z.number(),
      bearer_expires: z.number(),
      logins: z.array(z.string()),
      cluster_name: z.string(),
    }),
    allow: system("Proxy"),
  }),
  "web_sessions.renew": call({
    input: webCredentials,
    output: WebSession,
    allow: system("Proxy"),
  }),
  /** Certificates for keys that the proxy made for this session; they end with it (AUTH-50). */
  "web_sessions.certs": call({
    input: z.strictObject({
      ...webCredentials.shape,
      pub_key: sshPublicKey,
      tls_pub_key: tlsPublicKey.optional(),
    }),
    output: IssuedCerts,
    allow: system("Proxy"),
  }),
  "web_sessions.delete": call({
    input: webCredentials,
    output: z.void(),
    allow: system("Proxy"),
  }),
};
