import type { AuthClient } from "#authclient";
import { Fault } from "#core/errors";
import { asJson, asYaml, type Format } from "../format.ts";
import type { Io } from "../io.ts";
import { printable } from "../text.ts";
import { type Kind, type Named, named, readReference, theOne } from "./kinds/index.ts";
import { tidy } from "./tidy.ts";

/** `tctl get users`, `tctl get user/joe`: what it is to print, checked before anybody is asked. */
export function readGet(args: readonly string[]): { kind: Kind; name: string | undefined } {
  if (args.length > 0) return readReference(args);
  throw new Fault("bad_parameter", "specify resource to list, e.g. 'tctl get roles'");
}

export async function get(
  auth: AuthClient,
  { kind, name }: { kind: Kind; name: string | undefined },
  io: Io,
  { secrets, format }: { secrets: boolean; format: Format | undefined },
  signal: AbortSignal,
): Promise<void> {
  const all = await kind.list(auth, { secrets }, signal);
  const found = name === undefined ? all : named(kind, all, name);
  if (format === "json") io.out(asJson(found.map(tidy)));
  else if (format === "text") for (const line of kind.text(found)) io.out(line);
  else if (found.length > 0) io.out(await asYaml(found.map(tidy)));
}

const missing = "provide a full resource name to delete, for example: tctl rm user/joe";

/** What `tctl rm` is to delete, checked before anybody is asked. */
export function readRemoval(args: readonly string[]): { kind: Kind; name: string } {
  if (args.length === 0) throw new Fault("bad_parameter", missing);
  const { kind, name } = readReference(args);
  if (!kind.remove)
    throw new Fault(
      "bad_parameter",
      `deleting resources of type ${JSON.stringify(kind.kind)} is not supported; ${kind.instead}`,
    );
  if (name === undefined) throw new Fault("bad_parameter", missing);
  return { kind, name };
}

export async function remove(
  auth: AuthClient,
  meant: { kind: Kind; name: string },
  io: Io,
  signal: AbortSignal,
): Promise<void> {
  const { kind, one } = await toRemove(auth, meant, signal);
  await kind.remove?.(auth, one, signal);
  io.out(printable(kind.removed?.(one) ?? `${kind.kind} ${meant.name} has been deleted`));
  for (const line of (await kind.remains?.(auth, one, signal)) ?? []) io.out(printable(line));
}

/** What the name means, of its kind or of the one that stands in for it. Throws `not_found`, and of the kind that was asked for. */
async function toRemove(
  auth: AuthClient,
  { kind, name }: { kind: Kind; name: string },
  signal: AbortSignal,
): Promise<{ kind: Kind; one: Named }> {
  const found = await kind.list(auth, { secrets: false }, signal);
  try {
    return { kind, one: theOne(kind, found, name) };
  } catch (err) {
    const other = kind.orElse;
    if (!other || !Fault.is(err, "not_found")) throw err;
    const meant = (await other.list(auth, { secrets: false }, signal)).find(
      ({ metadata }) => metadata.name === name,
    );
    if (!meant) throw err;
    return { kind: other, one: meant };
  }
}
