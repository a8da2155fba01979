import type { Millis } from "#core/clock";
import { sameSecret, sha256 } from "#core/digest";
import { Fault } from "#core/errors";
import { type JoinRole, Token } from "#model";
import { record } from "../audit.ts";
import { newToken, type Parts, rfc3339 } from "../parts.ts";

interface Found {
  readonly roles: readonly string[];
  readonly method: "token" | "static-token";
  /** Absent: good for any number of hosts. */
  readonly uses?: number;
}

/** What a secret lets a host do, if it is an invite token that is still good (AUTH-10, AUTH-11). */
export async function findToken({ store, clock, config }: Parts, secret: string): Promise<Found | undefined> {
  // All are compared, each in constant time: the time tells neither which nor how far one matched (AUTH-14).
  const matching = config.staticTokens.filter(({ token }) => sameSecret(token, secret));
  const dynamic = await store.tokens.find(sha256(secret));
  if (matching.length > 0) return { roles: matching.flatMap(({ roles }) => roles), method: "static-token" };
  if (!dynamic) return undefined;
  const { roles, uses } = dynamic.spec;
  if (!isGood(dynamic, clock.now())) return undefined;
  return { roles, method: "token", ...(uses !== undefined && { uses }) };
}

const isGood = ({ metadata: { expires }, spec: { uses } }: Token, now: Millis): boolean =>
  uses !== 0 && (expires === undefined || Date.parse(expires) > now);

/**
 * Takes a host off those that a counted token lets in. False when others took the last, or it was revoked, meanwhile: of
 * any number of hosts that come at once no more get in than it says (S49).
 */
export async function spend({ store }: Parts, secret: string): Promise<boolean> {
  let left: number | undefined;
  await store.tokens.update(sha256(secret), (now) => {
    left = now?.spec.uses === undefined || now.spec.uses === 0 ? undefined : now.spec.uses - 1;
    return now && left !== undefined ? { ...now, spec: { ...now.spec, uses: left } } : undefined;
  });
  // Whoever comes between sees none left.
  if (left === 0) await store.tokens.delete(sha256(secret)).catch(ignoreNotFound);
  return left !== undefined;
}

const ignoreNotFound = (err: unknown): void => {
  if (!Fault.is(err, "not_found")) throw err;
};

/** Static, dynamic and signup tokens that are good now. */
export async function listTokens({ store, clock, config }: Parts): Promise<Token[]> {
  const fixed = config.staticTokens.map(({ roles, token }) =>
    tokenOf(token, { roles: [...roles], static: true }, undefined),
  );
  const signups = (await store.signups.list()).map(({ token, user, expires, reset }) =>
    tokenOf(token, { roles: [reset ? "reset" : "signup"], user }, expires),
  );
  const stored = [...(await store.tokens.list()), ...signups].filter((token) => isGood(token, clock.now()));
  return [...fixed, ...stored];
}

export async function createToken(
  parts: Parts,
  request: {
    roles: readonly JoinRole[];
    value?: string | undefined;
    ttl: number;
    uses?: number | undefined;
  },
  by: string,
): Promise<Token> {
  const value = request.value ?? newToken(parts);
  if (value.startsWith("/"))
    throw new Fault(
      "bad_parameter",
      "a token may not begin with a slash: hosts would take it for the path of a file that holds the token",
    );
  const expires = parts.clock.now() + request.ttl;
  if (!Number.isSafeInteger(expires) || expires > latestTime)
    throw new Fault("bad_parameter", "the token's time to live is too long");
  const { uses } = request;
  const roles = [...new Set(request.roles)];
  const token = Token.safeParse(tokenOf(value, { roles, ...(uses !== undefined && { uses }) }, expires));
  if (!token.success)
    throw new Fault("bad_parameter", "a token may not hold control characters", { cause: token.error });
  const taken = new Fault(
    "already_exists",
    "this token exists already; take another value or delete it first",
  );
  if (parts.config.staticTokens.some((fixed) => sameSecret(fixed.token, value))) throw taken;
  try {
    await parts.store.tokens.create(token.data);
  } catch (err) {
    throw Fault.is(err, "already_exists") ? taken : err;
  }
  await record(parts, { code: "T4001I", user: by, roles: token.data.spec.roles, expires: rfc3339(expires) });
  return token.data;
}

/** Throws `not_found`, and `bad_parameter` for a token of the configuration file (AUTH-13). */
export async function deleteToken(parts: Parts, value: string, by: string): Promise<void> {
  if (parts.config.staticTokens.some((fixed) => sameSecret(fixed.token, value)))
    throw new Fault("bad_parameter", `token ${value} is statically configured and cannot be removed`);
  const key = sha256(value);
  const from = (await parts.store.tokens.find(key)) ? parts.store.tokens : parts.store.signups;
  await from.delete(key).catch((err: unknown) => {
    throw Fault.is(err, "not_found") ? new Fault("not_found", `token ${value} is not found`) : err;
  });
  await record(parts, { code: "T4002I", user: by });
}

/** The last moment that RFC 3339 can write. */
const latestTime = Date.UTC(9999, 11, 31);

const tokenOf = (name: string, spec: Token["spec"], expires: number | undefined): Token => ({
  kind: "token",
  version: "v2",
  metadata: { name, ...(expires !== undefined && { expires: rfc3339(expires) }) },
  spec,
});
