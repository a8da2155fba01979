import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { type Access, access, type Decision } from "./access.ts";
import type { Labels, Traits } from "./resource.ts";
import type { Conditions, ResourceKind, Role, Rule, Verb } from "./role.ts";

/*
 * Enforcement against a plain reading of the rules' words (RBAC-01, 06, 07, 08, 11), which shares no code with it: many random
 * policies and requests, among few enough names that they meet.
 */

const runs = 100_000;

interface Policy {
  readonly roles: readonly Role[];
  readonly traits: Traits;
}
interface Place {
  readonly login: string;
  readonly labels: Labels;
}
type Request =
  | ({ readonly kind: "login" | "agent" } & Place)
  | ({
      readonly kind: "forward";
      readonly host: string;
      readonly address: string;
      readonly port: number;
    } & Place)
  | {
      readonly kind: "rule";
      readonly verb: Verb;
      readonly resource: ResourceKind;
      readonly name: string | undefined;
    };

// --- What policies and requests are made of.

/** Mulberry32: the same policies each time. */
function seeded(seed: number) {
  let state = seed;
  const below = (n: number): number => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * n);
  };
  const one = <T>(from: readonly T[]): T => from[below(from.length)] as T;
  const some = <T>(from: readonly T[], most: number): T[] =>
    Array.from({ length: below(most + 1) }, () => one(from));
  const maybe = <T>(chance: number, make: () => T): T | undefined =>
    below(100) < chance ? make() : undefined;
  return { below, one, some, maybe };
}
type Dice = ReturnType<typeof seeded>;

const users = ["joe", "ann"];
const logins = ["root", "joe", "db", "svc-db"];
const loginTexts = [
  "root",
  "joe",
  "{{internal.logins}}",
  "svc-{{external.team}}",
  "{{external.team}}",
  "{{external.none}}",
];
const labelKeys = ["env", "tier", "{{external.key}}", "{{external.none}}"];
const labelValues = [
  "prod",
  "dev",
  "*",
  "p*d",
  "*e*",
  "^(prod|dev)$",
  "^d.*$",
  "{{external.team}}",
  "{{external.team}}*",
];
const verbs: readonly Verb[] = ["list", "read", "readnosecrets", "delete"];
const kinds: readonly ResourceKind[] = ["user", "node", "cert_authority"];
const places = ["10.0.0.1:22", "10.0.0.0/8:*", "db:22", "*:22", "web:*"];
const hosts: Readonly<Record<string, readonly string[]>> = {
  db: ["10.0.0.1"],
  web: ["10.0.0.2", "192.0.2.1"],
};

/** Conditions, as they are written and as they are meant. */
const conditions: readonly [
  string,
  (user: string, traits: Traits, resource: string | undefined) => boolean | undefined,
][] = [
  [
    "equals(resource.metadata.name, user.metadata.name)",
    (user, _, it) => (it === undefined ? undefined : it === user),
  ],
  [
    "!equals(user.metadata.name, resource.metadata.name)",
    (user, _, it) => (it === undefined ? undefined : it !== user),
  ],
  ['contains(user.spec.traits["team"], "db")', (_, traits) => traits.team?.includes("db") ?? false],
  [
    'equals(user.metadata.name, "ann") || equals(resource.metadata.name, "joe")',
    (user, _, it) => (user === "ann" ? true : it === undefined ? undefined : it === "joe"),
  ],
];

function randomPolicy(dice: Dice): Policy {
  const { one, some, maybe, below } = dice;
  const rule = (): Rule => ({
    resources: [one([...kinds, "*"])],
    verbs: [one([...verbs, "*" as const])],
    where: maybe(40, () => one(conditions)[0]),
  });
  const labels = (): Record<string, string[]> =>
    below(5) === 0
      ? { "*": ["*"] }
      : Object.fromEntries(
          some(labelKeys, 2).map((key) => [key, [one(labelValues), ...some(labelValues, 1)]]),
        );
  const side = (chance: number, texts: readonly string[]): Conditions => ({
    logins: maybe(chance, () => some(texts, 2)),
    node_labels: maybe(chance / 1.5, labels),
    forward_to: maybe(chance / 3, () => some(places, 2)),
    rules: maybe(chance, () => [rule(), ...(below(2) === 0 ? [rule()] : [])]),
  });
  const role = (name: string): Role => ({
    kind: "role",
    version: "v3",
    metadata: { name },
    spec: {
      options: {
        forward_agent: maybe(50, () => below(2) === 0),
        port_forwarding: maybe(40, () => below(3) === 0),
      },
      allow: side(85, loginTexts),
      deny: side(20, [...loginTexts, "*"]),
    },
  });
  return {
    roles: ["a", "b", "c"].slice(0, below(4)).map(role),
    traits: {
      ...maybe(60, () => ({ logins: [one(["root", "joe", "-o", ""]), "joe"] })),
      ...maybe(60, () => ({ team: [one(["db", "dev", "*"])] })),
      ...maybe(40, () => ({ key: [one(["env", "tier"])] })),
    },
  };
}

function randomRequest({ one, maybe, below }: Dice): Request {
  const labels: Labels = {
    ...maybe(80, () => ({ env: one(["prod", "dev", "pd"]) })),
    ...maybe(50, () => ({ tier: one(["db", "dev"]) })),
  };
  const place = { login: one(logins), labels };
  switch (below(5)) {
    case 0:
      return { kind: "agent", ...place };
    case 1: {
      const host = one(["db", "web", "10.0.0.1", "192.0.2.9"]);
      return { kind: "forward", host, address: hosts[host]?.at(-1) ?? host, port: one([22, 80]), ...place };
    }
    case 2:
    case 3:
      return { kind: "rule", verb: one(verbs), resource: one(kinds), name: maybe(70, () => one(users)) };
    default:
      return { kind: "login", ...place };
  }
}

// --- The plain reading.

/** RBAC-07: a variable stands for each value; without the trait the entry is dropped. */
function filledIn(text: string, traits: Traits): string[] {
  const [whole, name = ""] = /\{\{(?:internal|external)\.(\w+)\}\}/.exec(text) ?? [];
  if (whole === undefined) return [text];
  return (traits[name] ?? []).filter((value) => value !== "").map((value) => text.replace(whole, value));
}

/** RBAC-06: a literal, a glob, or `^regex$`; what comes of a trait is literal. */
function valueMatches(pattern: string, value: string, traits: Traits): boolean {
  if (pattern.startsWith("^")) return new RegExp(pattern).test(value);
  const variable = "{{external.team}}";
  const [before = "", after] = pattern.split(variable);
  const inMiddle = after === undefined ? [""] : (traits.team ?? []);
  const glob = (text: string): string => text.replaceAll("*", ".*");
  return inMiddle.some((literal) =>
    new RegExp(`^${glob(before)}${literal.replace("*", "\\*")}${glob(after ?? "")}$`).test(value),
  );
}

/** RBAC-06: every key, one of its values. */
function labelsMatch(selector: Conditions["node_labels"], labels: Labels, traits: Traits): boolean {
  const entries = Object.entries(selector ?? {});
  if (entries.length === 0) return false;
  return entries.every(([key, patterns]) => {
    if (key === "*") return true;
    const keys = filledIn(key, traits);
    return (
      keys.length > 0 &&
      keys.every((name) => {
        const value = labels[name];
        return value !== undefined && patterns.some((pattern) => valueMatches(pattern, value, traits));
      })
    );
  });
}

const isUnix = (name: string): boolean => /^[a-z][a-z-]*$/.test(name);
const lists = (side: Conditions, login: string, traits: Traits): boolean =>
  (side.logins ?? []).flatMap((text) => filledIn(text, traits)).includes(login);
const deniesLogin = ({ spec: { deny } }: Role, login: string, traits: Traits): boolean =>
  lists(deny, login, traits) || lists(deny, "*", traits);
const allowsHere = ({ spec: { allow } }: Role, { login, labels }: Place, traits: Traits): boolean =>
  isUnix(login) &&
  lists(allow, login, traits) &&
  (allow.node_labels === undefined || labelsMatch(allow.node_labels, labels, traits));

function placeMatches(
  entry: string,
  { host, address, port }: { host: string; address: string; port: number },
): boolean {
  const [where = "", on] = entry.split(":");
  if (on !== "*" && on !== String(port)) return false;
  if (where === "*") return true;
  if (where === "10.0.0.0/8") return address.startsWith("10.");
  return where === host || where === address || (hosts[where]?.includes(address) ?? false);
}

function plainly({ roles, traits }: Policy, user: string, request: Request): boolean {
  switch (request.kind) {
    case "login":
      return (
        !roles.some((role) => deniesLogin(role, request.login, traits)) &&
        !roles.some((role) => labelsMatch(role.spec.deny.node_labels, request.labels, traits)) &&
        roles.some((role) => allowsHere(role, request, traits))
      );
    case "agent":
      return (
        !roles.some((role) => deniesLogin(role, request.login, traits)) &&
        roles.some(
          ({ spec }) => spec.options.forward_agent === true && lists(spec.allow, request.login, traits),
        )
      );
    case "forward": {
      if (!roles.some(({ spec }) => spec.options.port_forwarding ?? true)) return false;
      const among = (list: readonly string[] | undefined): boolean =>
        (list ?? []).some((entry) => placeMatches(entry, request));
      if (roles.some(({ spec }) => among(spec.deny.forward_to))) return false;
      if (roles.every(({ spec }) => spec.allow.forward_to === undefined)) return true;
      return roles.some(
        (role) =>
          among(role.spec.allow.forward_to) &&
          (role.spec.options.port_forwarding ?? true) &&
          allowsHere(role, request, traits),
      );
    }
    case "rule": {
      const { verb, resource, name } = request;
      const reading = verb === "read" || verb === "readnosecrets";
      const meant = ({ where }: Rule): boolean | undefined =>
        where === undefined || conditions.find(([text]) => text === where)?.[1](user, traits, name);
      const about = (rule: Rule, words: readonly string[]): boolean =>
        rule.resources.some((word) => word === "*" || word === resource) &&
        rule.verbs.some((word) => word === "*" || words.includes(word));
      const denying = reading ? ["read", "readnosecrets"] : [verb];
      if (
        roles.some(({ spec }) =>
          spec.deny.rules?.some((rule) => about(rule, denying) && meant(rule) === true),
        )
      )
        return false;
      const allowing = verb === "readnosecrets" ? ["read", "readnosecrets"] : [verb];
      // What everybody may read (RBAC-01).
      if (resource === "node" && (verb === "list" || reading)) return true;
      if (resource === "cert_authority" && (verb === "list" || verb === "readnosecrets")) return true;
      return roles.some(({ spec }) =>
        spec.allow.rules?.some((rule) => about(rule, allowing) && meant(rule) !== false),
      );
    }
  }
}

// --- What the explanation must be good for.

function decide(decider: Access, request: Request): Decision {
  switch (request.kind) {
    case "login":
      return decider.login(request.login, request.labels);
    case "agent":
      return decider.agent(request.login);
    case "forward": {
      const { host, address, port, login, labels } = request;
      return decider.forward(
        { kind: "connect", host, address, port },
        { login, labels, addressesOf: (name) => hosts[name] },
      );
    }
    case "rule":
      return decider.can(
        request.verb,
        request.resource,
        request.name === undefined ? undefined : { metadata: { name: request.name } },
      );
  }
}

/** The policy with one role changed. */
function changed(policy: Policy, name: string, change: (spec: Role["spec"]) => Role["spec"]): Policy {
  return {
    ...policy,
    roles: policy.roles.map((role) =>
      role.metadata.name === name ? { ...role, spec: change(role.spec) } : role,
    ),
  };
}

/** The policy without the rule at `place`; undefined for a rule that nobody can take out. */
function without(policy: Policy, name: string, place: string): Policy | undefined {
  if (!policy.roles.some(({ metadata }) => metadata.name === name)) return undefined;
  const [, side = "", field = "", index] = /^(allow|deny|options)\.(\w+)(?:\[(\d+)\])?$/.exec(place) ?? [];
  return changed(policy, name, (spec) => {
    if (side === "options") return { ...spec, options: { ...spec.options, [field]: false } };
    const conditions = spec[side as "allow" | "deny"];
    const held = conditions[field as keyof Conditions];
    const left = Array.isArray(held) ? held.filter((_, i) => i !== Number(index)) : undefined;
    return { ...spec, [side]: { ...conditions, [field]: left } };
  });
}

/** The policy with the entry at `place` as the only one of its kind; undefined for a rule that is no entry of a list. */
function only(policy: Policy, name: string, place: string): Policy | undefined {
  const [, side = "", field = "", index] = /^(allow|deny)\.(\w+)\[(\d+)\]$/.exec(place) ?? [];
  if (index === undefined || !policy.roles.some(({ metadata }) => metadata.name === name)) return undefined;
  return {
    ...policy,
    roles: policy.roles.map((role) => {
      const conditions = role.spec[side as "allow" | "deny"];
      const held = conditions[field as keyof Conditions];
      if (!Array.isArray(held)) return role;
      const kept = role.metadata.name === name ? [held[Number(index)]] : [];
      return { ...role, spec: { ...role.spec, [side]: { ...conditions, [field]: kept } } };
    }),
  };
}

/** The policy with what was in the way, by the decision's own word, out of it. */
function mended(policy: Policy, name: string, place: string, request: Request): Policy {
  return changed(policy, name, (spec) => {
    const { allow, options } = spec;
    const where = /^allow\.rules\[(\d+)\]\.where$/.exec(place)?.[1];
    if (where !== undefined) {
      const rules = allow.rules?.map((rule, i) =>
        i === Number(where) ? { ...rule, where: undefined } : rule,
      );
      return { ...spec, allow: { ...allow, rules } };
    }
    if (place.startsWith("options."))
      return { ...spec, options: { ...options, [place.slice("options.".length)]: true } };
    const login = "login" in request ? request.login : "";
    const entering = { logins: [...(allow.logins ?? []), login] };
    if (place === "allow.logins") return { ...spec, allow: { ...allow, ...entering } };
    if (place === "allow.node_labels") return { ...spec, allow: { ...allow, node_labels: { "*": ["*"] } } };
    const address = request.kind === "forward" ? `${request.address}:${request.port}` : "";
    const all = {
      ...allow,
      ...entering,
      node_labels: { "*": ["*"] },
      forward_to: [...(allow.forward_to ?? []), address],
    };
    return { ...spec, options: { ...options, port_forwarding: true }, allow: all };
  });
}

suite(`S48: ${runs} random policies and requests`, () => {
  const dice = seeded(20_190_704);
  const count = { allowed: 0, denied: 0, allow: 0, deny: 0, nothing: 0, nearest: 0 };
  let first: unknown;

  test("the decision is that of a plain reading, and the rule that it names is what decides", () => {
    for (let run = 0; run < runs; run++) {
      const policy = randomPolicy(dice);
      const user = dice.one(users);
      const request = randomRequest(dice);
      first = { run, policy, user, request };
      const deciding = (of: Policy): Decision => decide(access({ user, ...of }), request);
      const decision = deciding(policy);
      const told = (): string => JSON.stringify({ ...(first as object), decision });

      if (decision.allowed !== plainly(policy, user, request)) assert.fail(`decided otherwise: ${told()}`);
      if (decision.allowed !== (decision.by === "allow")) assert.fail(`by ${decision.by}: ${told()}`);
      count[decision.allowed ? "allowed" : "denied"]++;
      count[decision.by]++;

      // The rule that is named is enough by itself.
      const alone = only(policy, decision.role ?? "", decision.rule ?? "");
      if (decision.by !== "nothing" && alone && deciding(alone).by !== decision.by)
        assert.fail(`${decision.rule} alone does not decide: ${told()}`);

      // Rules that decide are taken out one after another; when none is left, it is decided otherwise.
      let now = decision;
      let left: Policy | undefined = policy;
      for (let step = 0; now.by === decision.by && now.by !== "nothing"; step++) {
        if (now.role === undefined || now.rule === undefined || step > 20) assert.fail(`no end: ${told()}`);
        left = without(left, now.role, now.rule);
        if (!left) break;
        const before = JSON.stringify([now.role, now.rule, now.reason]);
        now = deciding(left);
        if (now.allowed !== plainly(left, user, request)) assert.fail(`without ${before}: ${told()}`);
      }
      if (decision.by === "deny") {
        const otherwise = decision.otherwise?.();
        if (otherwise?.allowed !== now.allowed || otherwise.reason !== now.reason)
          assert.fail(`otherwise is ${otherwise?.reason}, not ${now.reason}: ${told()}`);
      }
      // What came nearest was in the way.
      if (decision.by === "nothing" && decision.role !== undefined && decision.rule !== undefined) {
        count.nearest++;
        const after = deciding(mended(policy, decision.role, decision.rule, request));
        const isMended = after.allowed || after.by === "deny" || after.reason !== decision.reason;
        const complete = request.kind !== "forward" || decision.rule !== "options.port_forwarding";
        if (!isMended || (complete && !after.allowed))
          assert.fail(`mending ${decision.rule} left ${after.reason}: ${told()}`);
      }
    }
  });

  test("and they were no easy ones", () => {
    for (const [what, times] of Object.entries(count)) assert.ok(times > runs / 20, `${what}: ${times}`);
  });
});
