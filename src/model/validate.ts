import { parseDuration } from "#core/duration";
import { Fault } from "#core/errors";
import { implicitRoleName } from "./builtin.ts";
import { parseDestination } from "./destination.ts";
import { labelMatcher } from "./match.ts";
import { parseSource } from "./options.ts";
import { parseAction, parsePredicate } from "./predicate.ts";
import { type Conditions, type Role, type Rule, resourceKinds } from "./role.ts";
import { parseTemplate } from "./template.ts";

/** Refuses what the schema lets through and no decision could use (RBAC-06..08). Throws `bad_parameter` naming role and field, the field in `details` too. */
export function validateRole(role: Role): void {
  const { name } = role.metadata;
  const { options, allow, deny } = role.spec;
  const check = (field: string, test: () => void): void => {
    try {
      test();
    } catch (cause) {
      if (!Fault.is(cause, "bad_parameter")) throw cause;
      throw new Fault("bad_parameter", `role ${JSON.stringify(name)}, ${field}: ${cause.message}`, {
        cause,
        details: { field },
      });
    }
  };
  check("metadata.name", () => {
    if (name === implicitRoleName) throw new Fault("bad_parameter", "this name is kept for the system");
  });
  for (const key of ["max_session_ttl", "client_idle_timeout"] as const) {
    const text = options[key];
    if (text !== undefined) {
      check(`options.${key}`, () => {
        if (parseDuration(text) < 0) throw new Fault("bad_parameter", "a duration may not be negative");
      });
    }
  }
  for (const [i, source] of (options.source_addresses ?? []).entries())
    check(`options.source_addresses[${i}]`, () => void parseSource(source));
  for (const [i, login] of (allow.logins ?? []).entries()) {
    check(`allow.logins[${i}]`, () => {
      if (login.includes("*"))
        throw new Fault("bad_parameter", `${JSON.stringify(login)}: wildcards are not allowed in logins`);
    });
  }
  check("allow.forward_to", () => {
    if (allow.forward_to && options.port_forwarding === false)
      throw new Fault(
        "bad_parameter",
        "it opens nothing, since port_forwarding of this role is switched off",
      );
  });
  for (const [i, text] of (deny.forward_to ?? []).entries()) {
    check(`deny.forward_to[${i}]`, () => {
      const entry = parseDestination(text);
      // Who is logged in can call a socket by another path.
      if ("path" in entry && entry.path !== undefined)
        throw new Fault(
          "bad_parameter",
          `${JSON.stringify(text)}: of sockets only all can be denied, by /*; list those that are open in allow.forward_to`,
        );
    });
  }
  for (const [side, conditions] of [
    ["allow", allow],
    ["deny", deny],
  ] as const)
    checkConditions(conditions, (field, test) => check(`${side}.${field}`, test));
}

function checkConditions(conditions: Conditions, check: (field: string, test: () => void) => void): void {
  for (const key of ["logins", "kubernetes_groups"] as const) {
    for (const [i, text] of (conditions[key] ?? []).entries()) {
      check(`${key}[${i}]`, () => {
        parseTemplate(text);
        if (key === "logins" && text !== "*" && text.includes("*"))
          throw new Fault("bad_parameter", `${JSON.stringify(text)}: a login is * or a name, no pattern`);
      });
    }
  }
  // Traits do not matter to whether patterns can be read.
  for (const [key, values] of Object.entries(conditions.node_labels ?? {}))
    check(`node_labels[${JSON.stringify(key)}]`, () => void labelMatcher({ [key]: values }, {}));
  for (const [i, text] of (conditions.forward_to ?? []).entries())
    check(`forward_to[${i}]`, () => void parseDestination(text));
  for (const [i, rule] of (conditions.rules ?? []).entries()) check(`rules[${i}]`, () => checkRule(rule));
}

function checkRule(rule: Rule): void {
  for (const resource of rule.resources) {
    if (resource !== "*" && !(resourceKinds as readonly string[]).includes(resource)) {
      throw new Fault(
        "bad_parameter",
        `there is no resource ${JSON.stringify(resource)}; use * or one of ${resourceKinds.join(", ")}`,
      );
    }
  }
  if (rule.where) parsePredicate(rule.where);
  for (const action of rule.actions ?? []) parseAction(action);
}
