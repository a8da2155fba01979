import { Fault } from "#core/errors";
import type { Fields } from "#core/log";
import {
  type Access,
  access,
  accountProblem,
  type Caller,
  type Decision,
  type Identity,
  type Labels,
  type ResourceKind,
  rolesHere,
  type SystemRole,
  type Verb,
} from "#model";
import type { Parts } from "../parts.ts";
import { findRoles } from "./person.ts";

/** What a certificate's holder may do now. */
export interface Callers {
  /**
   * Throws `access_denied` for a user of ours who is gone or locked by an administrator (AUTH-44), for one of another
   * cluster that is not trusted or whose roles are nothing here, and for one of whose roles one no longer exists.
   */
  callerOf(identity: Identity): Promise<Caller>;
  /** Whether the caller may know of a node with these labels. */
  sees(caller: Caller, labels: Labels): boolean;
}

export function callers(parts: Parts): Callers {
  /** The decisions behind callers that are people: what `can` does not say. */
  const decisions = new WeakMap<Caller, Access>();
  const logAction = (user: string, { level, message }: LogAction, fields: Fields): void => {
    const log = parts.log.with({ component: "role", user });
    if (level === "warning") log.warn(message, fields);
    else log[level](message, fields);
  };
  const remember = <P extends People>(identity: P, name: string, decide: Access): Caller => {
    let why: string | undefined;
    const caller: Caller = {
      ...identity,
      name,
      why: () => why,
      can: (verb, kind, about) => {
        const { allowed, log, reason } = decide.can(verb, kind, about);
        if (!allowed) why = reason;
        // Once a call, at its door: there the resource is not known yet.
        if (about === undefined)
          for (const action of log ?? []) logAction(name, action, { allowed, verb, kind });
        return allowed;
      },
    };
    decisions.set(caller, decide);
    return caller;
  };
  return {
    async callerOf(identity) {
      if (identity.kind === "anonymous") return { ...identity, name: "anonymous", can: () => false };
      if (identity.kind === "remote_user") {
        const name = `${identity.user}@${identity.cluster}`;
        return remember(identity, name, await accessOfGuest(parts, identity, name));
      }
      if (identity.cluster !== parts.clusterName)
        throw new Fault("access_denied", `certificates of the cluster ${identity.cluster} are not good here`);
      if (identity.kind === "system") return systemCaller(identity);
      const user = await parts.store.users.find(identity.user);
      if (!user) throw new Fault("access_denied", `the user ${identity.user} does not exist any more`);
      const problem = accountProblem(user, parts.clock.now(), identity.validFrom);
      if (problem !== undefined) throw new Fault("access_denied", `${problem}; ask your administrator`);
      // Roles and traits are those of the certificate; what the roles say is what they say now.
      const roles = await findRoles(parts, identity.user, identity.roles);
      const decide = access({ user: identity.user, roles, traits: identity.traits });
      return remember(identity, identity.user, decide);
    },
    sees: (caller, labels) =>
      caller.kind === "system" || (decisions.get(caller)?.sees(labels).allowed ?? false),
  };
}

type Guest = Extract<Identity, { kind: "remote_user" }>;
type People = Guest | Extract<Identity, { kind: "user" }>;

/** What the mapping of now lets somebody of another cluster do (SSH-04); a namesake's record here is a namesake's (S32). */
async function accessOfGuest(parts: Parts, { cluster, roles, logins }: Guest, name: string): Promise<Access> {
  const link = await parts.store.trustedClusters.find(cluster);
  if (!link?.resource.spec.enabled)
    throw new Fault("access_denied", `the cluster ${cluster} is not trusted here`);
  const here = await findRoles(parts, name, rolesHere(link.resource, roles));
  return access({ user: name, roles: here, traits: { logins: [...logins] } });
}

type LogAction = NonNullable<Decision["log"]>[number];
type Permissions = Partial<Record<ResourceKind, readonly Verb[]>>;
const look: readonly Verb[] = ["list", "read"];
const lookAtPublic: readonly Verb[] = ["list", "readnosecrets"];

/** What machines may do beside speaking for themselves, which the contract decides (AUTH-03). */
const ofMembers: Permissions = {
  user: look,
  role: look,
  node: look,
  proxy: look,
  auth_server: look,
  cluster_config: look,
  cluster_name: look,
  cluster_auth_preference: look,
  namespace: look,
  cert_authority: lookAtPublic,
};
const permissions: Record<SystemRole, Permissions | "everything"> = {
  Admin: "everything",
  Auth: "everything",
  Proxy: {
    ...ofMembers,
    session: look,
    event: look,
    tunnel: look,
    remote_cluster: look,
    auth_connector: lookAtPublic,
  },
  Node: ofMembers,
};

function systemCaller(identity: Extract<Identity, { kind: "system" }>): Caller {
  const { role, hostId, cluster } = identity;
  const allowed = permissions[role];
  return {
    ...identity,
    name: role === "Admin" ? "builtin-Admin" : `${hostId}.${cluster}`,
    can: (verb, kind) => allowed === "everything" || (allowed[kind]?.includes(verb) ?? false),
  };
}
