import { type Millis, minute } from "#core/clock";
import { sha256 } from "#core/digest";
import { Fault } from "#core/errors";
import { lockOf, type User } from "#model";
import { record } from "../audit.ts";
import { type Parts, rfc3339 } from "../parts.ts";
import { Crowd } from "./crowd.ts";

/** So many failures in a row, none older than `window`, lock an account for `lockFor` (AUTH-40). */
const most = 5;
export const window: Millis = 30 * minute;
export const lockFor: Millis = 20 * minute;

/** Failed logins by name. Names that nobody has are counted and locked too, or the lock would tell who exists. */
export class Attempts {
  readonly #parts: Parts;
  readonly #strangers: Crowd;

  /** `bounds`: for tests, of how many invented names are remembered. */
  constructor(parts: Parts, bounds?: ConstructorParameters<typeof Crowd>[2]) {
    const { attempts, backend } = parts.store;
    this.#parts = parts;
    this.#strangers = new Crowd(
      { backend, prefix: attempts.prefix },
      // Who floods us with invented names may not thereby start anew with a real one.
      (item) => attempts.read(item).known === true,
      bounds,
    );
  }

  /** Throws `access_denied` while `name` is locked by failed logins. */
  async refuseLocked(name: string, user: User | undefined): Promise<void> {
    const { clock, store } = this.#parts;
    const now = clock.now();
    if (user) {
      // The account's own status counts: an administrator may have lifted the lock.
      const { lock_expires } = user.spec.status;
      if (lockOf(user, now) === "failed_logins") throw locked(name, Date.parse(lock_expires ?? ""));
      return;
    }
    const attempts = await store.attempts.find(sha256(name));
    if (attempts?.lockedUntil !== undefined && attempts.lockedUntil > now)
      throw locked(name, attempts.lockedUntil);
  }

  /** Counts a failure. Throws the lock's sentence when it was one too many. */
  async count(name: string, user: User | undefined): Promise<void> {
    const { clock, store } = this.#parts;
    const now = clock.now();
    const until = now + lockFor;
    let first = false;
    const counted = await store.attempts.update(
      sha256(name),
      (before) => {
        first = before === undefined;
        const failures = (before?.failures ?? 0) + 1;
        const whose = { user: name, ...(user && { known: true as const }) };
        // After a lock the count begins anew.
        return failures < most ? { ...whose, failures } : { ...whose, failures: 0, lockedUntil: until };
      },
      now + window,
    );
    if (first && !user) await this.#strangers.added();
    if (counted?.lockedUntil !== until) return;
    if (user) {
      await store.users.update(name, (account) => account && withLock(account, name, now, until));
      await record(this.#parts, { code: "T4004W", user: name, until: rfc3339(until) });
    }
    throw locked(name, until);
  }

  /** A success ends the count, and takes away the marks of a lock that is over. */
  async forget(user: User): Promise<void> {
    const { name } = user.metadata;
    await dropAttempts(this.#parts, name);
    if (!user.spec.status.is_locked) return;
    await this.#parts.store.users.update(name, (account) => {
      if (!account || lockOf(account, this.#parts.clock.now()) !== undefined) return undefined;
      return { ...account, spec: { ...account.spec, status: { is_locked: false } } };
    });
  }
}

export async function dropAttempts({ store }: Pick<Parts, "store">, name: string): Promise<void> {
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
