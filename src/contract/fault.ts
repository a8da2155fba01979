import { z } from "zod";
import { Fault, faultKinds } from "#core/errors";

/** A failure as it travels: see `faultBody`. */
const FaultBody = z.object({
  kind: z.enum(faultKinds),
  message: z.string(),
  details: z.record(z.string(), z.union([z.string(), z.number()])).default({}),
});
export type FaultBody = z.output<typeof FaultBody>;

export function readFault(body: unknown): Fault {
  const parsed = FaultBody.safeParse(body);
  if (!parsed.success) return new Fault("protocol", "the auth server gave an answer that makes no sense");
  return new Fault(parsed.data.kind, parsed.data.message, { details: parsed.data.details });
}
