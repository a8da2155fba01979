import { isDeepStrictEqual } from "node:util";
import { Fault } from "#core/errors";
import type { AuthorityType, CertAuthority } from "#model";
import { record } from "../audit.ts";
import type { Parts } from "../parts.ts";
import { foreignAuthorities } from "./authorities.ts";
import { readStatement } from "./statement.ts";

/** What of a linked cluster is kept, in whichever direction the link goes. */
interface Linked {
  readonly authorities: CertAuthority[];
  readonly told: number;
}

/**
 * Takes up what the linked cluster `name` says of its authorities, so that the link goes on over a rotation there (ROT-10). Throws
 * `access_denied` when no authority of it that is known here has signed that, or when something newer was heard; nothing is changed
 * then. Only a change, and what was refused, is written down.
 */
export async function learn(
  parts: Parts,
  { name, statement }: { name: string; statement: string },
): Promise<void> {
  const { trustedClusters, remoteClusters } = parts.store;
  try {
    const trusted = await trustedClusters.find(name);
    const remote = await remoteClusters.find(name);
    if (!trusted && !remote)
      throw new Fault("not_found", `no cluster ${JSON.stringify(name)} is linked here`);
    const changes = await Promise.all([
      trusted && takeUp(parts, name, statement, ["host", "user"], trusted),
      remote && takeUp(parts, name, statement, ["host"], remote),
    ]);
    const [forTrusted, forRemote] = changes;
    if (forTrusted)
      await trustedClusters.update(name, (now) => now && unlessNewer(now, { ...now, ...forTrusted }));
    if (forRemote)
      await remoteClusters.update(name, (now) => now && unlessNewer(now, { ...now, ...forRemote }));
    if (changes.some((change) => change?.authorities))
      await record(parts, { code: "T4195I", name, success: true });
  } catch (err) {
    const error = err instanceof Fault ? err.message : "internal error";
    await record(parts, { code: "T4195W", name, success: false, error });
    throw err;
  }
}

/** What is to be kept from now on; undefined when that is known already. */
async function takeUp(
  parts: Parts,
  name: string,
  text: string,
  types: readonly AuthorityType[],
  known: Linked,
): Promise<Partial<Linked> | undefined> {
  const { at, authorities: said } = readStatement(text, name, known.authorities);
  if (at < known.told)
    throw new Fault(
      "access_denied",
      `what is said of the authorities of ${name} is older than what is known`,
    );
  const wanted = said.filter(({ spec }) => types.includes(spec.type));
  const { authorities } = await foreignAuthorities(parts, wanted, types);
  if (isDeepStrictEqual(authorities, known.authorities)) return undefined;
  return { authorities, told: at };
}

const unlessNewer = <T extends Linked>(now: T, next: T): T | undefined =>
  next.told < now.told ? undefined : next;
