import { isIP } from "node:net";
import { Fault } from "#core/errors";
import { type Caller, lockOf, neverTime, type User } from "#model";
import { sourceOf } from "#net";
import { record } from "../audit.ts";
import { dropAttempts } from "../logins/attempts.ts";
import { type Parts, rfc3339 } from "../parts.ts";
import { closeSessions } from "./secrets.ts";

/** Somebody, or some place, from whom no login is taken now. */
export interface Lock {
  readonly kind: "user" | "source";
  readonly name: string;
  /** RFC 3339; absent: until an administrator lifts it. */
  readonly until?: string;
  readonly message?: string;
}

/** Closes an account until somebody opens it again: for logins, and for certificates and sessions that are there (AUTH-44). */
export async function lockUser(
  parts: Parts,
  { name, message }: { readonly name: string; readonly message?: string | undefined },
  caller: Caller,
): Promise<void> {
  const status = {
    is_locked: true,
    locked_time: rfc3339(parts.clock.now()),
    lock_expires: neverTime,
    ...(message !== undefined && { locked_message: message }),
  };
  await changeStatus(parts, name, status, caller);
  await closeSessions(parts, name);
  await record(parts, { code: "T4100I", user: caller.name, name, ...(message !== undefined && { message }) });
}

/** Opens an account, whoever closed it, and forgets the failed logins of the name. */
export async function unlockUser(parts: Parts, name: string, caller: Caller): Promise<void> {
  await changeStatus(parts, name, { is_locked: false }, caller);
  await dropAttempts(parts, name);
  await record(parts, { code: "T4102I", user: caller.name, name });
}

/** `source`: an address, or as locks are listed. Throws `not_found` when nothing is known of it. */
export async function unlockSource(parts: Parts, source: string, caller: Caller): Promise<void> {
  if (!caller.can("update", "user", { metadata: { name: source } }))
    throw new Fault("access_denied", `${caller.name} may not unlock the address ${JSON.stringify(source)}`);
  const key = isIP(source) === 0 ? source : sourceOf(source);
  await parts.store.sources.delete(key).catch((err: unknown) => {
    throw Fault.is(err, "not_found")
      ? new Fault("not_found", `no login from ${source} has failed lately`, { cause: err })
      : err;
  });
  await record(parts, { code: "T4103I", user: caller.name, source: key });
}

/** All locks of now: of accounts by name, then of sources. */
export async function listLocks({ store, clock }: Parts, caller: Caller): Promise<Lock[]> {
  const now = clock.now();
  const users = (await store.users.list())
    .filter((user) => lockOf(user, now) !== undefined && caller.can("list", "user", user))
    .map((user) => ofUser(user, lockOf(user, now) === "failed_logins"));
  const sources = (await store.sources.list()).flatMap(({ source, lockedUntil = 0 }): Lock[] =>
    lockedUntil > now && caller.can("list", "user", { metadata: { name: source } })
      ? [{ kind: "source", name: source, until: rfc3339(lockedUntil), message: "too many failed logins" }]
      : [],
  );
  return [...users, ...sources];
}

function ofUser({ metadata, spec: { status } }: User, ends: boolean): Lock {
  const { lock_expires: until, locked_message: message } = status;
  return {
    kind: "user",
    name: metadata.name,
    ...(ends && until !== undefined && { until }),
    ...(message !== undefined && { message }),
  };
}

async function changeStatus(
  { store }: Parts,
  name: string,
  status: User["spec"]["status"],
  caller: Caller,
): Promise<void> {
  const changed = await store.users.update(name, (user) => {
    if (user ? !caller.can("update", "user", user) : !caller.can("update", "user"))
      throw new Fault("access_denied", `${caller.name} may not update the user ${JSON.stringify(name)}`);
    return user && { ...user, spec: { ...user.spec, status } };
  });
  if (!changed) throw new Fault("not_found", `user ${JSON.stringify(name)} is not found`);
}
