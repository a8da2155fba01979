import { Fault } from "#core/errors";
import { type Access, type AuthPreference, access, lockOf, ResourceName, type Role, type User } from "#model";
import { countFailure, forgetFailures, refuseLocked } from "./attempts.ts";
import { record } from "./audit.ts";
import { checkCode, newSeed } from "./otp.ts";
import type { Parts } from "./parts.ts";
import { defaultPasswordCost, verifyPassword } from "./password.ts";

export interface Credentials {
  readonly user: string;
  readonly password: string;
  readonly otp_token: string;
  readonly client_addr: string;
}

/** Somebody whose credentials were right, and what the roles of now let them do. */
export interface Person {
  readonly user: User;
  readonly access: Access;
}

/** How many logins are checked at once; each takes tens of megabytes for its hash. */
const concurrent = 32;
/** How many may wait for those before them under the same name: guessing one name keeps nobody else out. */
const waiting = 32;

/** Checks passwords and second factors: the only way from a secret of a person to a `Person`. */
export class Logins {
  readonly #parts: Parts;
  /** A seed for users who are not there, so that checking their code takes the same time. */
  readonly #nobodysSeed = newSeed();
  /** The last login of each name: guesses come one after the other, so the count of failures cannot be outrun. */
  readonly #queues = new Map<string, { last: Promise<unknown>; length: number }>();
  #busy = 0;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /**
   * The person, or a refusal that does not tell what was wrong (AUTH-39), after the same work for users who are there
   * and who are not (AUTH-36, S21). Refusals are audited here; successes by whoever makes something of them.
   */
  async verify(credentials: Credentials): Promise<Person> {
    try {
      const preference = await this.preference();
      return await this.#afterOthers(credentials.user, () =>
        this.#limited(() => this.#verify(credentials, preference)),
      );
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
    const { store, clock, config } = this.#parts;
    const { user: name, password, otp_token } = credentials;
    const withCode = preference.second_factor !== "off";
    if (withCode && otp_token === "") throw new Fault("access_denied", "missing second factor");
    const known = ResourceName.safeParse(name).success && Buffer.byteLength(name) <= longestName;
    const user = known ? await store.users.find(name) : undefined;
    await refuseLocked(this.#parts, name, user);

    const [passwordRecord, otp] = known
      ? await Promise.all([store.passwords.find(name), store.otps.find(name)])
      : [];
    // A password left by a local account of the same name is not that of who logs in by a connector (S24).
    const passwordGood = await verifyPassword(
      user?.spec.created_by?.connector ? undefined : user && passwordRecord,
      password,
      config.passwordCost ?? defaultPasswordCost,
    );
    const code = checkCode(otp?.seed ?? this.#nobodysSeed, otp_token, clock.now(), otp?.lastStep ?? 0);
    let why = passwordGood ? undefined : "wrong user name or password";
    if (withCode && why === undefined) {
      if (preference.second_factor !== "otp") why = "this cluster asks for a security key";
      else if (!otp) why = "the account has no second factor";
      else if (code === "wrong") why = "wrong second factor";
      else if (code === "used" || !(await this.#spendStep(name, code.step)))
        why = "previously used totp token";
    }
    if (!user || why !== undefined) {
      await countFailure(this.#parts, name, user);
      throw new Fault(
        "access_denied",
        withCode ? "invalid username, password or second factor" : "invalid username or password",
        { cause: new Error(why) },
      );
    }
    // Only who knows the password learns of an administrator's lock.
    if (lockOf(user, clock.now()) === "administrator")
      throw new Fault("access_denied", `the account ${name} is locked; ask your administrator`);
    await forgetFailures(this.#parts, user);
    return { user, access: await accessOfUser(this.#parts, user) };
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

  async #afterOthers<T>(name: string, work: () => Promise<T>): Promise<T> {
    const queue = this.#queues.get(name) ?? { last: Promise.resolve(), length: 0 };
    if (queue.length >= waiting) throw tooMany();
    this.#queues.set(name, queue);
    queue.length++;
    const mine = queue.last.then(work, work);
    queue.last = mine.catch(() => {});
    try {
      return await mine;
    } finally {
      queue.length--;
      if (queue.length === 0) this.#queues.delete(name);
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

const tooMany = (): Fault =>
  new Fault("limit_exceeded", "too many people log in at once; try again in a moment");

/** Bytes; a longer name cannot be stored, so nobody has it. */
const longestName = 900;

/** What an account's roles of now decide. Throws `access_denied` when one is missing: it may be the one that denies. */
export async function accessOfUser(parts: Pick<Parts, "store">, user: User): Promise<Access> {
  const { name } = user.metadata;
  return access({
    user: name,
    roles: await findRoles(parts, name, user.spec.roles),
    traits: user.spec.traits,
  });
}

export async function findRoles(
  { store }: Pick<Parts, "store">,
  user: string,
  names: readonly string[],
): Promise<Role[]> {
  return Promise.all(
    [...new Set(names)].map(async (name) => {
      const role = await store.roles.find(name);
      if (!role)
        throw new Fault(
          "access_denied",
          `the role ${JSON.stringify(name)} of user ${user} does not exist any more`,
        );
      return role;
    }),
  );
}
