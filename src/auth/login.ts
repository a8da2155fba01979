import type { Condition } from "#backend";
import { Fault } from "#core/errors";
import {
  type Access,
  type AuthPreference,
  access,
  lockOf,
  ResourceName,
  type Role,
  sourcesFor,
  type User,
} from "#model";
import { Attempts } from "./attempts.ts";
import { record } from "./audit.ts";
import { checkCode, newSeed } from "./otp.ts";
import type { Parts } from "./parts.ts";
import { defaultPasswordCost, verifyPassword } from "./password.ts";
import { Sources } from "./sources.ts";
import { Turns, tooMany } from "./turns.ts";

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
  /** That the password which was checked is still the one of now: who resets it meanwhile shall have had the last word. */
  readonly proof?: Condition;
  /** Where alone what the person gets is good; undefined: anywhere. */
  readonly sources: readonly string[] | undefined;
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
  readonly #attempts: Attempts;
  readonly #sources: Sources;
  /** By name: guesses come one after the other, so the count of failures cannot be outrun. */
  readonly #turns = new Turns(waiting);
  #busy = 0;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#attempts = new Attempts(parts);
    this.#sources = new Sources(parts);
  }

  /**
   * The person, or a refusal that does not tell what was wrong (AUTH-39), after the same work for users who are there
   * and who are not (AUTH-36, S21). Refusals are audited here; successes by whoever makes something of them.
   */
  async verify(credentials: Credentials): Promise<Person> {
    try {
      const preference = await this.preference();
      return await this.#turns.take(credentials.user, () =>
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
    const { user: name, password, otp_token, client_addr } = credentials;
    const withCode = preference.second_factor !== "off";
    if (withCode && otp_token === "") throw new Fault("access_denied", "missing second factor");
    const known = ResourceName.safeParse(name).success && Buffer.byteLength(name) <= longestName;
    const user = known ? await store.users.find(name) : undefined;
    await this.#sources.refuseLocked(client_addr);
    await this.#attempts.refuseLocked(name, user);

    const [held, otp] = known
      ? await Promise.all([store.passwords.findVersioned(name), store.otps.find(name)])
      : [];
    const passwordGood = await verifyPassword(
      user && held?.value,
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
      await this.#sources.count(client_addr);
      await this.#attempts.count(name, user);
      throw new Fault(
        "access_denied",
        withCode ? "invalid username, password or second factor" : "invalid username or password",
        { cause: new Error(why) },
      );
    }
    // Only who knows the password learns of an administrator's lock.
    if (lockOf(user, clock.now()) === "administrator")
      throw new Fault("access_denied", `the account ${name} is locked; ask your administrator`);
    await this.#attempts.forget(user);
    const proof = held && { key: store.passwords.key(name), revision: held.revision };
    return personAt(credentials.client_addr, user, await accessOfUser(this.#parts, user), proof);
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

/** Throws `access_denied` when the roles let nobody in from `client_addr`, `ip:port`. */
export function personAt(client_addr: string, user: User, access: Access, proof?: Condition): Person {
  const sources = sourcesFor(access.options(), hostOf(client_addr));
  return { user, access, sources, ...(proof && { proof }) };
}

/** Of `ip:port`. */
export const hostOf = (client_addr: string): string =>
  client_addr.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");

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
