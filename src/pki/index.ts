import type * as issue from "./issue.ts";

export { checkAuthority, checkAuthorityPair } from "./authority-pair.ts";
export type { TlsPair } from "./issue.ts";
export * from "./key.ts";
export * from "./read.ts";

// Signing needs a large package, reading does not: commands that only read must not load it.
export const makeAuthority: typeof issue.makeAuthority = async (options) =>
  (await import("./issue.ts")).makeAuthority(options);
export const issueTls: typeof issue.issueTls = async (options) =>
  (await import("./issue.ts")).issueTls(options);
export const makeSelfSigned: typeof issue.makeSelfSigned = async (options) =>
  (await import("./issue.ts")).makeSelfSigned(options);
