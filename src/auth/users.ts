import type { Millis } from "#core/clock";
import { sha256 } from "#core/digest";
import { Fault, notFound } from "#core/errors";
import { type Caller, lockOf, type User } from "#model";
import { dropAttempts } from "./attempts.ts";
import { record } from "./audit.ts";
import type { Credentials, Logins } from "./login.ts";
import { refuseExpired, refuseOvertaken } from "./overtaken.ts";
import { type Parts, rfc3339 } from "./parts.ts";
import { checkNewPassword, defaultPasswordCost, hashPassword } from "./password.ts";
import { requireRoles } from "./signup.ts";
import type { WebSessions } from "./web-session.ts";

/** Accounts, and all that hangs on them. */
export class Users {
  readonly #parts: Parts;
  readonly #logins: Logins;
  readonly #sessions: WebSessions;

  constructor(parts: Parts, logins: Logins, sessions: WebSessions) {
    this.#parts = parts;
    this.#logins = logins;
    this.#sessions = sessions;
  }

  /** Creates or, with `force`, replaces an account. The password and second factor stay what they are (RES-05). */
  async put(user: User, force: boolean, caller: Caller, was?: User): Promise<{ created: boolean }> {
    const { store, clock } = this.#parts;
    const { name } = user.metadata;
    refuseExpired(user, clock.now());
    await requireRoles(this.#parts, user.spec.roles);
    let before: User | undefined;
    await store.users.update(name, (now) => {
      before = now;
      if (was) refuseOvertaken(lasting(was, clock.now()), now && lasting(now, clock.now()));
      if (now && !force) throw new Fault("already_exists", `user '${name}' already exists`);
      // With `force` an account that is not there would be made by whoever may only change some.
      const verb = now ? "update" : "create";
      for (const about of now ? [now, user] : [user]) {
        if (!caller.can(verb, "user", about))
          throw new Fault("access_denied", `${caller.name} may not ${verb} the user ${JSON.stringify(name)}`);
      }
      return completed(user, now, caller.name, rfc3339(clock.now()));
    });
    const lock = lockOf(user, clock.now());
    if (lock === undefined) await dropAttempts(this.#parts, name);
    if (lock === "administrator") await this.#sessions.closeAll(name);
    const { expires } = user.spec;
    await record(this.#parts, {
      code: "T1002I",
      user: name,
      roles: user.spec.roles,
      by: caller.name,
      ...(expires && Date.parse(expires) > 0 && { expires: rfc3339(Date.parse(expires)) }),
    });
    return { created: before === undefined };
  }

  /** The account, its password, second factor and web sessions (AUTH-42). Throws `not_found`. */
  async delete(name: string, caller: Caller): Promise<void> {
    const { store } = this.#parts;
    const found = await store.users.findVersioned(name);
    // Who may delete only some users learns nothing of the others.
    if (found ? !caller.can("delete", "user", found.value) : !caller.can("delete", "user"))
      throw new Fault("access_denied", `${caller.name} may not delete the user ${JSON.stringify(name)}`);
    if (!found) throw notFound("user", name);
    await store.backend.commit([
      store.users.deleting(name),
      store.passwords.deleting(name),
      store.otps.deleting(name),
      store.securityKeys.deleting(name),
      store.attempts.deleting(sha256(name)),
    ]);
    await this.#sessions.closeAll(name);
    await record(this.#parts, { code: "T1003I", user: name, by: caller.name });
  }

  /** Under the same rules as a login; ends all web sessions of the user (AUTH-41, S46). */
  async changePassword(credentials: Credentials, password: string): Promise<void> {
    const { store, config } = this.#parts;
    checkNewPassword(password);
    const { user } = await this.#logins.verify(credentials, { purpose: "password" });
    const { name } = user.metadata;
    await store.passwords.put(await hashPassword(name, password, config.passwordCost ?? defaultPasswordCost));
    await this.#sessions.closeAll(name);
    await record(this.#parts, { code: "T4005I", user: name });
  }
}

/** The record without a lock by failed logins: that comes and goes by itself, and nobody writes it into a file. */
function lasting(user: User, now: Millis): User {
  if (lockOf(user, now) === "administrator") return user;
  return { ...user, spec: { ...user.spec, status: { is_locked: false } } };
}

/** The record with what only the server knows: who made it and when, and when it was locked. */
function completed(user: User, before: User | undefined, by: string, now: string): User {
  const { spec } = user;
  const created_by = spec.created_by ?? before?.spec.created_by ?? { time: now, user: { name: by } };
  const status =
    spec.status.is_locked && !spec.status.locked_time ? { ...spec.status, locked_time: now } : spec.status;
  return { ...user, spec: { ...spec, created_by, status } };
}
