import { randomBytes, randomUUID } from "node:crypto";

/** Where randomness comes from, so that a test can fix it. Keys and nonces always come from `node:crypto` itself. */
export interface Random {
  bytes(count: number): Uint8Array;
  /** A version 4 UUID. */
  uuid(): string;
  /** At least 0, below 1. For jitter, never for secrets. */
  fraction(): number;
}

export const systemRandom: Random = {
  bytes: (count) => randomBytes(count),
  uuid: () => randomUUID(),
  fraction: () => Math.random(),
};
