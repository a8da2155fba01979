import { z } from "zod";

const common = {
  uid: z.uuid(),
  /** UTC; events of a session have milliseconds. */
  time: z.iso.datetime(),
  namespace: z.string(),
  /** Index of the event in its session, from 0. */
  ei: z.int().nonnegative().optional(),
  /** Absent means `ssh`. */
  proto: z.enum(["ssh", "kube"]).optional(),
};

const name = z.string().min(1);
/** Whom it is about; for our own events of administration, who did it. */
const user = { user: name };
/** Where both ends of the connection are, `host:port`. The local one is absent for nodes behind a tunnel. */
const addrs = { "addr.local": z.string().optional(), "addr.remote": z.string() };
const from = { "addr.remote": z.string().optional() };
/** A user as an operating system login on a server. */
const on = { ...user, login: z.string(), server_id: name };
const session = { ...on, sid: z.uuid() };
const ok = { success: z.literal(true) };
const failed = { success: z.literal(false), error: z.string() };
/** `exitError` is empty when there is none. */
const exit = { exitCode: z.int(), exitError: z.string() };
/** "columns:rows" */
const size = { size: z.string().regex(/^[1-9]\d{0,4}:[1-9]\d{0,4}$/) };
const bytes = z.int().nonnegative();
/** RFC 3339; absent means never. */
const expires = { expires: z.iso.datetime().optional() };

/** One audit event: its name, the code that tells its outcome too, and its own fields. */
const event = <N extends string, C extends string, S extends z.ZodRawShape>(event: N, code: C, shape: S) =>
  z.strictObject({ event: z.literal(event), code: z.literal(code), ...common, ...shape });

const local = { ...from, method: z.literal("local"), sid: z.string().optional() };
const sso = {
  ...from,
  method: z.enum(["github", "oidc", "saml"]),
  connector: z.string().optional(),
  sid: z.string().optional(),
};
const connectorKind = z.enum(["github", "oidc", "saml"]);
const exec = {
  ...on,
  ...addrs,
  ...exit,
  command: z.string(),
  /** The recording of its output. */
  sid: z.uuid().optional(),
  /** Output beyond the recording limit: how much, and its SHA-256 in hex. */
  unrecorded_bytes: bytes.optional(),
  unrecorded_sha256: z.hex().length(64).optional(),
};
const download = { action: z.literal("read") };
const upload = { action: z.literal("write") };
const scp = { ...on, ...addrs, ...exit, path: z.string(), len: bytes, command: z.string() };
const sftp = {
  ...on,
  ...addrs,
  action: z.enum(["read", "write", "remove", "rename", "mkdir", "rmdir", "setstat", "symlink", "link"]),
  path: z.string(),
  /** The new name, or what a link leads to. */
  target: z.string().optional(),
  /** Bytes read or written. */
  len: bytes.optional(),
};
const forward = { ...on, ...addrs, addr: z.string() };
const socket = { ...on, ...addrs, path: z.string(), direction: z.enum(["local", "remote"]) };
const member = {
  ...from,
  role: z.string(),
  method: z.enum(["token", "static-token"]).optional(),
  hostname: z.string().optional(),
};
const link = { ...from, method: z.enum(["token", "static-token"]).optional() };
const route = {
  ...user,
  ...addrs,
  login: z.string().optional(),
  /** What the user asked for. */
  target: z.string(),
  /** What was dialled in the end, with the port that answered. */
  addr: z.string().optional(),
  server_id: name.optional(),
};

/** A certificate made by an administrator, not by a login. `names`: logins, or names of the host. */
const signing = {
  ...user,
  ...from,
  kind: z.enum(["user", "host"]),
  /** The account that it is for. */
  account: z.string().optional(),
  names: z.array(z.string()),
};

/**
 * Every event that the audit log can hold. T1xxx to T3xxx are those of the product's guide; T4xxx are our own:
 * T400x members and invitations, T401x roles, T402x authorities, T403x and T404x what passes through SSH, T405x refusals, T410x locks,
 * T411x security keys, T412x what roles decide beside, T413x resources, T414x connectors, T415x rotations, T416x signing,
 * T419x links to other clusters.
 */
export const AuditEvent = z.discriminatedUnion("code", [
  // Users.
  event("user.login", "T1000I", { ...user, ...local, ...ok }),
  event("user.login", "T1000W", { ...user, ...local, ...failed, message: z.string().optional() }),
  event("user.login", "T1001I", { ...user, ...sso, ...ok }),
  /** The user is unknown when the provider itself refuses. */
  event("user.login", "T1001W", {
    ...sso,
    ...failed,
    user: z.string().optional(),
    message: z.string().optional(),
  }),
  event("user.update", "T1002I", {
    ...user,
    ...expires,
    roles: z.array(z.string()),
    connector: z.string().optional(),
    by: z.string().optional(),
  }),
  event("user.delete", "T1003I", { ...user, by: z.string().optional() }),

  // Interactive sessions.
  event("session.start", "T2000I", { ...session, ...addrs, ...size }),
  event("session.join", "T2001I", { ...session, ...from }),
  event("resize", "T2002I", { ...session, ...size }),
  event("session.leave", "T2003I", { ...session }),
  event("session.end", "T2004I", { ...session, participants: z.array(z.string()).optional() }),
  event("session.upload", "T2005I", { sid: z.uuid(), url: z.string(), server_id: name.optional() }),
  /** Bytes as the client counts them. */
  event("session.data", "T2006I", { ...session, ...addrs, tx: bytes, rx: bytes }),

  // Everything else that goes through SSH.
  event("subsystem", "T3001I", { ...on, ...addrs, name, exitError: z.literal("") }),
  event("subsystem", "T3001E", { ...on, ...addrs, name, exitError: z.string().min(1) }),
  event("exec", "T3002I", exec),
  event("exec", "T3002E", exec),
  event("port", "T3003I", { ...forward, ...ok }),
  event("port", "T3003E", { ...forward, ...failed }),
  event("scp", "T3004I", { ...scp, ...download }),
  event("scp", "T3004E", { ...scp, ...download }),
  event("scp", "T3005I", { ...scp, ...upload }),
  event("scp", "T3005E", { ...scp, ...upload }),
  event("client.disconnect", "T3006I", { ...on, ...addrs, reason: z.string() }),
  /** Here alone success is text: programs that read the log expect it so. */
  event("auth", "T3007W", {
    ...addrs,
    user: z.string(),
    login: z.string().optional(),
    server_id: name,
    success: z.literal("false"),
    error: z.string(),
  }),

  // Members and invitations. Tokens themselves are never written down.
  event("node.join", "T4000I", { ...member, ...ok, server_id: name }),
  event("node.join", "T4000W", { ...member, ...failed, server_id: name.optional() }),
  event("token.create", "T4001I", { ...user, ...expires, roles: z.array(z.string()) }),
  event("token.delete", "T4002I", { ...user }),
  event("signup.create", "T4003I", { ...user, ...expires, name, reset: z.boolean() }),
  /** Too many failed logins. */
  event("user.lock", "T4004W", { ...user, until: z.iso.datetime() }),
  event("user.password", "T4005I", { ...user, ...from, by: z.string().optional() }),

  // Locks. `source`: an address, or a network of them, as `network/bits`.
  event("user.lock", "T4100I", { ...user, name, message: z.string().optional() }),
  event("user.unlock", "T4102I", { ...user, name }),
  /** Too many failed logins from there. */
  event("source.lock", "T4101W", { source: name, until: z.iso.datetime() }),
  event("source.unlock", "T4103I", { ...user, source: name }),

  // Security keys. `key` is the id that the key itself chose.
  event("user.key", "T4110I", { ...user, ...from, key: z.string() }),
  event("user.key", "T4110W", { ...user, ...from, ...failed, message: z.string() }),
  /** The key counted less than before: there may be a copy of it. The login was refused. */
  event("user.key.counter", "T4111W", {
    ...user,
    ...from,
    key: z.string(),
    stored: z.int().nonnegative(),
    given: z.int().nonnegative(),
  }),

  // Roles.
  event("role.create", "T4010I", { ...user, name }),
  event("role.update", "T4011I", { ...user, name }),
  event("role.delete", "T4012I", { ...user, name }),

  // Connectors.
  event("connector.create", "T4140I", { ...user, kind: connectorKind, name }),
  event("connector.update", "T4141I", { ...user, kind: connectorKind, name }),
  event("connector.delete", "T4142I", { ...user, kind: connectorKind, name }),

  // Links to other clusters. Tokens are never written down. `addr`: the other cluster's web proxy.
  event("trusted_cluster.create", "T4190I", { ...user, name, addr: z.string(), ...ok }),
  event("trusted_cluster.create", "T4190W", { ...user, name, addr: z.string(), ...failed }),
  event("trusted_cluster.update", "T4191I", { ...user, name, enabled: z.boolean() }),
  event("trusted_cluster.delete", "T4192I", { ...user, name }),
  /** A cluster came with an invitation, to trust this one. */
  event("remote_cluster.create", "T4193I", { ...link, ...ok, name }),
  /** `name` is what it called itself. */
  event("remote_cluster.create", "T4193W", { ...link, ...failed, name: name.optional() }),
  event("remote_cluster.delete", "T4194I", { ...user, name }),
  /** The authorities of a linked cluster have changed, as it says itself. */
  event("cluster.authorities", "T4195I", { ...ok, name }),
  event("cluster.authorities", "T4195W", { ...failed, name }),

  // What else an administrator does to resources.
  /** An authority was put back from a file, with its keys. */
  event("ca.restore", "T4130I", {
    ...user,
    ...ok,
    kind: z.enum(["user", "host"]),
    fingerprint: z.string(),
  }),
  event("ca.restore", "T4130W", { ...user, ...failed }),
  /** Taken off the list; it is on it again as soon as it says that it is there. */
  event("node.delete", "T4131I", { ...user, server_id: z.string(), hostname: z.string() }),
  /** Secrets of connectors, by kind and name, left the auth server. */
  event("connector.export", "T4132W", { ...user, names: z.array(z.string()) }),

  // Authorities. `user` is absent when the cluster itself did it.
  event("ca.create", "T4020I", { kind: z.enum(["user", "host"]), fingerprint: z.string() }),
  event("ca.rotate", "T4021I", {
    user: z.string().optional(),
    kind: z.enum(["user", "host"]),
    phase: z.string(),
    state: z.string(),
    mode: z.string().optional(),
  }),
  /** `phase` was asked for, or was due by itself. */
  event("ca.rotate", "T4150W", {
    user: z.string().optional(),
    kind: z.enum(["user", "host"]),
    phase: z.string(),
    ...failed,
  }),
  event("cert.create", "T4160I", {
    ...signing,
    ...expires,
    ttl: z.string().optional(),
    /** Of the SSH key that was certified. */
    fingerprint: z.string().optional(),
    /** Of the SSH certificate in decimal digits, of the X.509 one in hex. */
    serial: z.string().optional(),
    tls_serial: z.string().optional(),
  }),
  event("cert.create", "T4160W", { ...signing, ...failed }),
  /** Private keys of authorities left the auth server. */
  event("ca.export", "T4161W", { ...user, ...from, fingerprints: z.array(z.string()) }),

  // What passes through SSH.
  event("proxy.connect", "T4030I", { ...route, ...ok }),
  event("proxy.connect", "T4030W", { ...route, ...failed }),
  event("sftp", "T4031I", { ...sftp, ...ok }),
  event("sftp", "T4031E", { ...sftp, ...failed }),
  /** A port on the server that leads back to the client. */
  event("port.remote", "T4032I", { ...forward, ...ok }),
  event("port.remote", "T4032E", { ...forward, ...failed }),
  event("socket", "T4033I", { ...socket, ...ok }),
  event("socket", "T4033E", { ...socket, ...failed }),
  /** A session asked for the client's agent. */
  event("agent", "T4120I", { ...on, ...addrs, ...ok }),
  event("agent", "T4120W", { ...on, ...addrs, ...failed }),

  // Refusals.
  event("session.join", "T4050W", { ...session, ...from, ...failed }),
  /** A role does not allow it; `action` and `resource` as roles name them. */
  event("access.denied", "T4051W", {
    ...user,
    ...from,
    action: z.string(),
    resource: z.string(),
    error: z.string(),
  }),
]);
export type AuditEvent = z.infer<typeof AuditEvent>;

export type Code = AuditEvent["code"];
export type EventName = AuditEvent["event"];
/** The event with this code, e.g. `EventOf<"T2000I">`. */
export type EventOf<C extends Code> = Extract<AuditEvent, { code: C }>;
