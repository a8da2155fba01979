import { z } from "zod";
import { day, hour, type Millis } from "#core/clock";
import { AuditEvent } from "#events";
import {
  AuthPreference,
  AuthServer,
  type Caller,
  CertAuthority,
  ClusterConfig,
  Connector,
  joinRoles,
  Labels,
  Node,
  ProxyServer,
  type ResourceKind,
  Role,
  rotationPhases,
  type SystemRole,
  Token,
  Traits,
  User,
} from "#model";
import { call, feed, upload } from "./rpc.ts";
import { KeyAnswer, KeyCreation, KeyRequest, KeysCreated } from "./webauthn.ts";

/** No rotation takes longer: what it is to replace would be trusted for as long. */
const longestGrace: Millis = 366 * day;

const none = z.strictObject({});
const name = z.strictObject({ name: z.string().min(1) });
/** Creating what exists is refused unless `force` (RES-05). */
const force = z.boolean().default(false);
/** The record as it was read before it was changed: if it is another by now nothing is written, `compare_failed`. */
const was = <S extends z.ZodType>(record: S) => record.optional();

const anyone = (): boolean => true;
const member = (caller: Caller): boolean => caller.kind !== "anonymous";
const system =
  (...roles: SystemRole[]) =>
  (caller: Caller): boolean =>
    caller.kind === "system" &&
    (caller.role === "Admin" || caller.role === "Auth" || roles.includes(caller.role));
const admin = system();
/** A member speaks for itself: the record's name is its host id. */
const own =
  (role: SystemRole) =>
  (caller: Caller, record: { metadata: { name: string } }): boolean =>
    admin(caller) ||
    (caller.kind === "system" && caller.role === role && caller.hostId === record.metadata.name);
/** Members read what they decide with; people need a rule of a role. */
const readable =
  (kind: ResourceKind) =>
  (caller: Caller): boolean =>
    caller.kind === "system" || caller.can("list", kind) || caller.can("read", kind);

/** Base64 of an authorized_keys line. */
const sshPublicKey = z.string().min(1).max(16_384);
/** Base64 of a PEM SubjectPublicKeyInfo. */
const tlsPublicKey = z.string().min(1).max(16_384);
/** Milliseconds. */
const ttl = z.number().int().positive();

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

const credentials = {
  user: z.string().max(255),
  password: z.string().max(1024),
  otp_token: z.string().max(64).default(""),
  /** The person's address as the proxy saw it, for audit and lockout. */
  client_addr: z.string().default(""),
};

/** With the answer of a security key, where the cluster asks for one: then the password was checked when the key was asked. */
const withKey = { ...credentials, webauthn: KeyAnswer.optional() };
const { otp_token: _, ...passwordOnly } = credentials;
const webCredentials = z.strictObject({
  user: z.string(),
  id: z.string().max(64),
  bearer: z.string().max(64),
  client_addr: credentials.client_addr,
});

const HostCerts = z.object({
  /** SSH host certificate, authorized_keys line. */
  cert: z.string(),
  /** PEM. */
  tls_cert: z.string(),
  /** PEM certificates of the host CA: whom the member trusts on the auth API. */
  tls_ca_certs: z.array(z.string()),
  /** SSH host CA keys, authorized_keys lines. */
  ssh_ca_certs: z.array(z.string()),
});
export type HostCerts = z.output<typeof HostCerts>;
const hostKeys = {
  host_id: z.uuid(),
  node_name: z.string().min(1).max(255),
  additional_principals: z.array(z.string()).default([]),
  dns_names: z.array(z.string()).default([]),
  public_ssh_key: sshPublicKey,
  public_tls_key: tlsPublicKey,
};

const WebSession = z.object({
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

/** A member says that it is there, and which of its records auth should have (OVW-34). */
const Alive = z.strictObject({
  type: z.literal("alive"),
  kinds: z.array(z.enum(["node", "proxy"])).max(2),
});
export type Alive = z.output<typeof Alive>;

/** One change of what members mirror. `reset` opens the feed: forget everything of before; `live` ends the first list. */
const MirrorChange = z.discriminatedUnion("type", [
  z.object({ type: z.literal("reset") }),
  z.object({ type: z.literal("live") }),
  z.object({ type: z.literal("beat") }),
  /** In place of a beat: not all records that the member says it has are there; they are to be announced again. */
  z.object({ type: z.literal("announce") }),
  z.discriminatedUnion("kind", [
    z.object({ type: z.literal("put"), kind: z.literal("cert_authority"), value: CertAuthority }),
    z.object({ type: z.literal("put"), kind: z.literal("user"), value: User }),
    z.object({ type: z.literal("put"), kind: z.literal("role"), value: Role }),
    z.object({ type: z.literal("put"), kind: z.literal("node"), value: Node }),
    z.object({ type: z.literal("put"), kind: z.literal("proxy"), value: ProxyServer }),
    z.object({ type: z.literal("put"), kind: z.literal("auth_server"), value: AuthServer }),
    z.object({ type: z.literal("put"), kind: z.literal("cluster_config"), value: ClusterConfig }),
  ]),
  z.object({
    type: z.literal("delete"),
    kind: z.enum(["cert_authority", "user", "role", "node", "proxy", "auth_server"]),
    /** Of an authority: `<type>/<cluster>`. */
    name: z.string(),
  }),
]);
export type MirrorChange = z.output<typeof MirrorChange>;

const grounds = {
  reason: z.string(),
  role: z.string().optional(),
  /** The place in the role: `deny.logins[0]`. */
  rule: z.string().optional(),
  /** What is written there, as JSON. */
  text: z.string().optional(),
};
/** What roles decide, and why. */
const AccessExplanation = z.object({
  user: z.string(),
  roles: z.array(z.string()),
  action: z.string(),
  login: z.string().optional(),
  node: z.object({ id: z.string(), hostname: z.string(), labels: Labels }).optional(),
  allowed: z.boolean(),
  /** `nothing`: no rule allows it, so it is denied. `account`: it is locked or has expired. */
  by: z.enum(["allow", "deny", "nothing", "account"]),
  reason: z.string(),
  /** The rule that decides; absent where there is none. */
  decided: z.object(grounds).optional(),
  /** Of what is denied: what would allow it without that rule, or comes nearest to. */
  nearest: z.object({ ...grounds, would_allow: z.boolean() }).optional(),
  /** What holds for a session there. */
  options: z
    .object({
      max_session_ttl: z.string(),
      client_idle_timeout: z.string(),
      disconnect_expired_cert: z.boolean(),
      recording: z.enum(["on", "off", "required"]),
      pin_source_ip: z.boolean(),
      source_addresses: z.array(z.string()).optional(),
    })
    .optional(),
  notes: z.array(z.string()),
});
export type AccessExplanation = z.output<typeof AccessExplanation>;
const authorityType = z.enum(["user", "host"]);

/** A member that does not serve the phase of a rotation, or that a rotation would cut off. */
const LaggingMember = z.object({
  kind: z.enum(["node", "proxy", "auth_server"]),
  name: z.string(),
  host_id: z.string(),
  /** It holds good certificates and is not there. */
  offline: z.boolean(),
  /** Whose rotation it does not serve. */
  authorities: z.array(authorityType),
  /** Up to which phase it has followed the host CA's last rotation, where it has said so. */
  phase: z.enum(rotationPhases).optional(),
});
export type LaggingMember = z.output<typeof LaggingMember>;

/** A rotation to begin, or one step of it by hand (ROT-01, ROT-07). */
const RotationRequest = z.strictObject({
  types: z.array(authorityType).min(1).max(2).default(["user", "host"]),
  /** Milliseconds; 0 replaces the authorities at once (ROT-08). */
  grace_period: z
    .number()
    .nonnegative()
    .max(longestGrace)
    .default(48 * hour),
  /** By hand, to this phase; absent: by itself, in thirds of the grace period. */
  phase: z.enum(rotationPhases).optional(),
});

/**
 * The auth API (3025): what machines, proxies and `tctl` ask of the auth service, and who may. Mutual TLS says who calls;
 * `anyone` means also a stranger without a certificate, so those calls check a secret of their own.
 */
export const authContract = {
  // The cluster.
  "cluster.status": call({
    input: none,
    output: z.object({
      cluster_name: z.string(),
      server_version: z.string(),
      cas: z.array(CertAuthority),
      /** `sha256:<64 hex>` of each host CA certificate (AUTH-16). */
      ca_pins: z.array(z.string()),
      license: z.string().optional(),
      /** Who does not yet serve the phase of a rotation that is under way; for those who may rotate. */
      behind: z.array(LaggingMember).optional(),
    }),
    allow: member,
  }),
  "cluster.config": call({ input: none, output: ClusterConfig, allow: member }),
  "cluster.preference": call({ input: none, output: AuthPreference, allow: system("Proxy") }),
  /** The host CA's TLS certificates, before a joining host can verify anything (AUTH-15). */
  "cluster.ca": call({ input: none, output: z.object({ tls_ca_certs: z.array(z.string()) }), allow: anyone }),
  "authorities.list": call({
    input: z.strictObject({ type: z.enum(["user", "host"]).optional(), secrets: z.boolean().default(false) }),
    output: z.array(CertAuthority),
    allow: (caller, { secrets }) => (secrets ? admin(caller) : member(caller)),
  }),
  /**
   * Puts back this cluster's authorities with their private keys, all of those given or none. Where a private key is not
   * given, the stored one of that public key stays.
   */
  "authorities.restore": call({
    input: z.strictObject({ authorities: z.array(CertAuthority).min(1).max(2), force }),
    output: z.void(),
    allow: admin,
  }),
  /** Begins a rotation or takes one step of it; answers the authorities, public parts. */
  "authorities.rotate": call({
    input: RotationRequest,
    output: z.array(CertAuthority),
    allow: ["rotate", "cert_authority"],
  }),
  /** Whom such a rotation of the host CA would cut off as things are, or the end of the one under way. Changes nothing. */
  "authorities.rehearse": call({
    input: RotationRequest,
    output: z.array(LaggingMember),
    allow: ["rotate", "cert_authority"],
  }),
  /** Each `alive` keeps the caller's announced records for another 30 s, and is answered with a beat. */
  "mirror.watch": feed({ input: none, said: Alive, output: MirrorChange, allow: system("Proxy", "Node") }),

  // Machines.
  "hosts.join": call({
    input: z.strictObject({
      ...hostKeys,
      role: z.enum(["Node", "Proxy", "Auth"]),
      token: z.string(),
      remote_addr: z.string().default(""),
    }),
    output: HostCerts,
    allow: anyone,
  }),
  /** New certificates for a member that has some: renewal, or changed addresses (AUTH-21, AUTH-24). */
  "hosts.renew": call({
    input: z.strictObject({ ...hostKeys, role: z.enum(["Node", "Proxy", "Auth"]) }),
    output: HostCerts,
    allow: (caller, { host_id, role }) =>
      caller.kind === "system" && caller.hostId === host_id && caller.role === role,
  }),
  /**
   * For process number `process` of the proxy `host_id` (`proxy_service.processes`), which has an identity of its own, with the
   * host id `companionId`, and needs no token.
   */
  "hosts.companion": call({
    input: z.strictObject({ ...hostKeys, process: z.int().min(2).max(256) }),
    output: HostCerts,
    allow: (caller, { host_id }) =>
      caller.kind === "system" && caller.role === "Proxy" && caller.hostId === host_id,
  }),
  "nodes.list": call({ input: none, output: z.array(Node), many: true, allow: readable("node") }),
  /**
   * An SSH certificate for a host that is no member, as one with OpenSSH's sshd, under exactly these names. Without `ttl` it does
   * not end.
   */
  "hosts.sign": call({
    input: z.strictObject({
      names: z.array(z.string().max(1024)).max(256),
      pub_key: sshPublicKey,
      ttl: ttl.optional(),
    }),
    output: z.object({
      /** authorized_keys line. */
      cert: z.string(),
    }),
    allow: admin,
  }),
  "nodes.announce": call({ input: Node, output: z.void(), allow: own("Node") }),
  "nodes.remove": call({
    input: name,
    output: z.void(),
    allow: (caller, { name }) => caller.can("delete", "node") || own("Node")(caller, { metadata: { name } }),
  }),
  "proxies.list": call({ input: none, output: z.array(ProxyServer), allow: readable("proxy") }),
  "proxies.announce": call({ input: ProxyServer, output: z.void(), allow: own("Proxy") }),
  "proxies.remove": call({
    input: name,
    output: z.void(),
    allow: (caller, { name }) => own("Proxy")(caller, { metadata: { name } }),
  }),
  "auth_servers.list": call({ input: none, output: z.array(AuthServer), allow: readable("auth_server") }),

  // Invite tokens.
  "tokens.list": call({ input: none, output: z.array(Token), allow: ["list", "token"] }),
  "tokens.create": call({
    input: z.strictObject({
      roles: z.array(z.enum(joinRoles)).min(1),
      /** Absent: 32 random hex digits. */
      value: z.string().min(1).max(256).optional(),
      ttl,
      /** How many hosts it lets in; absent: any number. */
      uses: z.int().min(1).max(1_000_000).optional(),
    }),
    output: Token,
    allow: ["create", "token"],
  }),
  "tokens.delete": call({ input: name, output: z.void(), allow: ["delete", "token"] }),

  // Users.
  "users.list": call({ input: none, output: z.array(User), allow: ["list", "user"] }),
  "users.get": call({
    input: name,
    output: User,
    allow: (caller, { name }) =>
      caller.can("read", "user") || (caller.kind === "user" && caller.user === name),
  }),
  "users.put": call({
    input: z.strictObject({ user: User, force, was: was(User) }),
    output: z.object({ created: z.boolean() }),
    allow: (caller, { force }) => caller.can(force ? "update" : "create", "user"),
  }),
  "users.delete": call({ input: name, output: z.void(), allow: ["delete", "user"] }),
  /** Replaces what is given: roles, and those of the traits that are named. */
  "users.change": call({
    input: z.strictObject({
      ...name.shape,
      roles: z.array(z.string()).min(1).optional(),
      traits: Traits.optional(),
    }),
    output: z.void(),
    allow: ["update", "user"],
  }),
  /** Closes an account, also to certificates and sessions that are there (AUTH-44). */
  "users.lock": call({
    input: z.strictObject({ ...name.shape, message: z.string().max(1000).optional() }),
    output: z.void(),
    allow: ["update", "user"],
  }),
  "users.unlock": call({ input: name, output: z.void(), allow: ["update", "user"] }),
  /** An address, or what `locks.list` names. */
  "sources.unlock": call({
    input: z.strictObject({ source: z.string().min(1).max(64) }),
    output: z.void(),
    allow: ["update", "user"],
  }),
  "locks.list": call({
    input: none,
    output: z.array(
      z.object({
        kind: z.enum(["user", "source"]),
        name: z.string(),
        /** RFC 3339; absent: until it is lifted. */
        until: z.string().optional(),
        message: z.string().optional(),
      }),
    ),
    allow: ["list", "user"],
  }),
  /** Voids password, second factor and web sessions, and invites their owner to choose new ones. */
  "users.reset": call({
    input: z.strictObject({ ...name.shape, ttl }),
    output: z.object({
      token: z.string(),
      expires: z.number(),
      /** https://…/web/reset/<token> */ url: z.string(),
    }),
    allow: ["update", "user"],
  }),
  /**
   * Certificates of an account without a login, for programs: by the roles and traits of now, but for as long as is asked. For
   * either key or both.
   */
  "users.sign": call({
    input: z.strictObject({
      user: z.string().min(1).max(255),
      pub_key: sshPublicKey.optional(),
      tls_pub_key: tlsPublicKey.optional(),
      ttl,
      compatibility: z.enum(["", "standard", "oldssh"]).default(""),
    }),
    output: IssuedCerts,
    allow: admin,
  }),
  "signups.create": call({
    input: z.strictObject({
      user: z.string().min(1).max(255),
      roles: z.array(z.string()).default(["admin"]),
      traits: Traits,
      ttl,
    }),
    output: z.object({
      token: z.string(),
      expires: z.number(),
      /** https://…/web/newuser/<token> */ url: z.string(),
    }),
    allow: ["create", "user"],
  }),
  /** What the signup page shows. Makes a new second-factor seed each time (AUTH-34). */
  "signups.get": call({
    input: z.strictObject({ token: z.string().max(256) }),
    output: z.object({
      user: z.string(),
      second_factor: AuthPreference.shape.second_factor.unwrap(),
      /** otpauth:// URI when a code is asked for. */
      otp_uri: z.string().optional(),
      /** The account is there, and gets a new password. */
      reset: z.literal(true).optional(),
    }),
    allow: system("Proxy"),
  }),
  /** What the signup page asks a new security key for. */
  "signups.challenge": call({
    input: z.strictObject({ token: z.string().max(256) }),
    output: KeyCreation,
    allow: system("Proxy"),
  }),
  "signups.complete": call({
    input: z.strictObject({
      token: z.string().max(256),
      password: credentials.password,
      otp_token: credentials.otp_token,
      webauthn: KeysCreated,
      client_addr: credentials.client_addr,
    }),
    output: WebSession,
    allow: system("Proxy"),
  }),
  /** Ends all web sessions of the user; the answer is a new one. */
  "users.change_password": call({
    input: z.strictObject({ ...withKey, new_password: z.string().max(1024) }),
    output: WebSession,
    allow: system("Proxy"),
  }),

  // Logging in: password and second factor for certificates (tsh), or for a web session.
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

  // Roles.
  "roles.list": call({ input: none, output: z.array(Role), allow: readable("role") }),
  "roles.get": call({ input: name, output: Role, allow: (caller) => readable("role")(caller) }),
  "roles.put": call({
    input: z.strictObject({ role: Role, force, was: was(Role) }),
    output: z.object({ created: z.boolean() }),
    allow: (caller, { force }) => caller.can(force ? "update" : "create", "role"),
  }),
  "roles.delete": call({ input: name, output: z.void(), allow: ["delete", "role"] }),

  // Connectors: other places where people log in.
  /** Client secrets and private keys only when asked for. */
  "connectors.list": call({
    input: z.strictObject({ secrets: z.boolean().default(false) }),
    output: z.array(Connector),
    allow: (caller, { secrets }) =>
      secrets
        ? caller.can("read", "auth_connector")
        : caller.can("list", "auth_connector") || caller.can("readnosecrets", "auth_connector"),
  }),
  /** A connector without its secret keeps the secret that is stored. */
  "connectors.put": call({
    input: z.strictObject({ connector: Connector, force, was: was(Connector) }),
    output: z.object({ created: z.boolean() }),
    allow: (caller, { force }) => caller.can(force ? "update" : "create", "auth_connector"),
  }),
  "connectors.delete": call({
    input: z.strictObject({ kind: z.enum(["github", "oidc", "saml"]), name: z.string().min(1) }),
    output: z.void(),
    allow: ["delete", "auth_connector"],
  }),

  /** What the roles of now decide for a user, and which rule; `target`: LOGIN@NODE. The handler asks for `read` of user and node too. */
  "access.explain": call({
    input: z.strictObject({
      user: z.string().min(1).max(255),
      target: z.string().max(600).optional(),
      action: z.string().max(600).default("ssh"),
    }),
    output: AccessExplanation,
    allow: (caller) => (caller.kind === "system" ? admin(caller) : caller.can("read", "role")),
  }),

  // Audit and recordings.
  "audit.emit": call({
    input: z.strictObject({
      events: z.array(AuditEvent).min(1).max(500),
      /** Some of them may have arrived before: those whose uid the log has are passed over. */
      again: z.boolean().default(false),
    }),
    output: z.void(),
    /** A member submits only what happened on itself (AUD-03). */
    allow: (caller, { events }) =>
      admin(caller) ||
      (caller.kind === "system" &&
        events.every((event) => "server_id" in event && event.server_id === caller.hostId)),
  }),
  "audit.search": call({
    input: z.strictObject({
      /** Milliseconds since the epoch. */
      from: z.number(),
      to: z.number(),
      events: z.array(z.string()).default([]),
      limit: z.number().int().positive().max(10_000).default(500),
    }),
    output: z.array(AuditEvent),
    allow: ["list", "event"],
  }),
  /** How many bytes of a file of a recording are safe already: where an upload goes on. */
  "recordings.offset": call({
    input: z.strictObject({ sid: z.uuid(), file: z.enum(["bytes", "log"]) }),
    output: z.object({ offset: z.number() }),
    allow: system("Node", "Proxy"),
  }),
  "recordings.upload": upload({
    input: z.strictObject({
      sid: z.uuid(),
      file: z.enum(["bytes", "log"]),
      offset: z.number().int().nonnegative(),
    }),
    /** How much of the file is safe now. */
    output: z.object({ size: z.number() }),
    allow: system("Node", "Proxy"),
  }),
  /** The recording is whole: checks both digests, keeps it for ever, and says so. */
  "recordings.finish": call({
    input: z.strictObject({ sid: z.uuid(), sha256: z.strictObject({ bytes: z.string(), log: z.string() }) }),
    output: z.void(),
    allow: system("Node", "Proxy"),
  }),
  /** A piece of a recording's file: at most 5 MB a time (REC-09), base64; empty past its end. */
  "recordings.read": call({
    input: z.strictObject({
      sid: z.uuid(),
      file: z.enum(["bytes", "log"]),
      offset: z.number().int().nonnegative(),
      length: z.number().int().positive().max(5_000_000),
    }),
    output: z.object({ data: z.string() }),
    allow: ["read", "session"],
  }),
};
export type AuthContract = typeof authContract;
