import { type DestinationEntry, parseDestination } from "./destination.ts";
import { type LabelsMatch, labelMatcher } from "./match.ts";
import { type Expression, type LogAction, parseAction, parsePredicate } from "./predicate.ts";
import type { Traits } from "./resource.ts";
import type { Conditions, Role } from "./role.ts";
import { expand, isUnixName, parseTemplate } from "./template.ts";

export interface CompiledRule {
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
  readonly where: Expression | undefined;
  readonly log: readonly LogAction[] | undefined;
}

/** One side of a role, for one user. */
export interface Side {
  /** Each login with the place that lists it: `allow.logins[1]`. */
  readonly logins: ReadonlyMap<string, string>;
  readonly groups: ReadonlySet<string>;
  readonly labels: ((labels: Labels) => LabelsMatch) | undefined;
  readonly destinations: readonly DestinationEntry[] | undefined;
  readonly rules: readonly CompiledRule[];
}
type Labels = Parameters<ReturnType<typeof labelMatcher>>[0];

/** A role as it is for one user: variables filled in, patterns and conditions read. */
export interface CompiledRole {
  readonly name: string;
  readonly forwardsAgent: boolean;
  readonly forwardsPorts: boolean;
  readonly allow: Side;
  readonly deny: Side;
}

/** Throws `bad_parameter` for a role that `validateRole` would refuse. */
export function compile(role: Role, traits: Traits): CompiledRole {
  const side = (name: "allow" | "deny", conditions: Conditions): Side => ({
    logins: loginsOf(name, conditions, traits),
    groups: new Set(
      (conditions.kubernetes_groups ?? [])
        .flatMap((text) => expand(parseTemplate(text), traits))
        .filter((group) => group !== ""),
    ),
    labels: conditions.node_labels && labelMatcher(conditions.node_labels, traits),
    destinations: conditions.forward_to?.map(parseDestination),
    rules: (conditions.rules ?? []).map(({ resources, verbs, where, actions }) => ({
      resources,
      verbs,
      where: where ? parsePredicate(where) : undefined,
      log: actions?.map(parseAction),
    })),
  });
  return {
    name: role.metadata.name,
    forwardsAgent: role.spec.options.forward_agent ?? false,
    forwardsPorts: role.spec.options.port_forwarding ?? true,
    allow: side("allow", role.spec.allow),
    deny: side("deny", role.spec.deny),
  };
}

function loginsOf(side: "allow" | "deny", { logins = [] }: Conditions, traits: Traits): Map<string, string> {
  const found = new Map<string, string>();
  for (const [i, text] of logins.entries()) {
    for (const login of expand(parseTemplate(text), traits)) {
      // A deny keeps whatever it says: to drop an odd name there would let it in.
      if (side === "allow" && !isUnixName(login)) continue;
      if (!found.has(login)) found.set(login, `${side}.logins[${i}]`);
    }
  }
  return found;
}
