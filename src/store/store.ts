import { z } from "zod";
import type { Backend } from "#backend";
import type { Clock, Millis } from "#core/clock";
import { sha256 } from "#core/digest";
import { Fault } from "#core/errors";
import {
  AuthPreference,
  AuthServer,
  CertAuthority,
  ClusterConfig,
  Connector,
  lockOf,
  Node,
  neverTime,
  ProxyServer,
  Role,
  Token,
  User,
} from "#model";
import { Collection } from "./collection.ts";
import { withLock } from "./lock.ts";
import { decode, encode, keyPart } from "./record.ts";
import {
  AttemptsRecord,
  ChallengeRecord,
  ClusterNameRecord,
  ConsoleLoginRecord,
  HostRecord,
  OtpRecord,
  PasswordRecord,
  RemoteClusterRecord,
  SecurityKeysRecord,
  SignupRecord,
  SourceRecord,
  SsoRequestRecord,
  TrustedClusterRecord,
  WebSessionRecord,
} from "./records.ts";

/** Everything the cluster remembers, typed. Secrets are found by their hash, never by themselves. */
export type Store = ReturnType<typeof collections>;

/**
 * The store over `backend`. Throws `internal` when a newer program has written there: to go back to an older program
 * is not possible without saying so.
 */
export async function openStore(backend: Backend, clock: Clock): Promise<Store> {
  await withLock({ backend, clock }, "format", async () => {
    const found = await backend.get(formatKey).catch((err: unknown) => {
      if (Fault.is(err, "not_found")) return undefined;
      throw err;
    });
    // Reading it refuses a newer one. An older one does not exist yet; a migration would come here, under the lock.
    if (found) decode(z.strictObject({}), formatKey, found.value);
    else await backend.put({ key: formatKey, value: encode({}) });
  });
  return collections(backend);
}

const formatKey = "/format";

function collections(backend: Backend) {
  const single = <S extends z.ZodType>(what: string, schema: S) =>
    new Collection({ backend, what, prefix: "/cluster/", schema, nameOf: () => what });
  const named = <S extends z.ZodType<{ metadata: { name: string; expires?: string | undefined } }>>(
    what: string,
    prefix: string,
    schema: S,
    many = false,
  ) =>
    new Collection({
      backend,
      what,
      prefix,
      schema,
      nameOf: (value) => value.metadata.name,
      expiresOf: (value) => ending(value.metadata.expires),
      many,
    });
  const byUser = <S extends z.ZodType<{ user: string }>>(what: string, prefix: string, schema: S) =>
    new Collection({ backend, what, prefix, schema, nameOf: (value) => value.user });
  /** Things of a short life that are known by a secret. */
  const byHash = <S extends z.ZodType<{ hash: string; expires: number }>>(
    what: string,
    prefix: string,
    schema: S,
  ) =>
    new Collection({
      backend,
      what,
      prefix,
      schema,
      nameOf: (value) => value.hash,
      expiresOf: (value) => value.expires,
    });

  return {
    backend,
    name: single("name", ClusterNameRecord),
    config: single("config", ClusterConfig),
    preference: single("preference", AuthPreference),
    authorities: new Collection({
      backend,
      what: "certificate authority",
      prefix: "/authorities/",
      schema: CertAuthority,
      nameOf: (ca) => `${ca.spec.type}/${ca.metadata.name}`,
    }),
    roles: named("role", "/roles/", Role),
    users: new Collection({
      backend,
      what: "user",
      prefix: "/users/",
      schema: User,
      nameOf: (user) => user.metadata.name,
      expiresOf: (user) => {
        // With the record an administrator's lock would go, and who logs in by a connector could come back.
        if (lockOf(user, 0) === "administrator") return undefined;
        const ends = [ending(user.spec.expires), ending(user.metadata.expires)].filter(
          (end) => end !== undefined,
        );
        return ends.length > 0 ? Math.min(...ends) : undefined;
      },
    }),
    /** By kind and name: `github/corp`. */
    connectors: new Collection({
      backend,
      what: "connector",
      prefix: "/connectors/",
      schema: Connector,
      nameOf: ({ kind, metadata }) => `${kind}/${metadata.name}`,
      expiresOf: ({ metadata }) => ending(metadata.expires),
    }),
    trustedClusters: new Collection({
      backend,
      what: "trusted cluster",
      prefix: "/trusted_clusters/",
      schema: TrustedClusterRecord,
      nameOf: ({ resource }) => resource.metadata.name,
      expiresOf: ({ resource }) => ending(resource.metadata.expires),
    }),
    remoteClusters: new Collection({
      backend,
      what: "remote cluster",
      prefix: "/remote_clusters/",
      schema: RemoteClusterRecord,
      nameOf: ({ resource }) => resource.metadata.name,
    }),
    nodes: named("node", "/nodes/", Node, true),
    proxies: named("proxy", "/proxies/", ProxyServer),
    authServers: named("auth server", "/auth_servers/", AuthServer),
    /** Who holds certificates of the host authority; gone when the last of them has run out. */
    hosts: new Collection({
      backend,
      what: "host",
      prefix: "/hosts/",
      schema: HostRecord,
      nameOf: ({ kind, host_id }) => `${kind}/${host_id}`,
      expiresOf: ({ expires }) => expires,
    }),
    /** By the SHA-256 of the token. */
    tokens: new Collection({
      backend,
      what: "token",
      prefix: "/tokens/",
      schema: Token,
      nameOf: (token) => sha256(token.metadata.name),
      expiresOf: (token) => ending(token.metadata.expires),
    }),
    /** By the SHA-256 of the token. */
    signups: new Collection({
      backend,
      what: "signup token",
      prefix: "/signups/",
      schema: SignupRecord,
      nameOf: (signup) => sha256(signup.token),
      expiresOf: (signup) => signup.expires,
    }),
    /** By the SHA-256 of the state. */
    ssoRequests: new Collection({
      backend,
      what: "login request",
      prefix: "/sso_requests/",
      schema: SsoRequestRecord,
      nameOf: (request) => request.state,
      expiresOf: (request) => request.expires,
    }),
    passwords: byUser("password", "/passwords/", PasswordRecord),
    otps: byUser("second factor", "/otp/", OtpRecord),
    securityKeys: byUser("security keys", "/security_keys/", SecurityKeysRecord),
    challenges: byHash("challenge", "/challenges/", ChallengeRecord),
    consoleLogins: byHash("login", "/console_logins/", ConsoleLoginRecord),
    /** By the SHA-256 of the name, which is whatever somebody typed. */
    attempts: new Collection({
      backend,
      what: "login attempts",
      prefix: "/attempts/",
      schema: AttemptsRecord,
      nameOf: (attempts) => sha256(attempts.user),
    }),
    /** By `network/bits`. */
    sources: new Collection({
      backend,
      what: "login source",
      prefix: "/sources/",
      schema: SourceRecord,
      nameOf: ({ source }) => source,
    }),
    /** The web sessions of one user, by the hash of their id. */
    webSessions: (user: string) =>
      new Collection({
        backend,
        what: "web session",
        prefix: `/web_sessions/${keyPart(user)}/`,
        schema: WebSessionRecord,
        nameOf: (session) => session.id,
        expiresOf: (session) => session.expires,
      }),
  };
}

/** RFC 3339 to milliseconds; the zero time and none are never (AUTH-43). */
function ending(time: string | undefined): Millis | undefined {
  return time === undefined || time === neverTime ? undefined : Date.parse(time);
}
