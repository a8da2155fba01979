import type { z } from "zod";
import { Fault } from "#core/errors";

/** `value` as `schema` reads it; throws `bad_parameter` naming the first field that is wrong, never what it held. */
export function parse<S extends z.ZodType>(schema: S, value: unknown): z.output<S> {
  const got = schema.safeParse(value);
  if (got.success) return got.data;
  const issue = got.error.issues[0];
  const where = issue?.path.join(".") ?? "";
  throw new Fault(
    "bad_parameter",
    where === "" ? "the request body is not as expected" : `${where}: ${issue?.message}`,
  );
}
