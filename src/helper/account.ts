import { execFile } from "node:child_process";
import type { Clock, Millis } from "#core/clock";
import { second } from "#core/clock";
import { Fault, notFound } from "#core/errors";

/** A login of this machine, as the password database has it. */
export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  /** Every group, the primary one too. */
  readonly groups: readonly number[];
  readonly home: string;
  readonly shell: string;
}

/** How long an answer of the password database is believed: a burst of sessions asks once. */
const believed: Millis = 5 * second;

/**
 * Looks logins up through `getent` and `id`, so that whatever NSS knows counts (LDAP, SSSD), outside this process, since
 * such a look-up may hang on the network. Throws `not_found` for a name that is no login here.
 */
export class Accounts {
  readonly #clock: Pick<Clock, "now">;
  readonly #run: typeof output;
  readonly #known = new Map<string, { at: Millis; account: Promise<Account> }>();

  constructor(parts: { clock: Pick<Clock, "now">; run?: typeof output }) {
    this.#clock = parts.clock;
    this.#run = parts.run ?? output;
  }

  find(name: string): Promise<Account> {
    const now = this.#clock.now();
    const known = this.#known.get(name);
    if (known !== undefined && now - known.at < believed) return known.account;
    for (const [other, { at }] of this.#known) if (now - at >= believed) this.#known.delete(other);
    const account = this.#look(name);
    const entry = { at: now, account };
    this.#known.set(name, entry);
    // A name that is missing now may be created in a moment.
    account.catch(() => {
      if (this.#known.get(name) === entry) this.#known.delete(name);
    });
    return account;
  }

  /** The number of a group, undefined when there is none of that name. */
  async group(name: string): Promise<number | undefined> {
    const line = await this.#run("getent", ["group", "--", name]);
    const gid = Number(line?.split(":")[2]);
    return Number.isInteger(gid) ? gid : undefined;
  }

  async #look(name: string): Promise<Account> {
    // A name with these cannot be in the database, and a leading dash would be an option.
    if (name === "" || name.length > 256 || /^-|[:\s\0/]/.test(name)) throw noSuchUser(name);
    const account = parsePasswd((await this.#run("getent", ["passwd", "--", name])) ?? "");
    // getent takes a number for a uid, so `0` would be root.
    if (account?.name !== name) throw noSuchUser(name);
    const groups = ((await this.#run("id", ["-G", "--", name])) ?? "")
      .split(/\s+/)
      .filter(Boolean)
      .map(Number);
    return { ...account, groups: [...new Set([account.gid, ...groups.filter(Number.isInteger)])] };
  }
}

const noSuchUser = (name: string): Fault =>
  new Fault("not_found", `no such user: '${name}'`, {
    details: { login: name },
    cause: notFound("user", name),
  });

/** One line of passwd(5). */
export function parsePasswd(line: string): Omit<Account, "groups"> | undefined {
  const [name, , uid, gid, , home, shell] = line.split("\n", 1)[0]?.split(":") ?? [];
  if (!name || !/^\d+$/.test(uid ?? "") || !/^\d+$/.test(gid ?? "")) return undefined;
  return {
    name,
    uid: Number(uid),
    gid: Number(gid),
    home: home?.startsWith("/") ? home : "/",
    shell: shell?.startsWith("/") ? shell : "/bin/sh",
  };
}

/** What a program prints, undefined when it says there is no such thing; throws when it cannot run. */
async function output(program: string, args: readonly string[]): Promise<string | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<string | undefined>();
  execFile(program, args, { env: trustedEnv, timeout: 10 * second, encoding: "utf8" }, (err, stdout) => {
    if (err === null) resolve(stdout.trimEnd());
    else if (typeof err.code === "number") resolve(undefined);
    else
      reject(
        new Fault("unreachable", "the password database of this machine does not answer", { cause: err }),
      );
  });
  return promise;
}

/** What programs that we run for ourselves get: nothing that a user could have had a hand in. */
export const trustedEnv: Readonly<Record<string, string>> = {
  PATH: "/usr/bin:/bin:/usr/sbin:/sbin",
  LANG: "C.UTF-8",
};
