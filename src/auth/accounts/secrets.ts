import type { Op } from "#backend";
import { sha256 } from "#core/digest";
import { Fault } from "#core/errors";
import type { Parts } from "../parts.ts";

/** Deletes all that somebody of this name proves to be that person with, and the count of failed tries. */
export function secretsGone({ store }: Pick<Parts, "store">, name: string): Op[] {
  return [
    store.passwords.deleting(name),
    store.otps.deleting(name),
    store.securityKeys.deleting(name),
    store.attempts.deleting(sha256(name)),
  ];
}

/** Ends all web sessions of the name. */
export function closeSessions({ store }: Pick<Parts, "store">, name: string): Promise<void> {
  return store.backend.deletePrefix(store.webSessions(name).prefix);
}

/** Ends the invitations to choose a new password for the account `name`; `all`: and those to become that user. */
export async function dropInvitations(
  { store }: Pick<Parts, "store">,
  name: string,
  which: "resets" | "all",
): Promise<void> {
  for (const { user, token, reset } of await store.signups.list()) {
    if (user !== name || (which === "resets" && !reset)) continue;
    await store.signups.delete(sha256(token)).catch((err: unknown) => {
      if (!Fault.is(err, "not_found")) throw err;
    });
  }
}

/**
 * Takes away what an earlier account of the name left behind when it ran out by itself (AUTH-43): the next one of the
 * name is somebody else. Does nothing when there is an account.
 */
export async function clearName(parts: Pick<Parts, "store">, name: string): Promise<void> {
  const { users, backend } = parts.store;
  try {
    await backend.commit(secretsGone(parts, name), [{ key: users.key(name), revision: "absent" }]);
  } catch (err) {
    if (Fault.is(err, "compare_failed")) return;
    throw err;
  }
  await dropInvitations(parts, name, "resets");
  await closeSessions(parts, name);
}
