import type { Condition } from "#backend";
import type { KeyAnswer, KeyRequest } from "#contract/webauthn";
import type { Millis } from "#core/clock";
import { Fault } from "#core/errors";
import { type AuthPreference, lockOf, ResourceName, type User } from "#model";
import { accessOfUser, type Person, personAt } from "../access/person.ts";
import { record } from "../audit.ts";
import { checkCode, newSeed } from "../factors/otp.ts";
import { defaultPasswordCost, verifyPassword } from "../factors/password.ts";
import type { Purpose, SecurityKeys } from "../factors/security-keys.ts";
import type { Parts } from "../parts.ts";
import { Attempts } from "./attempts.ts";
import { Sources } from "./sources.ts";
import { Turns, tooMany } from "./turns.ts";

export interface Credentials {
  readonly user: string;
  readonly password: string;
  readonly otp_token: string;
  readonly client_addr: string;
  /** Where the certificates are used when that is not where the login comes from: a browser may be elsewhere than `tsh`. */
  readonly used_at?: string;
  /** The answer of a security key to `challenge`, which checked the password. */
  readonly webauthn?: KeyAnswer | undefined;
}

/** What a security key is asked for, and with which login of `tsh` that hangs together. */
type KeyPurpose = Omit<Purpose, "user">;

/** How many logins are checked at once; each takes tens of megabytes for its hash. */
const concurrent = 32;
/** How many may wait for those before them under the same name: guessing one name keeps nobody else out. */
const waiting = 32;

/** Checks passwords and second factors: the only way from a secret of a person to a `Person`. */
export class Logins {
  readonly #parts: Parts;
  readonly #keys: SecurityKeys;
  /** A seed for users who are not there, so that checking their code takes the same time. */
  readonly #nobodysSeed = newSeed();
  readonly #attempts: Attempts;
  readonly #sources: Sources;
  /** By name: guesses come one after the other, so the count of failures cannot be outrun. */
  readonly #turns = new Turns(waiting);
  #busy = 0;

  constructor(parts: Parts, keys: SecurityKeys) {
    this.#parts = parts;
    this.#attempts = new Attempts(parts);
    this.#sources = new Sources(parts);
    this.#keys = keys;
  }

  /**
   * The person, or a refusal that does not tell what was wrong (AUTH-39), after the same work for users who are there
   * and who are not (AUTH-36, S21). Refusals are audited here; successes by whoever makes something of them. Where no security key
   * can be asked for its part there is no `purpose`.
   */
  verify(credentials: Credentials, purpose?: KeyPurpose): Promise<Person> {
    return this.#guarded(credentials, (preference) =>
      preference.second_factor === "webauthn"
        ? this.#verifyKey(credentials, purpose)
        : this.#verify(credentials, preference),
    );
  }

  /** The first half of a login with a security key: who has the password learns what a key has to sign (AUTH-38). */
  challenge(credentials: Credentials, purpose: KeyPurpose): Promise<KeyRequest> {
    return this.#guarded(credentials, (preference) => this.#challenge(credentials, preference, purpose));
  }

  async #guarded<T>(credentials: Credentials, work: (preference: AuthPreference) => Promise<T>): Promise<T> {
    try {
      const preference = await this.preference();
      return await this.#turns.take(credentials.user, () => this.#limited(() => work(preference)));
    } catch (err) {
      if (Fault.is(err, "access_denied")) await this.#recordFailure(credentials, err);
      throw err;
    }
  }

  /** How people log in; throws `access_denied` when local accounts may not (CFG-49, S23). */
  async preference(): Promise<AuthPreference> {
    const preference = await this.#parts.store.preference.get("preference");
    if (!preference.local_auth)
      throw new Fault("access_denied", "logins with a local password are switched off in this cluster");
    return preference;
  }

  /** `sid`: the hash of the web session's id (AUD-18). */
  async recordSuccess(person: Person, from: string, sid?: string): Promise<void> {
    await record(this.#parts, {
      code: "T1000I",
      user: person.user.metadata.name,
      method: "local",
      success: true,
      ...(from && { "addr.remote": from }),
      ...(sid && { sid }),
    });
  }

  async #verify(credentials: Credentials, preference: AuthPreference): Promise<Person> {
    const { store, clock } = this.#parts;
    const { user: name, password, otp_token } = credentials;
    const withCode = preference.second_factor === "otp";
    if (withCode && otp_token === "") throw new Fault("access_denied", "missing second factor");
    const user = await this.#unlocked(credentials);

    const [proof, otp] = await Promise.all([
      this.#knows(user, name, password),
      isName(name) ? store.otps.find(name) : undefined,
    ]);
    const code = checkCode(otp?.seed ?? this.#nobodysSeed, otp_token, clock.now(), otp?.lastStep ?? 0);
    let why = proof ? undefined : "wrong user name or password";
    if (withCode && why === undefined) {
      if (!otp) why = "the account has no second factor";
      else if (code === "wrong") why = "wrong second factor";
      else if (code === "used" || !(await this.#spendStep(name, code.step)))
        why = "previously used totp token";
    }
    if (!user || !proof || why !== undefined)
      return this.#refuse(credentials, user, withCode ? wrongFactors : "invalid username or password", why);
    return this.#admit(credentials, user, proof);
  }

  /** The password was checked when the challenge was given; the challenge is of this user and purpose, and counts once. */
  async #verifyKey(credentials: Credentials, purpose?: KeyPurpose): Promise<Person> {
    const { user: name, webauthn, client_addr } = credentials;
    if (!webauthn || !purpose) throw new Fault("access_denied", "missing second factor");
    const user = await this.#unlocked(credentials);
    const { why, password } = await this.#keys.check(webauthn, { user: name, ...purpose }, client_addr);
    if (!user || why !== undefined)
      return this.#refuse(credentials, user, "invalid response of the security key; begin anew", why);
    return this.#admit(credentials, user, password);
  }

  async #challenge(
    credentials: Credentials,
    preference: AuthPreference,
    purpose: KeyPurpose,
  ): Promise<KeyRequest> {
    if (preference.second_factor !== "webauthn")
      throw new Fault("bad_parameter", "this cluster does not ask for security keys");
    const { user: name, password } = credentials;
    const user = await this.#unlocked(credentials);
    const proof = await this.#knows(user, name, password);
    if (!user || !proof) return this.#refuse(credentials, user, wrongFactors, "wrong user name or password");
    refuseLockedByAdministrator(user, this.#parts.clock.now());
    const request = await this.#keys.request({ user: name, ...purpose }, proof);
    return request ?? this.#refuse(credentials, user, wrongFactors, "the account has no security key");
  }

  /** The account of the name, if there is one. Throws `access_denied` while failed logins lock it, or where they come from. */
  async #unlocked({ user: name, client_addr }: Credentials): Promise<User | undefined> {
    const user = isName(name) ? await this.#parts.store.users.find(name) : undefined;
    await this.#sources.refuseLocked(client_addr);
    await this.#attempts.refuseLocked(name, user);
    return user;
  }

  /** Whether it is the password: then what holds as long as it is. */
  async #knows(user: User | undefined, name: string, password: string): Promise<Condition | undefined> {
    const { store, config } = this.#parts;
    const held = isName(name) ? await store.passwords.findVersioned(name) : undefined;
    // A password left by a local account of the same name is not that of who logs in by a connector (S24).
    const own = user && !user.spec.created_by?.connector ? held : undefined;
    const good = await verifyPassword(own?.value, password, config.passwordCost ?? defaultPasswordCost);
    return good && own ? { key: store.passwords.key(name), revision: own.revision } : undefined;
  }

  /** Counts the failure. `sentence` is for the client, `why` for the log. */
  async #refuse(
    { user: name, client_addr }: Credentials,
    user: User | undefined,
    sentence: string,
    why: string | undefined,
  ): Promise<never> {
    await this.#sources.count(client_addr);
    await this.#attempts.count(name, user);
    throw new Fault("access_denied", sentence, { cause: new Error(why) });
  }

  async #admit({ client_addr, used_at }: Credentials, user: User, proof: Condition): Promise<Person> {
    refuseLockedByAdministrator(user, this.#parts.clock.now());
    await this.#attempts.forget(user);
    const access = await accessOfUser(this.#parts, user);
    const person = personAt(client_addr, user, access, proof);
    return used_at === undefined ? person : personAt(used_at, user, access, proof);
  }

  /** Marks the code's step as used; false when another login was faster, on this or another auth server (S22). */
  async #spendStep(name: string, step: number): Promise<boolean> {
    let fresh = false;
    await this.#parts.store.otps.update(name, (now) => {
      fresh = now !== undefined && step > now.lastStep;
      return fresh && now ? { ...now, lastStep: step } : undefined;
    });
    return fresh;
  }

  async #limited<T>(work: () => Promise<T>): Promise<T> {
    if (this.#busy >= concurrent) throw tooMany();
    this.#busy++;
    try {
      return await work();
    } finally {
      this.#busy--;
    }
  }

  async #recordFailure({ user, client_addr }: Credentials, err: Fault): Promise<void> {
    const why = err.cause instanceof Error ? err.cause.message : undefined;
    await record(this.#parts, {
      code: "T1000W",
      user: user || "-",
      method: "local",
      success: false,
      error: err.message,
      ...(why && { message: why }),
      ...(client_addr && { "addr.remote": client_addr }),
    });
  }
}

const wrongFactors = "invalid username, password or second factor";

/** Bytes; a longer name cannot be stored, so nobody has it. */
const longestName = 900;
const isName = (name: string): boolean =>
  ResourceName.safeParse(name).success && Buffer.byteLength(name) <= longestName;

/** Only who knows the password learns of an administrator's lock. */
function refuseLockedByAdministrator(user: User, now: Millis): void {
  if (lockOf(user, now) === "administrator")
    throw new Fault("access_denied", `the account ${user.metadata.name} is locked; ask your administrator`);
}
