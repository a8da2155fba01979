import type { z } from "zod";
import { closest } from "#core/closest";
import { Fault } from "#core/errors";
import { keysAt } from "./known.ts";
import { yesNoOf } from "./words.ts";
import type { Tree } from "./yaml.ts";

/**
 * What `schema` makes of `value`, which was read from `tree`. Throws `bad_parameter` with a line for each complaint:
 * `<name>:<line>:<column>: <key>: <what is wrong>`. `at` tells where in the tree a part of the value came from.
 */
export function check<S extends z.ZodType>(
  schema: S,
  tree: Tree,
  name: string,
  { value = tree.value, at = (path) => path }: { value?: unknown; at?: (path: Path) => Path } = {},
): z.output<S> {
  const draft = structuredClone(value);
  // A schema that wants a yes or a number meets text, as the file has only text: it is read as what was wanted.
  for (let round = 0; ; round++) {
    const parsed = schema.safeParse(draft, { error: inWords });
    if (parsed.success) return parsed.data;
    if (round > 20 || !interpret(draft, parsed.error.issues)) {
      throw new Fault("bad_parameter", complaints(schema, parsed.error.issues, tree, name, at).join("\n"));
    }
  }
}

export type Path = readonly PropertyKey[];

/** Turns texts into the booleans, numbers and missing values that issues ask for. Tells whether it could change anything. */
function interpret(draft: unknown, issues: readonly z.core.$ZodIssue[]): boolean {
  let changed = false;
  for (const { code, path, ...issue } of issues) {
    const holder = path.slice(0, -1).reduce<unknown>((at, part) => (at as never)?.[part as never], draft);
    const last = path.at(-1);
    if (last === undefined || typeof holder !== "object" || holder === null || !Object.hasOwn(holder, last))
      continue;
    const values = holder as Record<PropertyKey, unknown>;
    const text = values[last];
    if (text === null || text === "null" || text === "~") {
      delete values[last];
      changed = true;
    } else if (code === "invalid_type" && typeof text === "string") {
      const read = meant(text, String((issue as { expected?: unknown }).expected));
      if (read === undefined) continue;
      values[last] = read;
      changed = true;
    }
  }
  return changed;
}

function meant(text: string, expected: string): boolean | number | undefined {
  if (expected === "boolean") return yesNoOf(text);
  const isNumber = (expected === "number" || expected === "int") && /^[+-]?\d+(\.\d+)?$/.test(text);
  return isNumber ? Number(text) : undefined;
}

/** Complaints that are told at once; a file with more is another kind of file. */
const most = 50;

function complaints(
  schema: z.ZodType,
  issues: readonly z.core.$ZodIssue[],
  tree: Tree,
  name: string,
  at: (path: Path) => Path,
): string[] {
  const lines = issues.flatMap(deepest).flatMap((issue) => {
    const path = at(issue.path);
    const keys = issue.code === "unrecognized_keys" ? issue.keys : [undefined];
    return keys.map((key) => {
      const place = tree.placeOf(path, key);
      const what = key === undefined ? issue.message : unknownKey(key, keysAt(schema, issue.path));
      const where = issue.path.length > 0 ? `${issue.path.join(".")}: ` : "";
      return { ...place, text: `${name}:${place.line}:${place.column}: ${where}${what}` };
    });
  });
  lines.sort((a, b) => a.line - b.line || a.column - b.column);
  const shown = lines.slice(0, most).map((line) => line.text);
  return lines.length > most ? [...shown, `and ${lines.length - most} more`] : shown;
}

/** Of the ways that a union could not be met, the one that came furthest. */
function deepest(issue: z.core.$ZodIssue): z.core.$ZodIssue[] {
  if (issue.code !== "invalid_union") return [issue];
  const nested = issue.errors.flat().flatMap(deepest);
  const furthest = nested.sort((a, b) => b.path.length - a.path.length)[0];
  return furthest && furthest.path.length > 0
    ? [{ ...furthest, path: [...issue.path, ...furthest.path] }]
    : [{ ...issue, message: nested.map((one) => one.message).join(", or ") || issue.message }];
}

function unknownKey(key: string, known: readonly string[]): string {
  const near = closest(key, known);
  const hint = near ? `did you mean ${JSON.stringify(near)}?` : `known here: ${known.join(", ")}`;
  return `unknown key ${JSON.stringify(key)}; ${hint}`;
}

/** What zod would say of a value of the wrong type in the words of a programmer. Values are not quoted: they may be secret. */
function inWords(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.code === "invalid_value") return `wants ${issue.values.map(String).join(" or ")}`;
  if (issue.code !== "invalid_type") return undefined;
  const want = wants[issue.expected] ?? `a ${issue.expected}`;
  return issue.input === undefined ? `is missing; wants ${want}` : `wants ${want}`;
}

const wants: Readonly<Record<string, string>> = {
  string: "a text",
  boolean: "yes or no",
  number: "a number",
  int: "a whole number",
  array: "a list",
  object: "keys with values",
  record: "keys with values",
};
