import { hour, type Millis } from "#core/clock";
import { parseDuration } from "#core/duration";
import { implicitRole, implicitRoleName } from "./builtin.ts";
import { type LabelsMatch, labelMatcher } from "./match.ts";
import {
  type Expression,
  holds,
  type LogAction,
  parseAction,
  parsePredicate,
  type Subjects,
} from "./predicate.ts";
import type { Labels, Traits } from "./resource.ts";
import type { Conditions, ResourceKind, Role, Verb } from "./role.ts";
import { expand, isUnixName, parseTemplate } from "./template.ts";

/** The longest life of a user's certificate where no role says less (OVW-22). */
const defaultMaxSessionTtl: Millis = 30 * hour;

/** Who asks: the roles themselves, not their names, and the traits of the account or certificate. */
export interface Subject {
  readonly user: string;
  readonly roles: readonly Role[];
  readonly traits: Traits;
}

export interface Decision {
  readonly allowed: boolean;
  /** What decided, or what came nearest to allowing: for administrators and logs, not for the one who was refused. */
  readonly reason: string;
  /** The role that decided. */
  readonly role?: string;
  /** What the rule that decided wants logged (`actions`, RBAC-08). */
  readonly log?: readonly LogAction[];
}

/** Options of all roles taken together (RBAC-03, RBAC-04). */
export interface SessionOptions {
  readonly maxSessionTtl: Millis;
  readonly portForwarding: boolean;
  /** Whether some role allows it at all; for one login see `forwardsAgent`. */
  readonly agentForwarding: boolean;
  /** 0 is never. */
  readonly clientIdleTimeout: Millis;
  readonly disconnectExpiredCert: boolean;
  readonly certFormat: "standard" | "oldssh";
  /** A session that cannot be recorded must not go on. */
  readonly mustRecord: boolean;
}

/** Everything a user's roles decide. Everything is denied that no role allows, and deny beats allow (RBAC-01). */
export interface Access {
  readonly user: string;
  readonly roles: readonly string[];
  /** Logins that some role allows and none denies, sorted: the principals of a certificate. */
  readonly logins: readonly string[];
  readonly kubernetesGroups: readonly string[];
  /** Whether the user may log in as `login` on a node of these labels (RBAC-06). */
  login(login: string, labels: Labels): Decision;
  /** Whether the node belongs in the user's list: one login at least would be let in. */
  sees(labels: Labels): Decision;
  /**
   * Whether a rule allows `verb` on `kind` (RBAC-08). Without `resource` a condition that speaks of it cannot be
   * decided: the answer is then whether there may be a resource for which it is allowed.
   */
  can(verb: Verb, kind: ResourceKind, resource?: object): Decision;
  /** The roles' options; a role tightens what the cluster sets and never loosens it. */
  options(cluster?: { client_idle_timeout: Millis; disconnect_expired_cert: boolean }): SessionOptions;
  /** Some role with `forward_agent` must list the login too (RBAC-11). */
  forwardsAgent(login: string): boolean;
}

/**
 * The one place where access is decided. The implicit role is added here; a caller that cannot find one of a user's
 * roles must refuse the user, since the missing role may be the one that denies. Throws `bad_parameter` for a role
 * that `validateRole` would refuse.
 */
export function access({ user, roles, traits }: Subject): Access {
  const own = roles.filter((role) => role.metadata.name !== implicitRoleName);
  const all = [...own, implicitRole].map((role) => compile(role, traits));
  const who = { metadata: { name: user }, spec: { roles: own.map((role) => role.metadata.name), traits } };
  const deniesLogin = (login: string): Compiled | undefined =>
    all.find(({ deny }) => deny.logins.has(login) || deny.logins.has("*"));
  const without = (pick: (side: Side) => ReadonlySet<string>): string[] => {
    const denied = new Set(all.flatMap(({ deny }) => [...pick(deny)]));
    const allowed = new Set(all.flatMap(({ allow }) => [...pick(allow)]));
    return denied.has("*") ? [] : [...allowed.difference(denied)].sort();
  };
  const logins = without((side) => side.logins);

  const deniesNode = (labels: Labels): Decision | undefined => {
    const by = all.find(({ deny }) => deny.labels?.(labels).matches);
    return by && no(`role ${by.name} denies nodes of these labels`, by);
  };

  return {
    user,
    roles: own.map((role) => role.metadata.name),
    logins,
    kubernetesGroups: without((side) => side.groups),

    login(login, labels) {
      const denier = deniesLogin(login);
      if (denier) return no(`role ${denier.name} denies the login ${login}`, denier);
      const denied = deniesNode(labels);
      if (denied) return denied;
      let nearest: Decision | undefined;
      for (const role of all) {
        const listed = role.allow.logins.has(login);
        const match: LabelsMatch = role.allow.labels?.(labels) ?? { matches: true };
        if (listed && match.matches)
          return yes(`role ${role.name} allows the login ${login} on this node`, role);
        if (listed && !match.matches)
          nearest = no(`role ${role.name} allows the login ${login}, but ${match.why}`, role);
        else if (match.matches)
          nearest ??= no(`role ${role.name} matches the node, but allows ${loginsOf(role)}`, role);
      }
      return nearest ?? no(`no role of the user allows the login ${login} or matches the node`);
    },

    sees(labels) {
      const denied = deniesNode(labels);
      if (denied) return denied;
      for (const role of all) {
        const match: LabelsMatch = role.allow.labels?.(labels) ?? { matches: true };
        if (match.matches && logins.some((login) => role.allow.logins.has(login)))
          return yes(`role ${role.name} allows a login on this node`, role);
      }
      return no("no role of the user allows a login on this node");
    },

    can(verb, kind, resource) {
      const about: Subjects = { user: who, resource };
      for (const role of all) {
        for (const rule of role.deny.rules) {
          if (speaksOf(rule, deniedWith(verb), kind) && (!rule.where || holds(rule.where, about) === true))
            return no(`role ${role.name} denies ${verb} of ${kind}`, role, rule.log);
        }
      }
      let nearest: Decision | undefined;
      for (const role of all) {
        for (const rule of role.allow.rules) {
          if (!speaksOf(rule, allowedWith(verb), kind)) continue;
          if (!rule.where || holds(rule.where, about) !== false)
            return yes(`role ${role.name} allows ${verb} of ${kind}`, role, rule.log);
          nearest ??= no(
            `role ${role.name} allows ${verb} of ${kind}, but its condition does not hold`,
            role,
          );
        }
      }
      return nearest ?? no(`no role of the user allows ${verb} of ${kind}`);
    },

    options(cluster = { client_idle_timeout: 0, disconnect_expired_cert: false }) {
      const set = own.map((role) => role.spec.options);
      const spans = (texts: (string | undefined)[]): Millis[] =>
        texts.map((text) => (text ? parseDuration(text) : 0)).filter((span) => span > 0);
      const idle = spans(set.map((o) => o.client_idle_timeout));
      if (cluster.client_idle_timeout > 0) idle.push(cluster.client_idle_timeout);
      const ttls = set.map((o) => spans([o.max_session_ttl])[0] ?? defaultMaxSessionTtl);
      return {
        maxSessionTtl: Math.min(...(ttls.length > 0 ? ttls : [defaultMaxSessionTtl])),
        portForwarding: set.some((o) => o.port_forwarding ?? true),
        agentForwarding: set.some((o) => o.forward_agent ?? false),
        clientIdleTimeout: idle.length > 0 ? Math.min(...idle) : 0,
        disconnectExpiredCert:
          cluster.disconnect_expired_cert || set.some((o) => o.disconnect_expired_cert ?? false),
        certFormat: set.some((o) => o.cert_format === "oldssh") ? "oldssh" : "standard",
        mustRecord: set.some(({ record_session: r }) => (r?.ssh ?? r?.default) === "strict"),
      };
    },

    forwardsAgent: (login) =>
      !deniesLogin(login) && all.some((role) => role.forwardsAgent && role.allow.logins.has(login)),
  };
}

interface CompiledRule {
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
  readonly where: Expression | undefined;
  readonly log: Decision["log"];
}
interface Side {
  readonly logins: ReadonlySet<string>;
  readonly groups: ReadonlySet<string>;
  readonly labels: ((labels: Labels) => LabelsMatch) | undefined;
  readonly rules: readonly CompiledRule[];
}
interface Compiled {
  readonly name: string;
  readonly forwardsAgent: boolean;
  readonly allow: Side;
  readonly deny: Side;
}

function compile(role: Role, traits: Traits): Compiled {
  const side = (conditions: Conditions, acceptsLogin: (login: string) => boolean): Side => {
    const all = (texts: readonly string[] = []): string[] =>
      texts.flatMap((text) => expand(parseTemplate(text), traits));
    return {
      logins: new Set(all(conditions.logins).filter(acceptsLogin)),
      groups: new Set(all(conditions.kubernetes_groups).filter((group) => group !== "")),
      labels: conditions.node_labels && labelMatcher(conditions.node_labels, traits),
      rules: (conditions.rules ?? []).map(({ resources, verbs, where, actions }) => ({
        resources,
        verbs,
        where: where ? parsePredicate(where) : undefined,
        log: actions?.map(parseAction),
      })),
    };
  };
  return {
    name: role.metadata.name,
    forwardsAgent: role.spec.options.forward_agent ?? false,
    allow: side(role.spec.allow, isUnixName),
    // A deny keeps whatever it says: to drop an odd name here would let it in.
    deny: side(role.spec.deny, () => true),
  };
}

const speaksOf = (rule: CompiledRule, verbs: readonly string[], kind: string): boolean =>
  (rule.resources.includes("*") || rule.resources.includes(kind)) &&
  (rule.verbs.includes("*") || verbs.some((verb) => rule.verbs.includes(verb)));

/** To read all is to read what is public, so `read` also allows `readnosecrets` … */
const allowedWith = (verb: Verb): Verb[] => (verb === "readnosecrets" ? ["readnosecrets", "read"] : [verb]);
/** … and who may not read even the public part, may not read all. */
const deniedWith = (verb: Verb): Verb[] =>
  verb === "read" || verb === "readnosecrets" ? ["readnosecrets", "read"] : [verb];

const loginsOf = (role: Compiled): string =>
  role.allow.logins.size > 0 ? `only the logins ${[...role.allow.logins].sort().join(", ")}` : "no login";

const yes = (reason: string, { name }: Compiled, log?: Decision["log"]): Decision => ({
  allowed: true,
  reason,
  role: name,
  ...(log && { log }),
});
const no = (reason: string, by?: Compiled, log?: Decision["log"]): Decision => ({
  allowed: false,
  reason,
  ...(by && { role: by.name }),
  ...(log && { log }),
});
