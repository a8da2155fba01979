import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { type Millis, second } from "#core/clock";

// Time-based one-time passwords, RFC 6238: SHA-1, 6 digits, 30 s (AUTH-37).

const period: Millis = 30 * second;
const digits = 6;
const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/** A new seed, base32: 20 bytes, as RFC 4226 §4 recommends. */
export function newSeed(): string {
  let bits = "";
  for (const byte of randomBytes(20)) bits += byte.toString(2).padStart(8, "0");
  return bits.replace(/.{5}/g, (five) => alphabet[Number.parseInt(five, 2)] as string);
}

/** The code of one time step. */
export function codeAt(seed: string, step: number): string {
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(step));
  const mac = createHmac("sha1", seedBytes(seed)).update(counter).digest();
  const offset = (mac.at(-1) as number) & 0x0f;
  const number = mac.readUInt32BE(offset) & 0x7fffffff;
  return String(number % 10 ** digits).padStart(digits, "0");
}

export const stepAt = (now: Millis): number => Math.floor(now / period);

/**
 * Whether `code` is good at `now`, one step early or late: then its step, to be remembered. A step not later than `lastStep` was used
 * before, or is older than one that was.
 */
export function checkCode(
  seed: string,
  code: string,
  now: Millis,
  lastStep: number,
): { readonly step: number } | "used" | "wrong" {
  const given = Buffer.from(code);
  let found: number | undefined;
  for (const step of [stepAt(now) - 1, stepAt(now), stepAt(now) + 1]) {
    const expected = Buffer.from(codeAt(seed, step));
    if (given.length === expected.length && timingSafeEqual(given, expected)) found = step;
  }
  if (found === undefined) return "wrong";
  return found > lastStep ? { step: found } : "used";
}

/** What a QR code shows to an authenticator. */
export function otpUri(seed: string, account: string): string {
  const query = new URLSearchParams({
    secret: seed,
    issuer: "Teleport",
    algorithm: "SHA1",
    digits: String(digits),
    period: String(period / second),
  });
  return `otpauth://totp/${encodeURIComponent(`Teleport:${account}`)}?${query}`;
}

function seedBytes(seed: string): Buffer {
  let bits = "";
  for (const letter of seed) bits += alphabet.indexOf(letter).toString(2).padStart(5, "0");
  return Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
}
