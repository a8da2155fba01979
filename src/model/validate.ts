import { parseDuration } from "#core/duration";
import { Fault } from "#core/errors";
import { implicitRoleName } from "./builtin.ts";
import { labelMatcher } from "./match.ts";
import { parseAction, parsePredicate } from "./predicate.ts";
import { type Conditions, type Role, type Rule, resourceKinds } from "./role.ts";
import { parseTemplate } from "./template.ts";

/** Refuses what the schema lets through and no decision could use (RBAC-06..08). Throws `bad_parameter` naming role and field. */
export function validateRole(role: Role): void {
  const { name } = role.metadata;
  const { options, allow, deny } = role.spec;
  const check = (field: string, test: () => void): void => {
    try {
      test();
    } catch (cause) {
      if (!Fault.is(cause, "bad_parameter")) throw cause;
      throw new Fault("bad_parameter", `role ${JSON.stringify(name)}, ${field}: ${cause.message}`, { cause });
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
  for (const login of allow.logins ?? []) {
    check("allow.logins", () => {
      if (login.includes("*"))
        throw new Fault("bad_parameter", `${JSON.stringify(login)}: wildcards are not allowed in logins`);
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
    for (const text of conditions[key] ?? []) {
      check(key, () => {
        parseTemplate(text);
        if (key === "logins" && text !== "*" && text.includes("*"))
          throw new Fault("bad_parameter", `${JSON.stringify(text)}: a login is * or a name, no pattern`);
      });
    }
  }
  // Traits do not matter to whether patterns can be read.
  check("node_labels", () => void labelMatcher(conditions.node_labels ?? {}, {}));
  for (const rule of conditions.rules ?? []) check("rules", () => checkRule(rule));
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
