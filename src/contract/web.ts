import { z } from "zod";
import { KeyAnswer, KeysCreated } from "./webauthn.ts";

/**
 * The web API of the proxy (WEB-02): what browsers and `tsh` send and get before they hold a certificate.
 * Every path exists with and without the prefix `/v1`. Errors are `{"message": "…"}`; unknown fields of a body are ignored.
 */
export const webPaths = {
  ping: "/webapi/ping",
  find: "/webapi/find",
  sessions: "/webapi/sessions",
  renew: "/webapi/sessions/renew",
  users: "/webapi/users",
  password: "/webapi/users/password",
  certs: "/webapi/ssh/certs",
  status: "/webapi/user/status",
  context: "/webapi/user/context",
  keySignup: "/webapi/webauthn/signup",
  keyChallenge: "/webapi/webauthn/challenge",
  keySessions: "/webapi/webauthn/sessions",
  keyPassword: "/webapi/webauthn/password",
  consoleLogins: "/webapi/webauthn/console",
  consoleLogin: (id: string): string => `/webapi/webauthn/console/${encodeURIComponent(id)}`,
  consoleChallenge: (id: string): string => `/webapi/webauthn/console/${encodeURIComponent(id)}/challenge`,
  invite: (token: string): string => `/webapi/users/invites/${encodeURIComponent(token)}`,
  sso: "/webapi/sessions/sso",
  ssoWeb: (kind: SsoKind): string => `/webapi/${kind}/login/web`,
  ssoConsole: (kind: SsoKind): string => `/webapi/${kind}/login/console`,
  trust: "/webapi/trustedclusters/validate",
  connector: (name: string): string => `/webapi/ping/${encodeURIComponent(name)}`,
} as const;

/** Carries the value of the CSRF cookie back on POST /sessions (WEB-03). */
export const csrfHeader = "X-CSRF-Token";

const user = z.string().max(255);
const password = z.string().max(1024);
const code = z.string().max(64).default("");

/** Where this proxy is reached, `host:port` each; absent when it is not known or not on. */
export const ProxySettings = z.object({
  kube: z.object({ enabled: z.boolean(), public_addr: z.string().optional() }),
  ssh: z.object({
    listen_addr: z.string().optional(),
    tunnel_listen_addr: z.string().optional(),
    /** The HTTPS address. */
    public_addr: z.string().optional(),
    ssh_public_addr: z.string().optional(),
    ssh_tunnel_public_addr: z.string().optional(),
  }),
});
export type ProxySettings = z.output<typeof ProxySettings>;

const SecondFactor = z.enum(["off", "otp", "webauthn"]);

/** How people log in here. A connector is named only when it is the one to use. */
export const AuthSettings = z.object({
  type: z.enum(["local", "github", "oidc"]),
  second_factor: SecondFactor,
  u2f: z.object({ app_id: z.string() }).optional(),
  local: z.object({ name: z.string() }).optional(),
  github: z.object({ name: z.string(), display: z.string() }).optional(),
  oidc: z.object({ name: z.string(), display: z.string() }).optional(),
});
export type AuthSettings = z.output<typeof AuthSettings>;

const versions = { server_version: z.string(), min_client_version: z.string() };

/** GET /find (WEB-12). */
export const FindAnswer = z.object({ proxy: ProxySettings, ...versions });
export type FindAnswer = z.output<typeof FindAnswer>;

/** GET /find?cluster=NAME: whether the proxy knows that cluster, and nothing else. */
export const ClusterKnown = z.object({ known: z.boolean() });
export type ClusterKnown = z.output<typeof ClusterKnown>;

/** GET /ping and /ping/:connector (WEB-10, WEB-11). Status 503 with a message while no login can be served (LB-02). */
export const PingAnswer = z.object({ auth: AuthSettings, cluster_name: z.string(), ...FindAnswer.shape });
export type PingAnswer = z.output<typeof PingAnswer>;

/** Where else than here people log in: a button each on the login page (WEB-51). */
const Provider = z.object({ type: z.enum(["github", "oidc"]), name: z.string(), display: z.string() });
export type Provider = z.output<typeof Provider>;
export type SsoKind = Provider["type"];

/** What /web/config.js puts into `GRV_CONFIG`: the ping, or why there is none. */
export const WebConfig = z.union([
  z.object({
    ...PingAnswer.shape,
    providers: z.array(Provider),
    /** Whether passwords let anybody in. */
    local_auth: z.boolean(),
  }),
  z.object({ message: z.string() }),
]);
export type WebConfig = z.output<typeof WebConfig>;

/** POST /sessions (WEB-13). */
export const LoginRequest = z.object({ user, pass: password, second_factor_token: code });
export type LoginRequest = z.input<typeof LoginRequest>;

/** The header's half of a web session; the cookie carries the other. `expires_in` is in seconds. */
export const BearerSession = z.object({
  type: z.literal("bearer"),
  token: z.string(),
  expires_in: z.number(),
});
export type BearerSession = z.output<typeof BearerSession>;

/** GET /users/invites/:token (WEB-15). Each GET makes a new second-factor seed. */
export const Invite = z.object({
  invite_token: z.string(),
  user: z.string(),
  second_factor: SecondFactor,
  /** Base64 of a PNG; empty when no code is asked for. */
  qr: z.string(),
  /** The seed of the QR code, base32, for those who cannot scan. */
  otp_secret: z.string().optional(),
  /** The account is there already, and gets a new password and second factor. */
  reset: z.literal(true).optional(),
});
export type Invite = z.output<typeof Invite>;

/** POST /users (WEB-16): answers with a `BearerSession`. */
export const SignupRequest = z.object({
  invite_token: z.string().max(256),
  user,
  pass: password,
  second_factor_token: code,
  /** Of new security keys, where the cluster asks for one. */
  webauthn: KeysCreated,
});
export type SignupRequest = z.input<typeof SignupRequest>;

/** POST /webauthn/signup: answers with what a new security key is asked for, a `KeyCreation`. */
export const KeySignupRequest = z.object({ invite_token: z.string().max(256) });
export type KeySignupRequest = z.input<typeof KeySignupRequest>;

/** POST /webauthn/challenge: after the password, what the user's security keys are asked for, a `KeyRequest`. */
export const KeyChallengeRequest = z.object({ user, pass: password });
export type KeyChallengeRequest = z.input<typeof KeyChallengeRequest>;

/** POST /webauthn/sessions: the key's answer for a `BearerSession`. */
export const KeyLoginRequest = z.object({ user, webauthn: KeyAnswer });
export type KeyLoginRequest = z.input<typeof KeyLoginRequest>;

/** Base64 of UTF-8 text, decoded. */
const base64Text = z
  .base64()
  .max(2048)
  .transform((text) => new TextDecoder().decode(Uint8Array.from(atob(text), (c) => c.charCodeAt(0))));

/**
 * PUT /users/password (WEB-17). The passwords are base64 of UTF-8. Answers with a `BearerSession`: all others of the user have
 * ended.
 */
export const PasswordRequest = z.object({
  old_password: base64Text,
  new_password: base64Text,
  second_factor_token: code,
  /** Of a security key, where the cluster asks for one: to what POST /webauthn/password answered. */
  webauthn: KeyAnswer.optional(),
});
export type PasswordRequest = z.input<typeof PasswordRequest>;

/** POST /webauthn/password, of who is signed in: the key's part of changing the password, a `KeyRequest`. */
export const KeyPasswordRequest = z.object({ old_password: base64Text });

const nanoseconds = z.number().int().positive();

/** POST /ssh/certs (WEB-18). Keys are base64: `pub_key` of an authorized_keys line, `tls_pub_key` of a PEM public key. */
export const CertsRequest = z.object({
  user,
  password,
  otp_token: code,
  pub_key: z.string().min(1).max(16_384),
  tls_pub_key: z.string().max(16_384).optional(),
  ttl: nanoseconds,
  compatibility: z.enum(["", "standard", "oldssh"]).default(""),
});
export type CertsRequest = z.input<typeof CertsRequest>;

/**
 * POST /webauthn/console: `tsh login` by a page, `/web/login/tsh/<id>`. The page leads to `redirect_url` in the end, which is a port
 * of the machine it is shown on, with `CertsAnswer` sealed as `response` (AUTH-66).
 */
export const ConsoleLoginRequest = z.object({
  user,
  redirect_url: z.string().max(1024),
  pub_key: z.string().min(1).max(16_384),
  tls_pub_key: z.string().max(16_384).optional(),
  ttl: nanoseconds,
  compatibility: z.enum(["", "standard", "oldssh"]).default(""),
});
export type ConsoleLoginRequest = z.input<typeof ConsoleLoginRequest>;
export const ConsoleLoginBegun = z.object({ id: z.string().regex(/^[0-9a-f]{32}$/) });

/** GET /webauthn/console/:id: whose login it is. */
export const ConsoleLogin = z.object({ user: z.string() });
/** POST /webauthn/console/:id/challenge: after the password a `KeyRequest`. */
export const ConsoleChallengeRequest = z.object({ pass: password });
/** POST /webauthn/console/:id: the key's answer for the address that the page goes to. */
export const ConsoleAnswer = z.object({ webauthn: KeyAnswer });
export const ConsoleDone = z.object({ redirect_url: z.url({ protocol: /^http$/ }) });

/** Everything that is a key or a certificate is base64: of authorized_keys lines (`cert`, `checking_keys`), of PEM (`tls_…`). */
export const CertsAnswer = z.object({
  username: z.string(),
  /** Absent when the user may log in nowhere. */
  cert: z.string().optional(),
  /** Absent without `tls_pub_key`. */
  tls_cert: z.string().optional(),
  host_signers: z.array(
    z.object({
      domain_name: z.string(),
      checking_keys: z.array(z.string()),
      tls_certs: z.array(z.string()),
    }),
  ),
});
export type CertsAnswer = z.output<typeof CertsAnswer>;

/** POST /github/login/console and /oidc/login/console (WEB-30): keys as in `CertsRequest`; answered with a `SsoLogin`. */
export const SsoLoginRequest = z.object({
  /** Absent: the default one of its kind. */
  connector_id: z.string().max(255).optional(),
  /** Where tsh waits, with the key to seal the answer with (`#contract/loopback`). */
  redirect_url: z.string().max(1024),
  pub_key: CertsRequest.shape.pub_key,
  tls_pub_key: CertsRequest.shape.tls_pub_key,
  ttl: nanoseconds,
  compatibility: CertsRequest.shape.compatibility,
});
export type SsoLoginRequest = z.input<typeof SsoLoginRequest>;

/** Where the browser goes to log in. */
export const SsoLogin = z.object({ redirect_url: z.string() });
export type SsoLogin = z.output<typeof SsoLogin>;

/** What arrives sealed in place of certificates when a login was refused. */
export const SsoRefusal = z.object({ error: z.string() });
export type SsoRefusal = z.output<typeof SsoRefusal>;

/** GET /user/status, and what other calls answer that have nothing to say. */
export const Done = z.object({ message: z.literal("ok") });

const access = z.object({
  list: z.boolean(),
  read: z.boolean(),
  edit: z.boolean(),
  create: z.boolean(),
  remove: z.boolean(),
});

/** GET /user/context (WEB-34). */
export const UserContext = z.object({
  authType: z.enum(["local", "sso"]),
  /** By which connector, for `sso`. */
  connector: z.string().optional(),
  userName: z.string(),
  clusterName: z.string(),
  roles: z.array(z.string()),
  userAcl: z.object({
    sessions: access,
    authConnectors: access,
    roles: access,
    trustedClusters: access,
    sshLogins: z.array(z.string()),
  }),
  version: z.string(),
});
export type UserContext = z.output<typeof UserContext>;

/** What every refusal looks like. */
export const Refusal = z.object({ message: z.string() });
