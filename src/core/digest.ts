import { createHash, timingSafeEqual } from "node:crypto";

/** SHA-256 as 64 hex digits. As a storage key it finds a secret without a comparison that could be timed. */
export const sha256 = (data: string | Uint8Array): string => createHash("sha256").update(data).digest("hex");

/** Whether two secrets are the same, in a time that tells nothing of where they differ, nor of their lengths. */
export const sameSecret = (a: string, b: string): boolean =>
  timingSafeEqual(createHash("sha256").update(a).digest(), createHash("sha256").update(b).digest());
