import { execFile } from "node:child_process";
import { second } from "#core/clock";
import { trustedEnv } from "../account.ts";

type Database = "passwd" | "group";

/** Entries that are kept; a folder has few owners. */
const maxKept = 10_000;

/** The names behind numbers of users and groups, asked of whatever NSS knows (LDAP, SSSD), each once. */
export class Names {
  readonly #known: Record<Database, Map<number, string>> = { passwd: new Map(), group: new Map() };

  /** In the order of `ids`; empty for those without a name. */
  async of(database: Database, ids: readonly number[]): Promise<string[]> {
    const known = this.#known[database];
    if (known.size > maxKept) known.clear();
    const missing = [...new Set(ids)].filter((id) => !known.has(id));
    if (missing.length > 0) {
      const found = await entries(database, missing.map(String));
      for (const id of missing) known.set(id, "");
      for (const [name = "", , id] of found) known.set(Number(id), name);
    }
    return ids.map((id) => known.get(id) ?? "");
  }
}

/** The home of a user by name. */
export async function homeOf(user: string): Promise<string | undefined> {
  // An option of getent's, or a number, which it would take for a uid.
  if (/^(-|\d+$)/.test(user)) return undefined;
  const [entry] = await entries("passwd", [user]);
  return entry?.[5];
}

/** What there is: an unknown key is no error, and a folder can be listed while the directory server is away. */
function entries(database: Database, keys: readonly string[]): Promise<string[][]> {
  return new Promise((resolve) => {
    const options = { env: trustedEnv, timeout: 5 * second, maxBuffer: 16 * 1024 * 1024 };
    execFile("getent", [database, ...keys], options, (_err, out) =>
      resolve(
        out
          .split("\n")
          .filter((line) => line !== "")
          .map((line) => line.split(":")),
      ),
    );
  });
}
