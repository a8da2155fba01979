import type { Revision } from "#backend";
import type { Millis } from "#core/clock";
import { Fault, notFound } from "#core/errors";
import { type Caller, lockOf, type User } from "#model";
import { record } from "../audit.ts";
import type { Logins } from "../logins/login.ts";
import { newToken, type Parts, rfc3339 } from "../parts.ts";
import { checkTtl, webAddress } from "./invitation.ts";
import { closeSessions, dropInvitations, secretsGone } from "./secrets.ts";

/**
 * Lets a person choose a new password and a new second factor. The old ones and all web sessions are void from now on, not
 * from when the new ones are chosen: whoever asks for this has lost them, perhaps to somebody. An earlier such
 * invitation is void too. Throws `not_found`, and `access_denied` for who logs in elsewhere.
 */
export async function createReset(
  parts: Parts,
  logins: Logins,
  { name, ttl }: { readonly name: string; readonly ttl: Millis },
  caller: Caller,
): Promise<{ token: string; expires: number; url: string }> {
  const { store, clock } = parts;
  await logins.preference();
  checkTtl(ttl);
  const found = await store.users.findVersioned(name);
  // Who may change only some users learns nothing of the others.
  if (found ? !caller.can("update", "user", found.value) : !caller.can("update", "user"))
    throw new Fault("access_denied", `${caller.name} may not update the user ${JSON.stringify(name)}`);
  if (!found) throw notFound("user", name);
  const by = found.value.spec.created_by?.connector;
  if (by) throw new Fault("bad_parameter", `${name} logs in by ${by.type}, where the password is kept`);
  await dropInvitations(parts, name, "resets");
  const token = newToken(parts);
  const expires = clock.now() + ttl;
  const invitation = {
    ...{ token, user: name, roles: [], traits: {}, expires },
    ...{ createdBy: caller.name, reset: true as const },
  };
  const account = store.users.putting(found.value);
  // Written anew, the account is proof for whoever deletes it at this moment, or has just proved the old password.
  try {
    await store.backend.commit(
      [account, store.signups.putting(invitation), ...secretsGone(parts, name)],
      [{ key: account.item.key, revision: found.revision }],
    );
  } catch (err) {
    throw Fault.is(err, "compare_failed") ? changedMeanwhile(name, err) : err;
  }
  await closeSessions(parts, name);
  await record(parts, { code: "T4003I", user: caller.name, name, reset: true, expires: rfc3339(expires) });
  return { token, expires, url: `https://${await webAddress(parts)}/web/reset/${token}` };
}

/**
 * The account that a reset is for, free of a lock by failed logins. Throws `not_found` when it was deleted meanwhile and
 * `access_denied` when an administrator locked it.
 */
export async function accountToReset(
  { store, clock }: Pick<Parts, "store" | "clock">,
  name: string,
): Promise<{ user: User; revision: Revision } | undefined> {
  const found = await store.users.findVersioned(name);
  if (!found) return undefined;
  const { value: user, revision } = found;
  const lock = lockOf(user, clock.now());
  if (lock === "administrator")
    throw new Fault("access_denied", `the account ${name} is locked; ask your administrator`);
  return { user: { ...user, spec: { ...user.spec, status: { is_locked: false } } }, revision };
}

export const changedMeanwhile = (name: string, cause: unknown): Fault =>
  new Fault("compare_failed", `the account ${name} was changed at the same moment; try again`, { cause });
