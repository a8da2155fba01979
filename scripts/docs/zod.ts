import { z } from "zod";

type Schema = z.core.$ZodType;

/** What a schema is made of, told apart by `type`. */
export const defOf = (schema: Schema): z.core.$ZodTypes["_zod"]["def"] =>
  (schema as z.core.$ZodTypes)._zod.def;

/** What stands under defaults, options and transformations: an object, a list or a single value. */
export function core(schema: Schema): Schema {
  const def = defOf(schema);
  if (def.type === "pipe") return core(defOf(def.in).type === "transform" ? def.out : def.in);
  return "innerType" in def ? core(def.innerType) : schema;
}

/** The default as the schema itself holds it; `undefined` when there is none. */
export function defaultOf(schema: Schema): unknown {
  const def = defOf(schema);
  if (def.type === "prefault" || def.type === "default") return def.defaultValue;
  if (def.type === "pipe") return defaultOf(def.in);
  return "innerType" in def ? defaultOf(def.innerType) : undefined;
}

/** Keys and schemas of a section, `undefined` when the schema is none. */
export function shapeOf(schema: Schema): Readonly<Record<string, Schema>> | undefined {
  const def = defOf(core(schema));
  return def.type === "object" ? def.shape : undefined;
}

/** The schema of the entries, `undefined` when the schema is no list. */
export function elementOf(schema: Schema): Schema | undefined {
  const def = defOf(core(schema));
  return def.type === "array" ? def.element : undefined;
}

/** What the schema answers to a value that it cannot want. */
export const complaintOf = (schema: Schema): string =>
  z.safeParse(schema, new Map()).error?.issues[0]?.message ?? "";
