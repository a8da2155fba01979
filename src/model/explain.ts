import { Fault } from "#core/errors";
import type { Access, Decision } from "./access.ts";
import { isPlainPath } from "./destination.ts";
import { type ResourceKind, type Role, resourceKinds, type Verb, verbs } from "./role.ts";

/** What somebody might do, as `tctl access explain --action` has it. */
export type Action =
  | { readonly kind: "login"; readonly what: (typeof logins)[number] }
  | { readonly kind: "agent" }
  | {
      readonly kind: "forward";
      readonly way: "connect" | "listen";
      readonly host: string;
      readonly port: number;
    }
  | { readonly kind: "forward"; readonly way: "connect" | "listen"; readonly path: string }
  | { readonly kind: "rule"; readonly verb: Verb; readonly resource: ResourceKind; readonly name?: string };

/** All of these are one decision: who is let in may run what the machine lets that login run. */
const logins = ["ssh", "shell", "exec", "scp", "sftp"] as const;

const known = `${logins.join(", ")}, agent, forward:HOST:PORT, forward:/SOCKET, listen:HOST:PORT, VERB:KIND or VERB:KIND/NAME`;

/** Throws `bad_parameter` with what there is. */
export function parseAction(text: string): Action {
  const what = logins.find((one) => one === text);
  if (what) return { kind: "login", what };
  if (text === "agent") return { kind: "agent" };
  const [, word = "", rest = ""] = /^([a-z]+):(.+)$/.exec(text) ?? [];
  if (word === "forward" || word === "listen") return forwarding(word, rest, text);
  const verb = verbs.find((one) => one === word);
  const slash = rest.indexOf("/");
  const kind = slash < 0 ? rest : rest.slice(0, slash);
  const resource = resourceKinds.find((one) => one === kind);
  if (verb && resource)
    return { kind: "rule", verb, resource, ...(slash >= 0 && { name: rest.slice(slash + 1) }) };
  if (verb && kind !== "")
    throw wrong(`there is no resource ${JSON.stringify(kind)}; use one of ${resourceKinds.join(", ")}`);
  throw wrong(`there is no action ${JSON.stringify(text)}; use ${known}`);
}

function forwarding(word: "forward" | "listen", place: string, text: string): Action {
  const way = word === "forward" ? "connect" : "listen";
  if (isPlainPath(place) && place.startsWith("/")) return { kind: "forward", way, path: place };
  const [, bracketed, plain, port] = /^(?:\[([^\][]+)\]|([^:\][/]*)):(\d{1,5})$/.exec(place) ?? [];
  const host = bracketed ?? plain;
  const lowest = way === "listen" ? 0 : 1;
  if (
    host === undefined ||
    (host === "" && way === "connect") ||
    Number(port) < lowest ||
    Number(port) > 65_535
  )
    throw wrong(`${JSON.stringify(text)} names no place; write ${word}:HOST:PORT or ${word}:/SOCKET`);
  return { kind: "forward", way, host, port: Number(port) };
}

const wrong = (why: string): Fault => new Fault("bad_parameter", why);

/** Of several decisions of which one is enough, as for the addresses of a host: one that allows, else the first. */
export const bestOf = (decisions: readonly Decision[]): Decision | undefined =>
  decisions.find(({ allowed }) => allowed) ?? decisions[0];

/** What stands at a place that a decision names, `allow.logins[1]`; undefined when the role leaves it to the default. */
export function writtenAt(role: Role, place: string): unknown {
  let at: unknown = role.spec;
  for (const [, name, index] of place.matchAll(/([a-z_]+)|\[(\d+)\]/g)) {
    const step = name ?? index ?? "";
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, step)) return undefined;
    at = (at as Record<string, unknown>)[step];
  }
  return at;
}

/** Who may not log in may not do anything there either; else what `decide` says. */
export function onceIn(
  access: Access,
  at: { login: string; labels: Readonly<Record<string, string>> },
  decide: () => Decision,
): Decision {
  const entry = access.login(at.login, at.labels);
  return entry.allowed ? decide() : entry;
}
