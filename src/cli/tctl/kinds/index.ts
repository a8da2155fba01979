import { closest } from "#core/closest";
import { Fault } from "#core/errors";
import { clusters } from "./clusters.ts";
import { connectors } from "./connectors.ts";
import { idOf, type Kind, type Named } from "./kind.ts";
import { machines } from "./machines.ts";
import { people } from "./people.ts";
import { settings } from "./settings.ts";

export type { Kind, Named } from "./kind.ts";

const kinds: readonly Kind[] = [...people, ...machines, ...connectors, ...clusters, ...settings];

/** The kind that a word means, in singular or plural, in any case (RES-03). */
export function findKind(word: string): Kind | undefined {
  const lower = word.toLowerCase();
  return kinds.find(({ kind, aliases }) => kind === lower || aliases.includes(lower));
}

/**
 * What `user/joe`, `users joe` or `users` means (RES-02, RES-03). Throws `bad_parameter` for a kind that there is none of.
 */
export function readReference(words: readonly string[]): { kind: Kind; name: string | undefined } {
  const [first = "", second] = words;
  const at = first.indexOf("/");
  const word = at < 0 ? first : first.slice(0, at);
  const name = at < 0 ? second : first.slice(at + 1);
  const kind = findKind(word);
  if (!kind) {
    const near = closest(
      word,
      kinds.flatMap((each) => [each.kind, ...each.aliases]),
    );
    const hint = near ? `did you mean ${near}?` : `types: ${kinds.map((each) => each.kind).join(", ")}`;
    throw new Fault(
      "bad_parameter",
      `unsupported resource: ${JSON.stringify(word)} - resources should be expressed as 'type/name', for example 'connector/github'; ${hint}`,
    );
  }
  if (at >= 0 && second !== undefined) {
    throw new Fault(
      "bad_parameter",
      `name one resource at a time: ${JSON.stringify(first)} or ${JSON.stringify(second)}`,
    );
  }
  return { kind, name: name || undefined };
}

/** Those that `name` means: by their own name, else by the name they are also known by. Throws `not_found`. */
export function named(kind: Kind, found: readonly Named[], name: string): Named[] {
  const ways = [
    ({ metadata }: Named) => metadata.name === name,
    (one: Named) => idOf(kind, one) === name,
    (one: Named) => kind.alsoNamed?.(one) === name,
  ];
  for (const way of ways) {
    const meant = found.filter(way);
    if (meant.length > 0) return meant;
  }
  throw new Fault("not_found", `${words(kind)} ${name} not found`);
}

/** As `named`, where it has to be one. Throws `bad_parameter` with what to call them by when several are meant. */
export function theOne(kind: Kind, found: readonly Named[], name: string): Named {
  const meant = named(kind, found, name);
  if (meant.length > 1) {
    const ids = meant.map((one) => `${kind.kind}/${idOf(kind, one)}`).join(", ");
    throw new Fault(
      "bad_parameter",
      `several are called ${JSON.stringify(name)}; name one by its id: ${ids}`,
    );
  }
  return meant[0] as Named;
}

const words = ({ kind }: Kind): string => (kind === "connectors" ? "connector" : kind);
