import type { AuthClient } from "#authclient";
import { Fault } from "#core/errors";
import type { CertAuthority, GithubConnector } from "#model";
import type { Io } from "../io.ts";
import { printable } from "../text.ts";
import { findKind } from "./kinds/index.ts";
import { isSingle, keyOf, put, type Single, type Written, wordsFor } from "./written.ts";

/** Sends what a file holds, in its order, and tells of each. Authorities go last: who restores them may lose the own certificate. */
export async function create(
  auth: AuthClient,
  found: readonly Written[],
  io: Io,
  force: boolean,
  signal: AbortSignal,
): Promise<void> {
  // Else the file would be half done, and could not be sent again as it is.
  if (!force && found.length > 1) await refuseTaken(auth, found, signal);
  const resources = found.map(({ resource }) => resource);
  for (const resource of resources.filter(isSingle)) {
    const { created, name } = await put(auth, resource, { force }, signal);
    io.out(`${wordsFor(renamed(resource, name, io))} has been ${created ? "created" : "updated"}`);
  }
  await warnOfRoleNames(
    auth,
    resources.filter((resource) => resource.kind === "github"),
    io,
    signal,
  );
  const authorities = resources.filter((resource) => resource.kind === "cert_authority");
  if (authorities.length > 0) await restore(auth, authorities, io, force, signal);
}

/** A trusted cluster is called what it calls itself (TC-03). */
function renamed(resource: Single, name: string | undefined, io: Io): Single {
  const { metadata } = resource;
  if (name === undefined || name === metadata.name) return resource;
  const [before, after] = [metadata.name, name].map((one) => JSON.stringify(printable(one)));
  io.err(
    `WARNING: trusted cluster ${before} resource has been renamed to match remote cluster name ${after}`,
  );
  return { ...resource, metadata: { ...metadata, name } };
}

async function restore(
  auth: AuthClient,
  authorities: readonly CertAuthority[],
  io: Io,
  force: boolean,
  signal: AbortSignal,
): Promise<void> {
  await auth["authorities.restore"]({ authorities: [...authorities], force }, signal);
  for (const ca of authorities) io.out(`${wordsFor(ca)} has been updated`);
  io.err(
    "Restart every auth server now, so that it certifies itself anew. Whoever holds a certificate of other keys than these has to join or log in again.",
  );
}

async function refuseTaken(auth: AuthClient, found: readonly Written[], signal: AbortSignal): Promise<void> {
  const there = new Set<string>();
  for (const word of new Set(found.map(({ resource }) => resource.kind))) {
    const all = await findKind(word)?.list(auth, { secrets: false }, signal);
    for (const one of all ?? []) there.add(keyOf(one as Written["resource"]));
  }
  const taken = found.map(({ resource }) => keyOf(resource)).filter((key) => there.has(key));
  if (taken.length > 0)
    throw new Fault(
      "already_exists",
      `${printable(taken.join(", "))} already ${taken.length > 1 ? "exist" : "exists"}, so nothing of the file was created; -f overwrites what is there`,
    );
}

/** AUTH-63: in files for the commercial edition `logins` held names of roles. */
async function warnOfRoleNames(
  auth: AuthClient,
  connectors: readonly GithubConnector[],
  io: Io,
  signal: AbortSignal,
): Promise<void> {
  const withLogins = connectors
    .map(({ metadata, spec }) => ({
      name: metadata.name,
      logins: spec.teams_to_logins.flatMap(({ logins }) => logins),
    }))
    .filter(({ logins }) => logins.length > 0);
  if (withLogins.length === 0) return;
  const roles = new Set((await auth["roles.list"]({}, signal)).map(({ metadata }) => metadata.name));
  for (const { name, logins } of withLogins)
    if (logins.every((login) => roles.has(login)))
      io.err(
        `WARNING: every login of the connector ${JSON.stringify(printable(name))} is also the name of a role. logins are names on the machines; name roles in the key roles of the entry`,
      );
}
