import { Fault } from "#core/errors";
import { adminRoleName, localRolesOf, type User } from "#model";
import { printable } from "../text.ts";
import { type Change, differences, intended, isLocked } from "./difference.ts";
import { keyOf, type Single } from "./written.ts";

/** One thing to do to make the cluster as the files say. */
export type Step =
  | { readonly action: "create"; readonly resource: Single }
  | {
      readonly action: "update";
      readonly resource: Single;
      readonly was: Single;
      readonly changes: readonly Change[];
    }
  | { readonly action: "delete"; readonly resource: Single };

export interface Plan {
  /** In the order in which each finds what it needs: roles before those who have them, deletions last and in reverse. */
  readonly steps: readonly Step[];
  readonly unchanged: number;
  /** What the files say and is not done. */
  readonly notes: readonly string[];
}

/** A resource of a file with its place. */
export interface Wanted {
  readonly resource: Single;
  readonly place: string;
}

/**
 * What has to be done. With `prune` everything goes that the files do not have, of the kinds that they have; what is built in
 * stays, and so do accounts that a connector made. Throws `bad_parameter` for what could not be done to the end, and
 * `access_denied` where nobody would be left to administer the cluster.
 */
export function planOf(wanted: readonly Wanted[], there: readonly Single[], prune: boolean): Plan {
  const now = new Map(there.map((one) => [keyOf(one), one]));
  const notes: string[] = [];
  const steps: Step[] = [];
  for (const { resource: given } of wanted) {
    const was = now.get(keyOf(given));
    const resource = intended(given, was);
    const changes = was ? differences(was, resource) : [];
    if (!was) steps.push({ action: "create", resource });
    else if (changes.length > 0) steps.push({ action: "update", resource, was, changes });
    if (was?.kind === "user" && isLocked(was) && given.kind === "user" && !isLocked(given))
      notes.push(`${keyOf(was)} is locked, and stays so: tctl users unlock ${was.metadata.name} opens it`);
  }
  if (prune) {
    const kinds = new Set(wanted.map(({ resource }) => resource.kind));
    const kept = new Set(wanted.map(({ resource }) => keyOf(resource)));
    for (const resource of there)
      if (kinds.has(resource.kind) && !kept.has(keyOf(resource)) && !isOthers(resource))
        steps.push({ action: "delete", resource });
  }
  steps.sort((a, b) => rank(a) - rank(b));
  check(wanted, there, steps);
  const touched = steps.filter(({ action }) => action !== "delete").length;
  return { steps, unchanged: wanted.length - touched, notes };
}

/** Not the files' business: built in, or made by the logins of a connector and gone by itself. */
const isOthers = (resource: Single): boolean =>
  resource.kind === "role"
    ? resource.metadata.name === adminRoleName
    : resource.kind === "user" && resource.spec.created_by?.connector !== undefined;

function rank({ action, resource }: Step): number {
  const order = { role: 0, github: 1, oidc: 1, saml: 1, trusted_cluster: 1, user: 2 }[resource.kind];
  return action === "delete" ? 5 - order : order;
}

/** How it would be when all is done, asked before anything is. */
function check(wanted: readonly Wanted[], there: readonly Single[], steps: readonly Step[]): void {
  const after = new Map(there.map((one) => [keyOf(one), one]));
  for (const { action, resource } of steps) {
    if (action === "delete") after.delete(keyOf(resource));
    else after.set(keyOf(resource), resource);
  }
  const left = [...after.values()];
  const roles = new Set(left.flatMap((one) => (one.kind === "role" ? [one.metadata.name] : [])));
  for (const { resource, place } of wanted) {
    if (resource.kind !== "user" && resource.kind !== "trusted_cluster") continue;
    const missing = rolesOf(resource).find((role) => !roles.has(role));
    if (missing !== undefined)
      throw new Fault(
        "bad_parameter",
        `${place}: ${keyOf(resource)} ${resource.kind === "user" ? "has" : "gives"} the role ${JSON.stringify(missing)}, which is neither among the files nor left in the cluster`,
      );
  }
  const deleted = steps.filter(({ action }) => action === "delete").map(({ resource }) => resource);
  for (const role of deleted.filter(({ kind }) => kind === "role")) {
    const holder = left.find((one) => rolesOf(one).includes(role.metadata.name));
    if (holder)
      throw new Fault(
        "bad_parameter",
        `${printable(keyOf(role))} cannot be deleted: ${printable(keyOf(holder))} has it; take it off first, or keep the role among the files`,
      );
  }
  const lost = deleted.find((one) => one.kind === "user" && isAdmin(one));
  if (lost && !left.some((one) => one.kind === "user" && isAdmin(one)))
    throw new Fault(
      "access_denied",
      `this would delete ${printable(keyOf(lost))}, the last account with the role ${adminRoleName}; nothing was changed`,
    );
}

/** The roles that somebody has by it. */
function rolesOf(resource: Single): readonly string[] {
  switch (resource.kind) {
    case "role":
      return [];
    case "user":
      return resource.spec.roles;
    case "github":
      return resource.spec.teams_to_logins.flatMap(({ roles }) => roles ?? []);
    case "oidc":
      return resource.spec.claims_to_roles.flatMap(({ roles }) => roles);
    case "saml":
      return resource.spec.attributes_to_roles.flatMap(({ roles }) => roles);
    case "trusted_cluster":
      return localRolesOf(resource);
  }
}

const isAdmin = (user: User): boolean => user.spec.roles.includes(adminRoleName) && !isLocked(user);
