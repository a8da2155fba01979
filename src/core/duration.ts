import type { Millis } from "./clock.ts";
import { Fault } from "./errors.ts";

const units: Readonly<Record<string, Millis>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Reads a duration as Go writes it: `1h30m`, `90s`, `1.5h`, `300ms`, `0`. Throws `bad_parameter`. */
export function parseDuration(text: string): Millis {
  const fail = (): Fault =>
    new Fault("bad_parameter", `${JSON.stringify(text)} is not a duration; write it like 90s, 30m or 1h30m`);
  // No duration is that long, and the expression below takes quadratic time for a text that is none.
  if (text.length > 64)
    throw new Fault("bad_parameter", "a duration is written like 90s, 30m or 1h30m, not as a long text");
  const match = /^([+-]?)((?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/.exec(text);
  if (text === "0" || text === "+0" || text === "-0") return 0;
  if (!match) throw fail();
  let total = 0;
  for (const [, number, unit] of text.matchAll(/(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g)) {
    total += Number(number) * (units[unit as string] as number);
  }
  if (!Number.isFinite(total)) throw fail();
  return match[1] === "-" ? -total : total;
}

/** Writes a duration as Go does: `12h0m0s`, `1m30s`, `300ms`, `0s`. */
export function formatDuration(ms: Millis): string {
  if (ms === 0) return "0s";
  const sign = ms < 0 ? "-" : "";
  const all = Math.abs(ms);
  if (all < 1000) return `${sign}${all}ms`;
  const hours = Math.floor(all / 3_600_000);
  const minutes = Math.floor((all % 3_600_000) / 60_000);
  const seconds = Number(((all % 60_000) / 1000).toFixed(3));
  return `${sign}${hours > 0 ? `${hours}h` : ""}${hours > 0 || minutes > 0 ? `${minutes}m` : ""}${seconds}s`;
}
