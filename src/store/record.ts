import { z } from "zod";
import { Fault } from "#core/errors";

/** The format of what this program writes. Grows when an older program could no longer read it. */
const format = 1;

const Envelope = z.object({ format: z.int().positive(), value: z.unknown() });

/** A value as it is stored: JSON in an envelope that says its format. */
export function encode(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify({ format, value }));
}

/**
 * Reads what `encode` wrote. Throws `internal` for a newer format, which an upgraded server beside this one may have
 * written at any time, and for what cannot be read.
 */
export function decode<S extends z.ZodType>(schema: S, key: string, bytes: Uint8Array): z.output<S> {
  let raw: unknown;
  try {
    raw = JSON.parse(Buffer.from(bytes).toString());
  } catch (cause) {
    throw new Fault("internal", `the stored record ${key} is damaged`, { cause });
  }
  const envelope = Envelope.safeParse(raw);
  if (!envelope.success) throw new Fault("internal", `the stored record ${key} is damaged`);
  if (envelope.data.format > format) {
    throw new Fault(
      "internal",
      `the stored record ${key} has format ${envelope.data.format}, this program knows up to ${format}: upgrade it`,
    );
  }
  const parsed = schema.safeParse(envelope.data.value);
  if (!parsed.success)
    throw new Fault("internal", `the stored record ${key} makes no sense`, { cause: parsed.error });
  return parsed.data;
}

/** One part of a key: what would end it, or be taken for a control character, is escaped. */
export const keyPart = (text: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is escaped
  text.replace(/[%/\u0000-\u001f\u007f-\u009f]/g, (c) => `%${c.charCodeAt(0).toString(16).padStart(2, "0")}`);
