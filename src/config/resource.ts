import { z } from "zod";
import { Fault } from "#core/errors";
import { check } from "./check.ts";
import { readYaml, type Tree } from "./yaml.ts";

type Schemas = Readonly<Record<string, z.ZodType>>;

/** One resource of a file: its kind, and what the schema of that kind made of it. */
export type Resource<S extends Schemas> = {
  [K in keyof S & string]: {
    readonly kind: K;
    readonly value: z.output<S[K]>;
    /** `<file>:<line>:<column>` of the resource, or of what stands at a path in it, for complaints. */
    readonly placeOf: (path?: readonly PropertyKey[]) => string;
  };
}[keyof S & string];

/** A cluster's whole list of accounts may be in one file; what is larger was not written by `tctl get`. */
const limits = { bytes: 16 << 20, values: 1_000_000, depth: 50 };

/**
 * The resources of a YAML or JSON text, in order: one a document, or a list of them in one (RES-01). `schemas` holds
 * those that may stand there by kind; `why` says of another kind why it may not. Throws `bad_parameter` with document and
 * place (RES-11).
 */
export function parseResources<const S extends Schemas>(
  text: string,
  name: string,
  schemas: S,
  why: (kind: string) => string = notSupported,
): Resource<S>[] {
  const trees = readYaml(text, name, limits);
  const found: Resource<S>[] = [];
  for (const [i, tree] of trees.entries()) {
    const label = trees.length > 1 ? `${name} (document ${i + 1})` : name;
    const read = (value: unknown, at: readonly number[]): void =>
      void found.push(resource({ tree, name: label, schemas, why }, value, at));
    if (Array.isArray(tree.value)) for (const [n, value] of tree.value.entries()) read(value, [n]);
    else if (tree.value !== null) read(tree.value, []);
  }
  if (found.length === 0) throw new Fault("bad_parameter", `no resources found, empty input? (${name})`);
  return found;
}

const notSupported = (kind: string): string =>
  `creating resources of type ${JSON.stringify(kind)} is not supported`;

const Kinded = z.looseObject({ kind: z.string({ error: "wants the kind of the resource, e.g. user" }) });

function resource<S extends Schemas>(
  file: { tree: Tree; name: string; schemas: S; why: (kind: string) => string },
  value: unknown,
  prefix: readonly number[],
): Resource<S> {
  const { tree, name, schemas, why } = file;
  const from = { value, at: (path: readonly PropertyKey[]) => [...prefix, ...path] };
  const placeOf = (path: readonly PropertyKey[] = []): string => {
    const { line, column } = tree.placeOf([...prefix, ...path]);
    return `${name}:${line}:${column}`;
  };
  const { kind } = check(Kinded, tree, name, from);
  const schema = Object.hasOwn(schemas, kind) ? schemas[kind] : undefined;
  if (!schema) throw new Fault("bad_parameter", `${placeOf(["kind"])}: ${why(kind)}`);
  return { kind, value: check(schema, tree, name, from), placeOf } as Resource<S>;
}
