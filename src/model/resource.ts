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

/**
 * A record whose keys are data. Zod drops the key `__proto__` without a word, which must not happen to what somebody wrote, to a
 * deny least of all: it is refused (S61).
 */
export const named = <V extends z.ZodType>(
  value: V,
): z.ZodType<Record<string, z.output<V>>, Record<string, z.input<V>>> =>
  z
    .custom<Record<string, z.input<V>>>(
      (given) => typeof given !== "object" || given === null || !Object.hasOwn(given, "__proto__"),
      "__proto__ is no name",
    )
    .pipe(z.record(z.string(), value) as never);

export const Labels = named(z.string());
export type Labels = z.output<typeof Labels>;

/** What every resource carries (RES-01). */
export const Metadata = z.strictObject({
  name: ResourceName,
  namespace: z.literal("default").optional(),
  description: z.string().optional(),
  labels: Labels.optional(),
  expires: Time.optional(),
});

/** Trait name → values, e.g. `logins: [root, joe]` (AUTH-30). */
export const Traits = named(
  z
    .array(z.string())
    .nullable()
    .transform((v) => v ?? []),
);
export type Traits = z.output<typeof Traits>;
