import { implicitRole, implicitRoleName } from "./builtin.ts";
import { type CompiledRole, type CompiledRule, compile, type Side } from "./compile.ts";
import { type AddressesOf, covers, type Destination, describeDestination, touches } from "./destination.ts";
import type { LabelsMatch } from "./match.ts";
import { type ClusterLimits, optionsOf, type SessionOptions } from "./options.ts";
import { holds, type LogAction, type Subjects } from "./predicate.ts";
import type { Labels, Traits } from "./resource.ts";
import type { ResourceKind, Role, Verb } from "./role.ts";

/** Who asks: the roles themselves, not their names, and the traits of the account or certificate. */
export interface Subject {
  readonly user: string;
  readonly roles: readonly Role[];
  readonly traits: Traits;
}

export interface Decision {
  readonly allowed: boolean;
  /** A rule that allows, a rule that denies, or that there is none of either: then everything is denied (RBAC-01). */
  readonly by: "allow" | "deny" | "nothing";
  /** What decided, or what came nearest to allowing: for administrators and logs, not for the one who was refused. */
  readonly reason: string;
  /** The role that decided; with `nothing` the one that came nearest. */
  readonly role?: string;
  /** The place in it: `deny.logins[0]`, `allow.rules[2]`; with `nothing` what of it was in the way. */
  readonly rule?: string;
  /** What the rule that decided wants logged (`actions`, RBAC-08). */
  readonly log?: readonly LogAction[];
  /** Of a denial by a rule: what would be decided if no rule denied. */
  otherwise?(): Decision;
}

/** Everything a user's roles decide. Everything is denied that no role allows, and deny beats allow (RBAC-01). */
export interface Access {
  readonly user: string;
  readonly roles: readonly string[];
  /** Logins that some role allows and none denies, sorted: the principals of a certificate. */
  readonly logins: readonly string[];
  readonly kubernetesGroups: readonly string[];
  /** Hosts that the roles name in `forward_to`: whoever asks `forward` finds their addresses first. */
  readonly namedHosts: readonly string[];
  /** Whether the user may log in as `login` on a node of these labels (RBAC-06). */
  login(login: string, labels: Labels): Decision;
  /** Whether the user's certificates name this login (OVW-19). */
  principal(login: string): Decision;
  /** Whether the node belongs in the user's list: one login at least would be let in. */
  sees(labels: Labels): Decision;
  /**
   * Whether a rule allows `verb` on `kind` (RBAC-08). Without `resource` a condition that speaks of it cannot be
   * decided: the answer is then whether there may be a resource for which it is allowed.
   */
  can(verb: Verb, kind: ResourceKind, resource?: object): Decision;
  /** The roles' options; a role tightens what the cluster sets and never loosens it. */
  options(cluster?: ClusterLimits): SessionOptions;
  /** Whether the user may lend the agent, logged in as `login`: some role with `forward_agent` must list it too (RBAC-11). */
  agent(login: string): Decision;
  /** Whether anything may be forwarded at all: some role's `port_forwarding` (RBAC-11). */
  forwards(): Decision;
  /**
   * Whether this may be forwarded from a node of these labels, logged in there as `login`. As soon as a role of the user lists
   * destinations in `allow`, only those are open, each where its role lets the user log in.
   */
  forward(wanted: Destination, at: ForwardedAt & { readonly labels: Labels }): Decision;
  /** Whether the proxy may connect the user to a host that is no node: as far as roles list destinations at all (RBAC-12). */
  connect(wanted: Destination, at: ForwardedAt): Decision;
}

/** Where something is forwarded. */
export interface ForwardedAt {
  readonly login: string;
  readonly addressesOf: AddressesOf;
}

/**
 * The one place where access is decided. The implicit role is added here; a caller that cannot find one of a user's
 * roles must refuse the user, since the missing role may be the one that denies. Throws `bad_parameter` for a role
 * that `validateRole` would refuse.
 */
export function access({ user, roles, traits }: Subject): Access {
  const own = roles.filter((role) => role.metadata.name !== implicitRoleName);
  const all = [...own, implicitRole].map((role) => compile(role, traits));
  const ofUser = all.slice(0, -1);
  const who = { metadata: { name: user }, spec: { roles: own.map((role) => role.metadata.name), traits } };
  const without = (pick: (side: Side) => Iterable<string>): string[] => {
    const denied = new Set(all.flatMap(({ deny }) => [...pick(deny)]));
    const allowed = new Set(all.flatMap(({ allow }) => [...pick(allow)]));
    return denied.has("*") ? [] : [...allowed.difference(denied)].sort();
  };
  const logins = without((side) => side.logins.keys());
  const deniesLogin = (login: string, otherwise: () => Decision): Decision | undefined => {
    for (const role of all) {
      const rule = role.deny.logins.get(login) ?? role.deny.logins.get("*");
      if (rule) return denies(`role ${role.name} denies the login ${login}`, role, rule, otherwise);
    }
    return undefined;
  };
  const deniesNode = (labels: Labels, otherwise: () => Decision): Decision | undefined => {
    const by = all.find(({ deny }) => deny.labels?.(labels).matches);
    return by && denies(`role ${by.name} denies nodes of these labels`, by, "deny.node_labels", otherwise);
  };

  const allowsLogin = (login: string, labels: Labels): Decision => {
    let nearest: Decision | undefined;
    for (const role of all) {
      const rule = role.allow.logins.get(login);
      const match = matchOf(role, labels);
      if (rule && match.matches)
        return allows(`role ${role.name} allows the login ${login} on this node`, role, rule);
      if (rule && !match.matches && nearest?.rule !== "allow.node_labels")
        nearest = nothing(
          `role ${role.name} allows the login ${login}, but ${match.why}`,
          role,
          "allow.node_labels",
        );
      else if (!rule && match.matches)
        nearest ??= nothing(
          `role ${role.name} matches the node, but allows ${loginsOf(role)}`,
          role,
          "allow.logins",
        );
    }
    return nearest ?? nothing(`no role of the user allows the login ${login} or matches the node`);
  };

  const allowsSight = (labels: Labels): Decision => {
    for (const role of all) {
      if (!matchOf(role, labels).matches) continue;
      const login = logins.find((one) => role.allow.logins.has(one));
      if (login !== undefined)
        return allows(
          `role ${role.name} allows a login on this node`,
          role,
          role.allow.logins.get(login) ?? "",
        );
    }
    return nothing("no role of the user allows a login on this node");
  };

  const allowsAgent = (login: string): Decision => {
    let nearest: Decision | undefined;
    for (const role of ofUser) {
      const rule = role.allow.logins.get(login);
      if (rule && role.forwardsAgent)
        return allows(
          `role ${role.name} forwards agents for the login ${login}`,
          role,
          "options.forward_agent",
        );
      if (rule && nearest?.rule !== "options.forward_agent")
        nearest = nothing(
          `role ${role.name} allows the login ${login}, but its forward_agent is not set`,
          role,
          "options.forward_agent",
        );
      else if (!rule && role.forwardsAgent)
        nearest ??= nothing(
          `role ${role.name} forwards agents, but allows ${loginsOf(role)}`,
          role,
          "allow.logins",
        );
    }
    return nearest ?? nothing(`no role of the user forwards agents`);
  };

  const forwards = (): Decision => {
    const by = ofUser.find((role) => role.forwardsPorts);
    if (by) return allows(`role ${by.name} allows port forwarding`, by, "options.port_forwarding");
    const [nearest] = ofUser;
    if (!nearest) return nothing("the user has no role that allows port forwarding");
    return nothing(
      `role ${nearest.name} has port_forwarding switched off, and no other role of the user has it on`,
      nearest,
      "options.port_forwarding",
    );
  };

  const allowsDestination = (
    wanted: Destination,
    { login, labels, addressesOf }: ForwardedAt & { readonly labels?: Labels },
  ): Decision => {
    const binding = ofUser.filter(({ allow }) => allow.destinations);
    if (binding.length === 0) {
      return labels
        ? forwards()
        : { allowed: true, by: "allow", reason: "no role of the user lists destinations" };
    }
    const what = describeDestination(wanted);
    let nearest: Decision | undefined;
    for (const role of binding) {
      const i = role.allow.destinations?.findIndex((entry) => covers(entry, wanted, addressesOf)) ?? -1;
      if (i < 0) {
        nearest ??= nothing(`role ${role.name} does not list ${what}`, role, "allow.forward_to");
        continue;
      }
      const rule = `allow.forward_to[${i}]`;
      const match = labels ? matchOf(role, labels) : { matches: true as const };
      const misses = !role.forwardsPorts
        ? "its port_forwarding is switched off"
        : !role.allow.logins.has(login)
          ? `with ${loginsOf(role)}`
          : match.matches
            ? undefined
            : match.why;
      if (misses === undefined) return allows(`role ${role.name} allows ${what}`, role, rule);
      if (!nearest?.rule?.startsWith("allow.forward_to["))
        nearest = nothing(`role ${role.name} allows ${what}, but ${misses}`, role, rule);
    }
    return nearest as Decision;
  };

  const deniesDestination = (
    wanted: Destination,
    { addressesOf }: ForwardedAt,
    otherwise: () => Decision,
  ): Decision | undefined => {
    for (const role of all) {
      const i = role.deny.destinations?.findIndex((entry) => touches(entry, wanted, addressesOf)) ?? -1;
      if (i < 0) continue;
      const reason = `role ${role.name} denies ${describeDestination(wanted)}`;
      return denies(reason, role, `deny.forward_to[${i}]`, otherwise);
    }
    return undefined;
  };

  const allowsRule = (verb: Verb, kind: ResourceKind, about: Subjects): Decision => {
    let nearest: Decision | undefined;
    for (const role of all) {
      for (const [i, rule] of role.allow.rules.entries()) {
        if (!speaksOf(rule, allowedWith(verb), kind)) continue;
        const place = `allow.rules[${i}]`;
        const reason = `role ${role.name} allows ${verb} of ${kind}`;
        if (!rule.where || holds(rule.where, about) !== false) return allows(reason, role, place, rule.log);
        nearest ??= nothing(`${reason}, but its condition does not hold`, role, `${place}.where`);
      }
    }
    return nearest ?? nothing(`no role of the user allows ${verb} of ${kind}`);
  };

  return {
    user,
    roles: own.map((role) => role.metadata.name),
    logins,
    kubernetesGroups: without((side) => side.groups),
    namedHosts: [...new Set(ofUser.flatMap(({ allow, deny }) => [...hostsOf(allow), ...hostsOf(deny)]))],

    login(login, labels) {
      const otherwise = () => allowsLogin(login, labels);
      return deniesLogin(login, otherwise) ?? deniesNode(labels, otherwise) ?? otherwise();
    },

    principal(login) {
      const otherwise = (): Decision => {
        const by = all.find((role) => role.allow.logins.has(login));
        if (by)
          return allows(`role ${by.name} allows the login ${login}`, by, by.allow.logins.get(login) ?? "");
        return nothing(`no role of the user allows the login ${login}`);
      };
      return deniesLogin(login, otherwise) ?? otherwise();
    },

    sees(labels) {
      const otherwise = () => allowsSight(labels);
      return deniesNode(labels, otherwise) ?? otherwise();
    },

    can(verb, kind, resource) {
      const about: Subjects = { user: who, resource };
      const otherwise = () => allowsRule(verb, kind, about);
      for (const role of all) {
        for (const [i, rule] of role.deny.rules.entries()) {
          if (!speaksOf(rule, deniedWith(verb), kind)) continue;
          if (rule.where && holds(rule.where, about) !== true) continue;
          return denies(
            `role ${role.name} denies ${verb} of ${kind}`,
            role,
            `deny.rules[${i}]`,
            otherwise,
            rule.log,
          );
        }
      }
      return otherwise();
    },

    options: (cluster) => optionsOf(own, cluster),

    agent(login) {
      const otherwise = () => allowsAgent(login);
      return deniesLogin(login, otherwise) ?? otherwise();
    },

    forwards,

    forward(wanted, at) {
      const enabled = forwards();
      if (!enabled.allowed) return enabled;
      const otherwise = () => allowsDestination(wanted, at);
      return deniesDestination(wanted, at, otherwise) ?? otherwise();
    },

    connect(wanted, { login, addressesOf }) {
      const at = { login, addressesOf };
      const otherwise = () => allowsDestination(wanted, at);
      return deniesDestination(wanted, at, otherwise) ?? otherwise();
    },
  };
}

const matchOf = (role: CompiledRole, labels: Labels): LabelsMatch =>
  role.allow.labels?.(labels) ?? { matches: true };

const hostsOf = ({ destinations = [] }: Side): string[] =>
  destinations.flatMap((entry) => ("host" in entry && "name" in entry.host ? [entry.host.name] : []));

const speaksOf = (rule: CompiledRule, verbs: readonly string[], kind: string): boolean =>
  (rule.resources.includes("*") || rule.resources.includes(kind)) &&
  (rule.verbs.includes("*") || verbs.some((verb) => rule.verbs.includes(verb)));

/** To read all is to read what is public, so `read` also allows `readnosecrets` … */
const allowedWith = (verb: Verb): Verb[] => (verb === "readnosecrets" ? ["readnosecrets", "read"] : [verb]);
/** … and who may not read even the public part, may not read all. */
const deniedWith = (verb: Verb): Verb[] =>
  verb === "read" || verb === "readnosecrets" ? ["readnosecrets", "read"] : [verb];

const loginsOf = (role: CompiledRole): string =>
  role.allow.logins.size > 0
    ? `only the logins ${[...role.allow.logins.keys()].sort().join(", ")}`
    : "no login";

const allows = (reason: string, { name }: CompiledRole, rule: string, log?: Decision["log"]): Decision => ({
  allowed: true,
  by: "allow",
  reason,
  role: name,
  rule,
  ...(log && { log }),
});
const denies = (
  reason: string,
  { name }: CompiledRole,
  rule: string,
  otherwise: () => Decision,
  log?: Decision["log"],
): Decision => ({ allowed: false, by: "deny", reason, role: name, rule, otherwise, ...(log && { log }) });
const nothing = (reason: string, nearest?: CompiledRole, rule?: string): Decision => ({
  allowed: false,
  by: "nothing",
  reason,
  ...(nearest && { role: nearest.name }),
  ...(rule !== undefined && { rule }),
});
