import { Fault } from "#core/errors";
import { adminRoleName, type Caller, type Role, validateRole } from "#model";
import { record } from "../audit.ts";
import { refuseExpired, refuseOvertaken } from "../overtaken.ts";
import type { Parts } from "../parts.ts";

/** Creates or, with `force`, replaces a role. Throws `bad_parameter` for one that makes no sense. */
export async function putRole(
  parts: Parts,
  role: Role,
  force: boolean,
  caller: Caller,
  was?: Role,
): Promise<{ created: boolean }> {
  const { name } = role.metadata;
  validateRole(role);
  refuseExpired(role, parts.clock.now());
  let created = false;
  await parts.store.roles.update(name, (now) => {
    created = now === undefined;
    if (was) refuseOvertaken(was, now);
    if (now && !force) throw new Fault("already_exists", `role '${name}' already exists`);
    const verb = now ? "update" : "create";
    for (const about of now ? [now, role] : [role]) {
      if (!caller.can(verb, "role", about))
        throw new Fault("access_denied", `${caller.name} may not ${verb} the role ${JSON.stringify(name)}`);
    }
    return role;
  });
  await record(parts, { code: created ? "T4010I" : "T4011I", user: caller.name, name });
  return { created };
}

/** Throws `bad_parameter` for a role that somebody has: without it nobody could tell what it denied. */
export async function deleteRole(parts: Parts, name: string, caller: Caller): Promise<void> {
  const role = await parts.store.roles.get(name);
  if (!caller.can("delete", "role", role))
    throw new Fault("access_denied", `${caller.name} may not delete the role ${JSON.stringify(name)}`);
  if (name === adminRoleName)
    throw new Fault("bad_parameter", `the role ${adminRoleName} is built in and cannot be deleted`);
  const holders = (await parts.store.users.list()).filter(({ spec }) => spec.roles.includes(name));
  if (holders.length > 0) {
    const names = holders.slice(0, 3).map(({ metadata }) => metadata.name);
    throw new Fault(
      "bad_parameter",
      `the role ${JSON.stringify(name)} is in use by ${names.join(", ")}${holders.length > 3 ? " and others" : ""}; take it off them first`,
    );
  }
  await parts.store.roles.delete(name);
  await record(parts, { code: "T4012I", user: caller.name, name });
}

/** Throws `bad_parameter` for a role that does not exist. */
export async function requireRoles({ store }: Pick<Parts, "store">, names: readonly string[]): Promise<void> {
  for (const name of names) {
    if (!(await store.roles.find(name)))
      throw new Fault("bad_parameter", `role ${JSON.stringify(name)} does not exist; create it first`);
  }
}
