import { argon2, randomBytes, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";
import { Fault } from "#core/errors";
import type { PasswordRecord } from "#store";

/** Cost of argon2id: KiB of memory and passes over it. */
export interface PasswordCost {
  readonly memory: number;
  readonly passes: number;
}
/** OWASP's first recommendation; about 50 ms on a thread of the pool. */
export const defaultPasswordCost: PasswordCost = { memory: 47_104, passes: 1 };

const derive = promisify(argon2);
const [shortest, longest] = [6, 128];

/** Throws `bad_parameter` for a password that is too short or too long (AUTH-36). */
export function checkNewPassword(password: string): void {
  if (password.length < shortest || password.length > longest)
    throw new Fault("bad_parameter", `a password must have ${shortest} to ${longest} characters`);
}

export async function hashPassword(
  user: string,
  password: string,
  cost: PasswordCost,
): Promise<PasswordRecord> {
  const salt = randomBytes(16).toString("base64");
  const record = { user, algorithm: "argon2id" as const, ...cost, parallelism: 1, salt, hash: "" };
  return { ...record, hash: (await hash(record, password)).toString("base64") };
}

/** Whether `password` is the one of `record`. Without a record it does the same work, and it is not (AUTH-36, S21). */
export async function verifyPassword(
  record: PasswordRecord | undefined,
  password: string,
  cost: PasswordCost,
): Promise<boolean> {
  const against = record ?? {
    user: "",
    algorithm: "argon2id",
    ...cost,
    parallelism: 1,
    salt: nobody,
    hash: nobody,
  };
  const expected = Buffer.from(against.hash, "base64");
  const found = await hash(against, password);
  return expected.length === found.length && timingSafeEqual(expected, found) && record !== undefined;
}

/** 32 zero bytes: a hash that nothing has. */
const nobody = Buffer.alloc(32).toString("base64");

function hash(record: PasswordRecord, password: string): Promise<Buffer> {
  return derive("argon2id", {
    // The same characters may be typed in two forms on two systems.
    message: Buffer.from(password.normalize("NFC")),
    nonce: Buffer.from(record.salt, "base64"),
    parallelism: record.parallelism,
    memory: record.memory,
    passes: record.passes,
    tagLength: 32,
  });
}
