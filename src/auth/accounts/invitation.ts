import { hour, type Millis } from "#core/clock";
import { Fault } from "#core/errors";
import type { Parts } from "../parts.ts";

const longestTtl: Millis = 48 * hour;

/** Where the invited person finds the page (AUTH-32). */
export async function webAddress({ store }: Pick<Parts, "store">): Promise<string> {
  const proxies = await store.proxies.list();
  const best = proxies.find(({ spec }) => spec.public_addr) ?? proxies[0];
  if (!best) return "<proxyhost>:3080";
  const host = best.spec.public_addr || best.spec.hostname;
  return /:\d+$/.test(host) ? host : `${host}:3080`;
}

/** Throws `bad_parameter` for an invitation that would be good for too long. */
export function checkTtl(ttl: Millis): void {
  if (ttl > longestTtl) throw new Fault("bad_parameter", "maximum signup token TTL is 48 hours");
}
