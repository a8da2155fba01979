import { z } from "zod";
import { parseDuration } from "#core/duration";
import { Fault } from "#core/errors";
import { Secret } from "#core/secret";
import { type Address, parseAddress, parseListenAddress } from "./address.ts";
import { yesNoOf } from "./words.ts";

/** A map with just these keys. A key without a value counts as left out, and so does a section without keys. */
export const section = <const S extends z.ZodRawShape>(shape: S) =>
  z.preprocess(
    (value) =>
      typeof value === "object" && value !== null && !Array.isArray(value)
        ? Object.fromEntries(
            Object.entries(value).filter(([key, v]) => v !== null || !Object.hasOwn(shape, key)),
          )
        : (value ?? {}),
    z.strictObject(shape, {
      error: (issue) => (issue.code === "unrecognized_keys" ? undefined : "wants keys with values"),
    }),
  );

/** One text, read by `read`, whose faults become the complaint. */
export const scalar = <T>(want: string, read: (text: string) => T) =>
  z.string({ error: `wants ${want}` }).transform((text, context): T => {
    try {
      return read(text);
    } catch (err) {
      if (!(err instanceof Fault)) throw err;
      context.addIssue({ code: "custom", message: err.message });
      return z.NEVER;
    }
  });

const wrong = (message: string): Fault => new Fault("bad_parameter", message);

export const text = scalar("a text", (value) => value);
export const path = scalar("a path", (value) => {
  if (value === "" || value.includes("\0")) throw wrong("is not a path");
  return value;
});

export const yesNo = scalar("yes or no", (value) => {
  const read = yesNoOf(value);
  if (read === undefined) throw wrong(`${JSON.stringify(value)} is neither yes nor no`);
  return read;
});

export const whole = (min: number, max: number) =>
  scalar("a number", (value) => {
    const number = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
    if (!(number >= min && number <= max)) {
      throw wrong(`${JSON.stringify(value)} is not a whole number from ${min} to ${max}`);
    }
    return number;
  });

/** Milliseconds, not negative. */
export const duration = scalar("a duration such as 30m", readSpan);
/** The same, or one of the words that mean "no limit", which is 0. */
export const durationOrNever = scalar("a duration such as 30m, or never", (value) =>
  /^(never|no|off|false)$/i.test(value) ? 0 : readSpan(value),
);
function readSpan(value: string): number {
  const span = parseDuration(value);
  if (span < 0) throw wrong(`${JSON.stringify(value)} is less than nothing`);
  return span;
}

const units = { "": 1, k: 1 << 10, m: 1 << 20, g: 1 << 30 };
/** Bytes: `4096`, `512KiB`, `10MiB`, `1G`. */
export const size = scalar("a size such as 10MiB", (value) => {
  const [, number, unit] = /^(\d{1,12})\s*(?:([kmg])(?:i?b)?|b)?$/i.exec(value.trim()) ?? [];
  if (number === undefined) throw wrong(`${JSON.stringify(value)} is not a size; write it like 10MiB`);
  return Number(number) * units[(unit ?? "").toLowerCase() as keyof typeof units];
});

export const choice = <const V extends string>(
  values: readonly V[],
  aliases: Readonly<Record<string, V>> = {},
) =>
  scalar(`one of ${values.join(", ")}`, (value): V => {
    const lower = value.toLowerCase();
    const found =
      values.find((v) => v === lower) ?? (Object.hasOwn(aliases, lower) ? aliases[lower] : undefined);
    if (!found) throw wrong(`${JSON.stringify(value)} is not one of ${values.join(", ")}`);
    return found;
  });

/** Names out of a fixed set, in the order of preference. */
export const namesOf = (what: string, known: readonly string[]) =>
  list(
    scalar(`a ${what}`, (value) => {
      if (!known.includes(value)) {
        throw wrong(`${what} ${JSON.stringify(value)} is not supported; known: ${known.join(", ")}`);
      }
      return value;
    }),
  );

export const address = (port?: number) => scalar("host:port", (value): Address => parseAddress(value, port));
export const listen = (port?: number) =>
  scalar("host:port", (value): Address => parseListenAddress(value, port));

/** One or several: a lone scalar is a list of one, an empty one a list of none (CFG-07). */
export const list = <S extends z.ZodType>(item: S) =>
  z.preprocess(
    (value) => (Array.isArray(value) ? value : value === "" ? [] : value === undefined ? value : [value]),
    z.array(item, { error: "wants a list" }),
  );

/** A secret that stands in the file, or in another file whose absolute path stands in its place. */
export type SecretSource = { readonly value: Secret } | { readonly file: string };
export const secretSource = (value: string): SecretSource =>
  value.startsWith("/") ? { file: value } : { value: new Secret(value) };
export const secret = scalar("a text", secretSource);

/** The secret itself; a file is read by `read`, and blanks round its content do not count. */
export const resolveSecret = async (
  source: SecretSource,
  read: (path: string) => Promise<string>,
): Promise<Secret> => ("value" in source ? source.value : new Secret((await read(source.file)).trim()));

export const caPin = (value: string): string => {
  if (!/^[a-z0-9]+:/.test(value))
    throw wrong("is not a CA pin; write it as `tctl status` prints it: sha256:<64 hex digits>");
  if (!/^sha256:[0-9a-f]{64}$/i.test(value))
    throw wrong("only pins of the form sha256:<64 hex digits> are supported");
  return value.toLowerCase();
};

/** IP address or name under which others reach this host, with an optional port. */
export interface Advertised {
  readonly host: string;
  readonly port?: number;
}
export const advertised = (value: string): Advertised => {
  const { host, port } = parseAddress(value, 0);
  if (/^(0\.0\.0\.0|::|0*(:0*)+)$/.test(host) || /^(22[4-9]|23\d)\.|^ff[0-9a-f]{2}:/i.test(host)) {
    throw wrong(`${JSON.stringify(value)} is not an address at which others could reach this host`);
  }
  return port === 0 ? { host } : { host, port };
};
