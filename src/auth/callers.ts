import { Fault } from "#core/errors";
import type { Fields } from "#core/log";
import {
  type Access,
  access,
  type Caller,
  type Decision,
  type Identity,
  isOfEarlierAccount,
  type Labels,
  lockOf,
  type ResourceKind,
  type SystemRole,
  type Verb,
} from "#model";
import { findRoles } from "./login.ts";
import type { Parts } from "./parts.ts";

/** What a certificate's holder may do now. */
export interface Callers {
  /**
   * Throws `access_denied` for a user of ours who is gone or locked by an administrator (AUTH-44), for one of another
   * cluster, and for one of whose roles one no longer exists.
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
  return {
    async callerOf(identity) {
      if (identity.kind === "anonymous") return { ...identity, name: "anonymous", can: () => false };
      if (identity.cluster !== parts.clusterName)
        throw new Fault("access_denied", `certificates of the cluster ${identity.cluster} are not good here`);
      if (identity.kind === "system") return systemCaller(identity);
      const user = await parts.store.users.find(identity.user);
      if (!user) throw new Fault("access_denied", `the user ${identity.user} does not exist any more`);
      if (lockOf(user, parts.clock.now()) === "administrator")
        throw new Fault("access_denied", `the account ${identity.user} is locked; ask your administrator`);
      if (identity.validFrom !== undefined && isOfEarlierAccount(user, identity.validFrom))
        throw new Fault(
          "access_denied",
          `your certificate is of an earlier account of the name ${identity.user}; log in again`,
        );
      // Roles and traits are those of the certificate; what the roles say is what they say now.
      const decide = access({
        user: identity.user,
        roles: await findRoles(parts, identity.user, identity.roles),
        traits: identity.traits,
      });
      const caller: Caller = {
        ...identity,
        name: identity.user,
        can: (verb, kind, about) => {
          const { allowed, log } = decide.can(verb, kind, about);
          // Once a call, at its door: there the resource is not known yet.
          if (about === undefined)
            for (const action of log ?? []) logAction(identity.user, action, { allowed, verb, kind });
          return allowed;
        },
      };
      decisions.set(caller, decide);
      return caller;
    },
    sees: (caller, labels) =>
      caller.kind === "system" || (decisions.get(caller)?.sees(labels).allowed ?? false),
  };
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
