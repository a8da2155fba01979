import type { Condition } from "#backend";
import type { Millis } from "#core/clock";
import { Fault } from "#core/errors";
import { type Access, access, type Role, sourcesFor, type User } from "#model";
import type { Parts } from "../parts.ts";

/** Somebody whose credentials were right, and what the roles of now let them do. */
export interface Person {
  readonly user: User;
  readonly access: Access;
  /** That the password which was checked is still the one of now: who resets it meanwhile shall have had the last word. */
  readonly proof?: Condition;
  /** Where alone what the person gets is good; undefined: anywhere. */
  readonly sources: readonly string[] | undefined;
}

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

/** When the account goes away by itself, if it does. */
export function accountEnd({ metadata, spec }: User): Millis | undefined {
  return earlier(timeOf(metadata.expires), timeOf(spec.expires));
}

const timeOf = (text: string | undefined): Millis | undefined => {
  const time = text === undefined ? Number.NaN : Date.parse(text);
  return time > 0 ? time : undefined;
};
export const earlier = (a: Millis | undefined, b: Millis | undefined): Millis | undefined =>
  a === undefined ? b : b === undefined ? a : Math.min(a, b);
