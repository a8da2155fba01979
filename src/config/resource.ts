import { z } from "zod";
import { Fault } from "#core/errors";
import { check } from "./check.ts";
import { readYaml, type Tree } from "./yaml.ts";

/** One resource of a file: its kind, and what the schema of that kind made of it. */
export type Resource<S extends Readonly<Record<string, z.ZodType>>> = {
  [K in keyof S & string]: { readonly kind: K; readonly value: z.output<S[K]> };
}[keyof S & string];

/**
 * The resources of a YAML or JSON text, in order: one a document, or a list of them in one (RES-01). `schemas` holds
 * those that may stand there by kind. Throws `bad_parameter` with document and place (RES-11).
 */
export function parseResources<const S extends Readonly<Record<string, z.ZodType>>>(
  text: string,
  name: string,
  schemas: S,
): Resource<S>[] {
  const trees = readYaml(text, name);
  const found: Resource<S>[] = [];
  for (const [i, tree] of trees.entries()) {
    const label = trees.length > 1 ? `${name} (document ${i + 1})` : name;
    if (Array.isArray(tree.value)) {
      for (const [n, value] of tree.value.entries()) found.push(resource(tree, label, schemas, value, [n]));
    } else if (tree.value !== null) {
      found.push(resource(tree, label, schemas, tree.value, []));
    }
  }
  if (found.length === 0) throw new Fault("bad_parameter", `no resources found, empty input? (${name})`);
  return found;
}

const Kinded = z.looseObject({ kind: z.string({ error: "wants the kind of the resource, e.g. user" }) });

function resource<S extends Readonly<Record<string, z.ZodType>>>(
  tree: Tree,
  name: string,
  schemas: S,
  value: unknown,
  prefix: readonly number[],
): Resource<S> {
  const from = { value, at: (path: readonly PropertyKey[]) => [...prefix, ...path] };
  const { kind } = check(Kinded, tree, name, from);
  const schema = Object.hasOwn(schemas, kind) ? schemas[kind] : undefined;
  if (!schema) {
    const { line, column } = tree.placeOf([...prefix, "kind"]);
    throw new Fault(
      "bad_parameter",
      `${name}:${line}:${column}: creating resources of type ${JSON.stringify(kind)} is not supported`,
    );
  }
  return { kind, value: check(schema, tree, name, from) } as Resource<S>;
}
