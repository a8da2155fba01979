import { Fault } from "#core/errors";
import type { PublicKey } from "./key.ts";
import { parsePublicKey } from "./public.ts";

/** One line of authorized_keys or a .pub file (sshd(8), AUTHORIZED_KEYS FILE FORMAT). */
export interface PublicKeyLine {
  /** What stands before the key, e.g. `cert-authority`; the value is empty for an option without one. Names in lower case. */
  readonly options: ReadonlyMap<string, string>;
  readonly key: PublicKey;
  readonly comment: string;
}

/** Throws `bad_parameter` when the line is no public key we accept; a fault of the key inside flies as it is. */
export function parsePublicKeyLine(line: string): PublicKeyLine {
  const text = line.trim();
  const bare = readKey(text);
  if (bare) return { options: new Map(), ...bare };
  const { options, rest } = readOptions(text);
  const behind = readKey(rest);
  if (!behind) throw new Fault("bad_parameter", "the line is not a public key: want type, base64, comment");
  return { options, ...behind };
}

/** Without a line end. Throws `bad_parameter` when the comment or an option's value would break the line. */
export function formatPublicKeyLine(line: {
  key: PublicKey;
  comment?: string;
  options?: ReadonlyMap<string, string>;
}): string {
  const { key, comment = "", options = new Map<string, string>() } = line;
  if ([comment, ...[...options].flat()].some((part) => /\p{Cc}/u.test(part)))
    throw new Fault(
      "bad_parameter",
      "a comment or option of a public key may not contain control characters",
    );
  // `\"` is the only escape there is, so nothing else can tell these from the quote that ends the value.
  if ([...options.values()].some((value) => /\\("|$)/.test(value)))
    throw new Fault(
      "bad_parameter",
      "an option of a public key may not have a backslash before a quote or at its end",
    );
  const prefix = [...options]
    .map(([name, value]) => (value === "" ? name : `${name}="${value.replaceAll('"', '\\"')}"`))
    .join(",");
  return [prefix, key.type, Buffer.from(key.blob).toString("base64"), comment]
    .filter((part) => part !== "")
    .join(" ");
}

/** Reads `type base64 comment` from the start of `text`; undefined when it does not start so. */
export function readKey(text: string): { key: PublicKey; comment: string } | undefined {
  const [, type = "", base64 = "", comment = ""] =
    /^(\S+)[ \t]+([A-Za-z0-9+/]+={0,2})(?:[ \t]+(.*))?$/s.exec(text) ?? [];
  // An option never looks like a key type: these all begin so (RFC 4253 §6.6, RFC 5656, OpenSSH's own).
  if (!/^(ssh-|ecdsa-sha2-|sk-)[^,="]*$/.test(type)) return undefined;
  const key = parsePublicKey(Buffer.from(base64, "base64"));
  if (key.type !== type) throw new Fault("bad_parameter", `the line says ${type}, its key is ${key.type}`);
  return { key, comment: comment.trim() };
}

function readOptions(text: string): { options: Map<string, string>; rest: string } {
  const options = new Map<string, string>();
  const option = /([A-Za-z0-9-]+)(?:="((?:\\"|(?!\\")[^"])*)")?(,|[ \t]+|$)/sy;
  while (true) {
    const [, name = "", value = "", end] = option.exec(text) ?? [];
    if (end === undefined)
      throw new Fault("bad_parameter", "the line is not a public key: its options are malformed");
    options.set(name.toLowerCase(), value.replaceAll('\\"', '"'));
    if (end !== ",") return { options, rest: text.slice(option.lastIndex) };
  }
}
