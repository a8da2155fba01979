import { type Millis, minute } from "#core/clock";
import { sha256 } from "#core/digest";
import { Fault } from "#core/errors";
import { lockOf, type User } from "#model";
import { record } from "./audit.ts";
import { type Parts, rfc3339 } from "./parts.ts";

/** So many failures in a row, none older than `window`, lock an account for `lockFor` (AUTH-40). */
const most = 5;
const window: Millis = 30 * minute;
const lockFor: Millis = 20 * minute;

/**
 * Throws `access_denied` while `name` is locked by failed logins. Names that nobody has are counted and locked too, or
 * the lock would tell who exists.
 */
export async function refuseLocked(parts: Parts, name: string, user: User | undefined): Promise<void> {
  const now = parts.clock.now();
  if (user) {
    // The account's own status counts: an administrator may have lifted the lock.
    const { lock_expires } = user.spec.status;
    if (lockOf(user, now) === "failed_logins") throw locked(name, Date.parse(lock_expires ?? ""));
    return;
  }
  const attempts = await parts.store.attempts.find(sha256(name));
  if (attempts?.lockedUntil !== undefined && attempts.lockedUntil > now)
    throw locked(name, attempts.lockedUntil);
}

/** Counts a failure. Throws the lock's sentence when it was one too many. */
export async function countFailure(parts: Parts, name: string, user: User | undefined): Promise<void> {
  const now = parts.clock.now();
  const until = now + lockFor;
  const counted = await parts.store.attempts.update(
    sha256(name),
    (before) => {
      const failures = (before?.failures ?? 0) + 1;
      // After a lock the count begins anew.
      return failures < most ? { user: name, failures } : { user: name, failures: 0, lockedUntil: until };
    },
    now + window,
  );
  if (counted?.lockedUntil !== until) return;
  if (user) {
    await parts.store.users.update(name, (account) => account && withLock(account, name, now, until));
    await record(parts, { code: "T4004W", user: name, until: rfc3339(until) });
  }
  throw locked(name, until);
}

/** A success ends the count, and takes away the marks of a lock that is over. */
export async function forgetFailures(parts: Parts, user: User): Promise<void> {
  const { name } = user.metadata;
  await dropAttempts(parts, name);
  if (!user.spec.status.is_locked) return;
  await parts.store.users.update(name, (account) => {
    if (!account || lockOf(account, parts.clock.now()) !== undefined) return undefined;
    return { ...account, spec: { ...account.spec, status: { is_locked: false } } };
  });
}

export async function dropAttempts({ store }: Parts, name: string): Promise<void> {
  await store.attempts.delete(sha256(name)).catch((err: unknown) => {
    if (!Fault.is(err, "not_found")) throw err;
  });
}

function withLock(account: User, name: string, now: Millis, until: Millis): User | undefined {
  // An administrator's lock is not made weaker by one that ends.
  if (lockOf(account, now) === "administrator") return undefined;
  const status = {
    is_locked: true,
    locked_message: `${name} exceeded ${most} failed login attempts`,
    locked_time: rfc3339(now),
    lock_expires: rfc3339(until),
  };
  return { ...account, spec: { ...account.spec, status } };
}

const locked = (name: string, until: Millis): Fault =>
  new Fault(
    "access_denied",
    `${name} exceeds ${most} failed login attempts, locked until ${rfc3339(until)}`,
    {
      details: { code: "locked" },
    },
  );
