import { hour, type Millis } from "#core/clock";
import type { Parts } from "../parts.ts";
import { clearName } from "./secrets.ts";

const every: Millis = 1 * hour;

/**
 * Sweeps away passwords and second factors of accounts that ran out by themselves (AUTH-43), now and every hour until `signal`
 * aborts. Nobody gets in by them; but what is not kept cannot be stolen.
 */
export async function sweepLeftovers(parts: Parts, signal: AbortSignal): Promise<void> {
  const { clock, log } = parts;
  while (!signal.aborted) {
    try {
      await sweep(parts);
    } catch (err) {
      // As while the storage is away: an hour later is early enough.
      log.warn("could not sweep what accounts left behind", {
        error: err instanceof Error ? err.message : String(err),
      });
    }
    await clock.sleep(every, signal, { background: true }).catch(() => {});
  }
}

async function sweep(parts: Parts): Promise<void> {
  const { users, passwords, otps, securityKeys } = parts.store;
  // First the secrets: an account that is made after them is not in their list.
  const secrets = [...(await passwords.list()), ...(await otps.list()), ...(await securityKeys.list())];
  if (secrets.length === 0) return;
  const there = new Set((await users.list()).map(({ metadata }) => metadata.name));
  for (const name of new Set(secrets.map(({ user }) => user)))
    if (!there.has(name)) await clearName(parts, name);
}
