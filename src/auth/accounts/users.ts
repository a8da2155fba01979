import type { Revision } from "#backend";
import type { WebSession } from "#contract/auth";
import type { Millis } from "#core/clock";
import { Fault, notFound } from "#core/errors";
import { type Caller, lockOf, type Traits, type User } from "#model";
import { requireRoles } from "../access/roles.ts";
import { record } from "../audit.ts";
import { checkNewPassword, defaultPasswordCost, hashPassword } from "../factors/password.ts";
import { dropAttempts } from "../logins/attempts.ts";
import type { Credentials, Logins } from "../logins/login.ts";
import type { WebSessions } from "../logins/web-session.ts";
import { refuseExpired, refuseOvertaken } from "../overtaken.ts";
import { type Parts, rfc3339 } from "../parts.ts";
import { clearName, closeSessions, dropInvitations, secretsGone } from "./secrets.ts";

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
    await clearName(this.#parts, name);
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
    if (lock === "administrator") await closeSessions(this.#parts, name);
    const { expires } = user.spec;
    await record(this.#parts, {
      code: "T1002I",
      user: name,
      roles: user.spec.roles,
      by: caller.name,
      ...(expires && Date.parse(expires) > 0 && { expires: rfc3339(Date.parse(expires)) }),
    });
    const earlier = before && lockOf(before, clock.now());
    const message = user.spec.status.locked_message;
    if (lock === "administrator" && earlier !== lock)
      await record(this.#parts, { code: "T4100I", user: caller.name, name, ...(message && { message }) });
    if (lock === undefined && earlier !== undefined)
      await record(this.#parts, { code: "T4102I", user: caller.name, name });
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
    await store.backend.commit([store.users.deleting(name), ...secretsGone(this.#parts, name)]);
    // Nobody becomes this user again by an invitation of before.
    await dropInvitations(this.#parts, name, "all");
    await closeSessions(this.#parts, name);
    await record(this.#parts, { code: "T1003I", user: name, by: caller.name });
  }

  /** Roles and traits that are given replace those of the account; all else stays what it is. Throws `not_found`. */
  async change(
    { name, roles, traits = {} }: { name: string; roles?: string[] | undefined; traits?: Traits | undefined },
    caller: Caller,
  ): Promise<void> {
    const { store } = this.#parts;
    if (roles) await requireRoles(this.#parts, roles);
    const changed = await store.users.update(name, (now) => {
      const next = now && {
        ...now,
        spec: { ...now.spec, ...(roles && { roles }), traits: { ...now.spec.traits, ...traits } },
      };
      for (const about of now && next ? [now, next] : [undefined]) {
        if (!caller.can("update", "user", about))
          throw new Fault("access_denied", `${caller.name} may not update the user ${JSON.stringify(name)}`);
      }
      return next;
    });
    if (!changed) throw notFound("user", name);
    await record(this.#parts, { code: "T1002I", user: name, roles: changed.spec.roles, by: caller.name });
  }

  /**
   * Under the same rules as a login, which it is: ends all web sessions of the user and opens a new one (AUTH-41, S46), so that
   * who has stolen one is out.
   */
  async changePassword(credentials: Credentials, password: string): Promise<WebSession> {
    const { store, config } = this.#parts;
    checkNewPassword(password);
    const person = await this.#logins.verify(credentials, { purpose: "password" });
    const { name } = person.user.metadata;
    const hashed = await hashPassword(name, password, config.passwordCost ?? defaultPasswordCost);
    const op = store.passwords.putting(hashed);
    let revision: Revision;
    try {
      // Not after the account was deleted or its password reset: then the old one proves nothing any more.
      revision = await store.backend.commit([op], person.proof ? [person.proof] : []);
    } catch (err) {
      if (!Fault.is(err, "compare_failed")) throw err;
      throw new Fault("access_denied", "the password was changed at the same moment; log in again", {
        cause: err,
      });
    }
    await closeSessions(this.#parts, name);
    const { client_addr: from } = credentials;
    await record(this.#parts, { code: "T4005I", user: name, ...(from && { "addr.remote": from }) });
    return this.#sessions.open({ ...person, proof: { key: op.item.key, revision } });
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
