import { z } from "zod";

/** Names of resources: what stands in URLs, file names and log lines, so no control characters and no slash. */
export const ResourceName = z
  .string()
  .min(1)
  .max(255)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused
  .regex(/^[^\u0000-\u001f\u007f/\\]+$/, "may not hold slashes or control characters")
  .refine((name) => name !== "." && name !== "..", "may not be . or ..");

/** RFC 3339; the zero time `0001-01-01T00:00:00Z` means never (AUTH-43). */
export const Time = z.iso.datetime({ offset: true });
export const neverTime = "0001-01-01T00:00:00Z";

export const Labels = z.record(z.string(), z.string());
export type Labels = z.infer<typeof Labels>;

/** What every resource carries (RES-01). */
export const Metadata = z.strictObject({
  name: ResourceName,
  namespace: z.literal("default").optional(),
  description: z.string().optional(),
  labels: Labels.optional(),
  expires: Time.optional(),
});

/** Trait name → values, e.g. `logins: [root, joe]` (AUTH-30). */
export const Traits = z.record(
  z.string(),
  z
    .array(z.string())
    .nullable()
    .transform((v) => v ?? []),
);
export type Traits = z.output<typeof Traits>;
