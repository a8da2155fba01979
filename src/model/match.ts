import { RE2JS } from "re2js";
import { Fault } from "#core/errors";
import type { Labels, Traits } from "./resource.ts";
import { expand, parseTemplate, traitValues } from "./template.ts";

const longestPattern = 1024;
/** Instructions of a compiled pattern: the time to match is in proportion to them and to the label's length. */
const largestProgram = 2000;

/**
 * A matcher for one label value of a role: a literal, a glob with `*`, or `^regex$` in RE2 syntax, which takes linear
 * time. What comes out of a trait is always taken literally: a user's attribute must not become a wildcard.
 * A missing trait matches nothing. Throws `bad_parameter`.
 */
function valueMatcher(text: string, traits: Traits): (value: string) => boolean {
  if (text.length > longestPattern)
    throw new Fault("bad_parameter", `a label value of a role may have ${longestPattern} characters at most`);
  if (text === "*") return () => true;
  const template = parseTemplate(text);
  if (template.kind === "literal") return matcher(text, "", undefined);
  const each = traitValues(traits, template.trait).map((v) => matcher(template.before, template.after, v));
  // Compiled also without a value, so that a bad expression is found before anyone has the trait.
  if (each.length === 0) matcher(template.before, template.after, "");
  return (value) => each.some((matches) => matches(value));
}

function matcher(before: string, after: string, literal: string | undefined): (value: string) => boolean {
  const isRegex = before.startsWith("^") && (literal === undefined ? before : after).endsWith("$");
  if (!isRegex && !before.includes("*") && !after.includes("*")) {
    const whole = before + (literal ?? "") + after;
    return (value) => value === whole;
  }
  const source = isRegex
    ? before + (literal === undefined ? "" : RE2JS.quote(literal)) + after
    : glob(before) + RE2JS.quote(literal ?? "") + glob(after);
  const regex = compiled(source, isRegex ? 0 : RE2JS.DOTALL, before + after);
  return (value) => regex.testExact(value);
}

/** Roles are read anew for each user and each request, and most of their patterns are the same. */
const patterns = new Map<string, RE2JS>();
const keptPatterns = 256;

function compiled(source: string, flags: number, written: string): RE2JS {
  const key = `${flags}${source}`;
  const known = patterns.get(key);
  if (known) return known;
  try {
    const regex = RE2JS.compile(source, flags);
    if (regex.programSize() > largestProgram)
      throw new Error("it is too large when its counts are written out");
    if (patterns.size >= keptPatterns) patterns.clear();
    patterns.set(key, regex);
    return regex;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Fault("bad_parameter", `${JSON.stringify(written)} is not a valid pattern: ${why}`, { cause });
  }
}

const glob = (text: string): string =>
  text
    .split("*")
    .map((part) => RE2JS.quote(part))
    .join(".*");

/** The outcome for a set of labels: that they match, or the first selector that does not. */
export type LabelsMatch = { readonly matches: true } | { readonly matches: false; readonly why: string };

/**
 * A matcher for the `node_labels` of a role: every key must match, by one of its values. `*: *` matches every node, no
 * keys at all match none. Variables also stand in keys; a key whose trait is missing lets nothing match.
 */
export function labelMatcher(
  selector: Readonly<Record<string, readonly string[]>>,
  traits: Traits,
): (labels: Labels) => LabelsMatch {
  const wanted: { key: string; values: readonly string[]; match: (value: string) => boolean }[] = [];
  let unmet: string | undefined;
  for (const [key, values] of Object.entries(selector)) {
    if (key === "*") {
      if (values.length !== 1 || values[0] !== "*")
        throw new Fault("bad_parameter", `selector *:${values.join(",")} is not supported, only *:* is`);
      continue;
    }
    const each = values.map((value) => valueMatcher(value, traits));
    const keys = expand(parseTemplate(key), traits);
    if (keys.length === 0) unmet = `the user has no trait for ${key}`;
    for (const name of keys) {
      wanted.push({ key: name, values, match: (value) => each.some((matches) => matches(value)) });
    }
  }
  if (unmet === undefined && Object.keys(selector).length === 0) unmet = "its node_labels are empty";
  return (labels) => {
    if (unmet !== undefined) return { matches: false, why: unmet };
    for (const { key, values, match } of wanted) {
      const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
      if (value === undefined) return { matches: false, why: `the node has no label ${key}` };
      if (!match(value))
        return { matches: false, why: `label ${key} is ${value}, not ${values.join(" or ") || "anything"}` };
    }
    return { matches: true };
  };
}

/**
 * A mapping of `pattern`: a literal, a glob with `*`, or `^regex$` in RE2 syntax (AUTH-71). The answer turns a value that matches and a
 * result into the result with `$1`, `${1}` and so on replaced by what the groups, or the stars, stood for; into undefined otherwise.
 * Throws `bad_parameter`.
 */
export function valueMapper(pattern: string): (value: string, result: string) => string | undefined {
  if (pattern.length > longestPattern)
    throw new Fault("bad_parameter", `a pattern may have ${longestPattern} characters at most`);
  const isRegex = pattern.startsWith("^") && pattern.endsWith("$");
  const source = isRegex
    ? pattern
    : pattern
        .split("*")
        .map((part) => RE2JS.quote(part))
        .join("(.*)");
  const regex = compiled(source, isRegex ? 0 : RE2JS.DOTALL, pattern);
  return (value, result) => {
    const found = regex.matcher(value);
    if (!found.matches()) return undefined;
    return result.replace(/\$(?:(\d{1,2})|\{(\d{1,2})\})/g, (_, bare, braced) => {
      const group = Number(bare ?? braced);
      return group <= found.groupCount() ? (found.group(group) ?? "") : "";
    });
  };
}
