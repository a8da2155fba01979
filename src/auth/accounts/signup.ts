import type { Revision } from "#backend";
import type { WebSession } from "#contract/auth";
import type { KeyCreated, KeyCreation } from "#contract/webauthn";
import type { Millis } from "#core/clock";
import { sha256 } from "#core/digest";
import { Fault } from "#core/errors";
import { type AuthPreference, ResourceName, type Traits, User } from "#model";
import type { SignupRecord } from "#store";
import { accessOfUser, personAt } from "../access/person.ts";
import { requireRoles } from "../access/roles.ts";
import { record } from "../audit.ts";
import { checkCode, newSeed, otpUri } from "../factors/otp.ts";
import { checkNewPassword, defaultPasswordCost, hashPassword } from "../factors/password.ts";
import type { SecurityKeys } from "../factors/security-keys.ts";
import type { Logins } from "../logins/login.ts";
import type { WebSessions } from "../logins/web-session.ts";
import { newToken, type Parts, rfc3339 } from "../parts.ts";
import { checkTtl, webAddress } from "./invitation.ts";
import { accountToReset, changedMeanwhile } from "./resets.ts";
import { clearName, dropInvitations } from "./secrets.ts";

/** Invitations of people: who is invited chooses a password and enrols a second factor (AUTH-31..37). */
export class Signups {
  readonly #parts: Parts;
  readonly #logins: Logins;
  readonly #sessions: WebSessions;
  readonly #keys: SecurityKeys;

  constructor(parts: Parts, logins: Logins, sessions: WebSessions, keys: SecurityKeys) {
    this.#parts = parts;
    this.#logins = logins;
    this.#sessions = sessions;
    this.#keys = keys;
  }

  async create(
    request: { user: string; roles: readonly string[]; traits: Traits; ttl: Millis },
    by: string,
  ): Promise<{ token: string; expires: number; url: string }> {
    const { store, clock } = this.#parts;
    await this.#logins.preference();
    const { user, traits, ttl } = request;
    checkTtl(ttl);
    const named = ResourceName.safeParse(user);
    if (!named.success)
      throw new Fault(
        "bad_parameter",
        `the user name ${JSON.stringify(user)} ${named.error.issues[0]?.message}`,
      );
    if (await store.users.find(user)) throw new Fault("already_exists", `user '${user}' already exists`);
    await requireRoles(this.#parts, request.roles);
    const token = newToken(this.#parts);
    const expires = clock.now() + ttl;
    await store.signups.create({ token, user, roles: [...request.roles], traits, expires, createdBy: by });
    await record(this.#parts, {
      code: "T4003I",
      user: by,
      name: user,
      reset: false,
      expires: rfc3339(expires),
    });
    return { token, expires, url: `https://${await webAddress(this.#parts)}/web/newuser/${token}` };
  }

  /** What the page shows. Each time another seed, so that a page seen by somebody before is worth nothing. */
  async show(token: string): Promise<{
    user: string;
    second_factor: AuthPreference["second_factor"];
    otp_uri?: string;
    reset?: true;
  }> {
    const { store, config } = this.#parts;
    const { second_factor } = await this.#logins.preference();
    const seed = newSeed();
    const signup = await store.signups.update(sha256(token), (now) => now && { ...now, seed }, undefined);
    if (!signup || signup.expires <= this.#parts.clock.now()) throw unknownToken();
    if (signup.reset && !(await accountToReset(this.#parts, signup.user))) throw unknownToken();
    const account = `${signup.user}@${config.hostName}`;
    return {
      user: signup.user,
      second_factor,
      ...(signup.reset && { reset: true }),
      ...(second_factor === "otp" && { otp_uri: otpUri(seed, account) }),
    };
  }

  /** What the page asks a new security key for, just before it is touched. */
  async challenge(token: string): Promise<KeyCreation> {
    const { second_factor } = await this.#logins.preference();
    if (second_factor !== "webauthn")
      throw new Fault("bad_parameter", "this cluster does not ask for security keys");
    const signup = await this.#parts.store.signups.find(sha256(token));
    if (!signup || signup.expires <= this.#parts.clock.now()) throw unknownToken();
    return this.#keys.creation(signup.user, sha256(token));
  }

  /** Creates the user, or gives it a new password. Of two who complete the same invitation one does (S49). */
  async complete(request: {
    token: string;
    password: string;
    otp_token: string;
    webauthn: readonly KeyCreated[];
    client_addr: string;
  }): Promise<WebSession> {
    const { store, clock, config } = this.#parts;
    const { second_factor } = await this.#logins.preference();
    const found = await store.signups.findVersioned(sha256(request.token));
    if (!found || found.value.expires <= clock.now()) throw unknownToken();
    const { value: signup, revision } = found;
    checkNewPassword(request.password);
    const otp = second_factor === "otp" ? this.#enrol(signup, request.otp_token) : undefined;
    const keys = second_factor === "webauthn" ? await this.#enrolKeys(signup.user, request) : undefined;
    const password = await hashPassword(
      signup.user,
      request.password,
      config.passwordCost ?? defaultPasswordCost,
    );
    const reset = signup.reset && (await accountToReset(this.#parts, signup.user));
    if (signup.reset && !reset) throw unknownToken();
    if (!reset) await clearName(this.#parts, signup.user);
    const user = reset ? reset.user : accountOf(signup, clock.now());
    const { client_addr: from } = request;
    // Whom the roles let in from nowhere near shall not have used up the invitation.
    const person = personAt(from, user, await accessOfUser(this.#parts, user));
    const account = store.users.putting(user);
    const signupKey = store.signups.key(sha256(request.token));
    let written: Revision;
    try {
      written = await store.backend.commit(
        [
          { type: "delete", key: signupKey },
          account,
          otp ? store.otps.putting(otp) : store.otps.deleting(signup.user),
          keys
            ? store.securityKeys.putting({ user: signup.user, keys })
            : store.securityKeys.deleting(signup.user),
          store.attempts.deleting(sha256(signup.user)),
          // The last, since its revision is the one that is told.
          store.passwords.putting(password),
        ],
        [
          { key: signupKey, revision },
          { key: account.item.key, revision: reset ? reset.revision : "absent" },
        ],
      );
    } catch (err) {
      if (!Fault.is(err, "compare_failed")) throw err;
      if (err.details.key !== account.item.key) throw unknownToken();
      if (reset) throw changedMeanwhile(signup.user, err);
      throw new Fault("already_exists", `user '${signup.user}' already exists`, { cause: err });
    }
    // Who was invited twice is here once; the other invitation would let somebody in again after a deletion.
    await dropInvitations(this.#parts, signup.user, "all");
    const { createdBy: by, roles } = signup;
    const at = from && { "addr.remote": from };
    await record(
      this.#parts,
      reset
        ? { code: "T4005I", user: signup.user, by, ...at }
        : { code: "T1002I", user: signup.user, roles, connector: "local", by },
    );
    for (const { id } of keys ?? [])
      await record(this.#parts, { code: "T4110I", user: signup.user, key: id, ...at });
    const proof = { key: store.passwords.key(signup.user), revision: written };
    const session = await this.#sessions.open({ ...person, proof });
    await this.#logins.recordSuccess(person, from, sha256(session.id));
    return session;
  }

  async #enrolKeys(
    user: string,
    { token, webauthn, client_addr }: { token: string; webauthn: readonly KeyCreated[]; client_addr: string },
  ) {
    if (webauthn.length === 0)
      throw new Fault("access_denied", "this cluster asks for a security key, which this page did not send");
    const keys = await Promise.all(
      webauthn.map((created) => this.#keys.enrol(created, user, sha256(token), client_addr)),
    );
    if (new Set(keys.map(({ id }) => id)).size < keys.length)
      throw new Fault("access_denied", "one security key was enrolled twice; use another one in reserve");
    return keys;
  }

  #enrol(signup: { user: string; seed?: string | undefined }, code: string) {
    const { user, seed } = signup;
    const good = seed === undefined ? "wrong" : checkCode(seed, code, this.#parts.clock.now(), 0);
    if (seed === undefined || typeof good === "string")
      throw new Fault(
        "access_denied",
        "the code is wrong: scan the page's code anew and enter what the app shows",
      );
    // The code that enrols is used up.
    return { user, seed, lastStep: good.step };
  }
}

/** The account of who takes an invitation up. */
function accountOf(
  { user, roles, traits, createdBy }: Pick<SignupRecord, "user" | "roles" | "traits" | "createdBy">,
  now: Millis,
): User {
  return User.parse({
    kind: "user",
    version: "v2",
    metadata: { name: user },
    spec: { roles, traits, created_by: { time: rfc3339(now), user: { name: createdBy } } },
  });
}

const unknownToken = (): Fault => new Fault("not_found", "expired or incorrect signup token");
