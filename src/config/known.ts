import type { z } from "zod";
import type { Path } from "./check.ts";

/** What the definition of a schema may hold of others (zod 4, `_zod.def`). */
interface Definition {
  readonly type: string;
  readonly shape?: Readonly<Record<string, z.core.$ZodType>>;
  readonly element?: z.core.$ZodType;
  readonly valueType?: z.core.$ZodType;
  readonly innerType?: z.core.$ZodType;
  readonly in?: z.core.$ZodType;
  readonly out?: z.core.$ZodType;
  readonly options?: readonly z.core.$ZodType[];
}

/** The keys that the map at `path` may have by `schema`; none where any key may stand there. */
export function keysAt(schema: z.core.$ZodType, path: Path): string[] {
  const def = schema._zod.def as unknown as Definition;
  if (def.options) return [...new Set(def.options.flatMap((option) => keysAt(option, path)))];
  // Of a preprocessed value the schema stands behind, of a transformed one before it.
  const wrapped = def.innerType ?? (def.in?._zod.def.type === "transform" ? def.out : def.in);
  if (wrapped) return keysAt(wrapped, path);
  const [first, ...rest] = path;
  if (first === undefined) return Object.keys(def.shape ?? {});
  const shape = def.shape ?? {};
  const next =
    def.element ?? def.valueType ?? (Object.hasOwn(shape, first) ? shape[String(first)] : undefined);
  return next ? keysAt(next, rest) : [];
}
