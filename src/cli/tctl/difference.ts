import { isDeepStrictEqual } from "node:util";
import { type Connector, lockOf, neverTime, type TrustedCluster, type User } from "#model";
import type { Single } from "./written.ts";

/** One thing that differs. Secrets are not told. */
export interface Change {
  /** `spec.traits.logins`. */
  readonly path: string;
  /** Undefined where there is nothing. */
  readonly from: unknown;
  readonly to: unknown;
}

/**
 * What a file wants of a resource that is there: what the file leaves to the cluster stays as it is. That is who made an
 * account, what it is known by elsewhere, and its lock, which a file may set and never lifts: whoever locks an account in a hurry
 * must not see it opened by the next run. Of a connector it is a secret that the file does not have, of a trusted cluster the token that it was linked with.
 */
export function intended(wanted: Single, now: Single | undefined): Single {
  if (wanted.kind === "user") return intendedUser(wanted, now?.kind === "user" ? now : undefined);
  if (wanted.kind === "role" || now?.kind !== wanted.kind) return wanted;
  if (wanted.kind === "trusted_cluster") return withoutToken(wanted);
  return withSecretsOf(now as Connector, wanted);
}

function intendedUser(user: User, now: User | undefined): User {
  const locked = isLocked(user);
  if (!now) return locked ? user : { ...user, spec: { ...user.spec, status: { is_locked: false } } };
  const { created_by, github_identities, oidc_identities, saml_identities, status } = now.spec;
  const kept = { created_by, github_identities, oidc_identities, saml_identities };
  return withoutUndefined({
    ...user,
    spec: { ...kept, ...user.spec, status: locked && !isLocked(now) ? user.spec.status : status },
  });
}

/** By an administrator. A lock by failed logins, which a file may hold that `tctl get` wrote, ends by itself. */
export const isLocked = (user: User): boolean => lockOf(user, Number.POSITIVE_INFINITY) === "administrator";

function withSecretsOf(now: Connector, wanted: Connector): Connector {
  if (wanted.kind === "saml") {
    const [pair, kept] = [wanted.spec.signing_key_pair, now.kind === "saml" && now.spec.signing_key_pair];
    if (!pair || pair.private_key || !kept || kept.cert !== pair.cert) return wanted;
    return { ...wanted, spec: { ...wanted.spec, signing_key_pair: kept } };
  }
  const { client_secret } = now.kind === "saml" ? {} : now.spec;
  if (wanted.spec.client_secret || !client_secret) return wanted;
  return { ...wanted, spec: { ...wanted.spec, client_secret } } as Connector;
}

/** The token made the link and is not kept: what a file says of it later changes nothing. */
function withoutToken(wanted: TrustedCluster): TrustedCluster {
  const { token: _, ...spec } = wanted.spec;
  return { ...wanted, spec };
}

/** Whether a file brings a secret, which can only be compared with one that was read. */
export function bringsSecret(resource: Single): boolean {
  if (resource.kind === "github" || resource.kind === "oidc") return Boolean(resource.spec.client_secret);
  return resource.kind === "saml" && Boolean(resource.spec.signing_key_pair?.private_key);
}

const secret = /(^|\.)(client_secret|private_key)$/;

/** What is different in `to`, by path; lists are compared whole. */
export function differences(from: unknown, to: unknown): Change[] {
  return between(plain(from), plain(to), "").map((change) =>
    secret.test(change.path)
      ? { path: change.path, from: hidden(change.from), to: hidden(change.to) }
      : change,
  );
}

const hidden = (value: unknown): unknown => (value === undefined ? undefined : "(secret)");

function between(from: unknown, to: unknown, path: string): Change[] {
  if (isDeepStrictEqual(from, to)) return [];
  if (!isMap(from) || !isMap(to)) return [{ path, from, to }];
  return [...new Set([...Object.keys(from), ...Object.keys(to)])]
    .sort()
    .flatMap((key) => between(own(from, key), own(to, key), path === "" ? key : `${path}.${key}`));
}

const own = (map: Readonly<Record<string, unknown>>, key: string): unknown =>
  Object.hasOwn(map, key) ? map[key] : undefined;

const isMap = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Without what says no more than that it is left out: times that are never, and the one namespace. */
function plain(resource: unknown): unknown {
  return JSON.parse(JSON.stringify(resource), (key, value) =>
    (times.has(key) && value === neverTime) || (key === "namespace" && value === "default")
      ? undefined
      : value,
  );
}
const times: ReadonlySet<string> = new Set(["expires", "lock_expires", "locked_time"]);

const withoutUndefined = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;
