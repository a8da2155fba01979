import { Fault } from "#core/errors";
import type { Traits } from "./resource.ts";

/** A role's text with at most one variable in it: `{{internal.logins}}`, `{{external["any string"]}}` (RBAC-07). */
export type Template =
  | { readonly kind: "literal"; readonly text: string }
  | { readonly kind: "variable"; readonly before: string; readonly trait: string; readonly after: string };

const variable = /^([^{}]*(?:[{}][^{}]+)*)\{\{([^{}]*)\}\}((?:[^{}]+[{}])*[^{}]*)$/;
const expression =
  /^(?:(internal)\.(logins|kubernetes_groups)|(external)(?:\.([A-Za-z_][A-Za-z0-9_-]*)|\["([^"]+)"\]))$/;

/** Reads `text`. Throws `bad_parameter` for unpaired or repeated braces and for variables that do not exist. */
export function parseTemplate(text: string): Template {
  if (!text.includes("{{") && !text.includes("}}")) return { kind: "literal", text };
  const parts = variable.exec(text);
  if (!parts)
    throw new Fault(
      "bad_parameter",
      `${JSON.stringify(text)} has malformed braces: one {{variable}} is allowed`,
    );
  const [, before = "", inner = "", after = ""] = parts;
  const found = expression.exec(inner.trim());
  const trait = found?.[2] ?? found?.[4] ?? found?.[5];
  if (trait === undefined) {
    throw new Fault(
      "bad_parameter",
      `${JSON.stringify(text)} names no variable: use internal.logins, internal.kubernetes_groups, external.NAME or external["NAME"]`,
    );
  }
  return { kind: "variable", before, trait, after };
}

/** The values of a trait; none when the user has no such trait. */
export const traitValues = (traits: Traits, name: string): readonly string[] =>
  Object.hasOwn(traits, name) ? (traits[name] ?? []) : [];

/** Every text that `template` stands for with these traits; a missing trait stands for none. */
export function expand(template: Template, traits: Traits): string[] {
  if (template.kind === "literal") return [template.text];
  const values = traitValues(traits, template.trait).filter((value) => value !== "");
  return values.map((value) => template.before + value + template.after);
}

/**
 * Whether `name` can be a Unix account: what Debian's useradd lets through, without what could be read as something
 * else on the way: an option, a path, a numeric id, a list, a pattern.
 */
export const isUnixName = (name: string): boolean =>
  /^[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,254}\$?$/.test(name) && !/^\d+$/.test(name);
