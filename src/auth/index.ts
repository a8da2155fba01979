export { type AuthApiOptions, authApi } from "./api.ts";
export type { AuditLog, Recordings } from "./audit.ts";
export { handlers } from "./handlers.ts";
export type { HostCertRequest } from "./issue-host.ts";
export type { IssueMeter } from "./issuing.ts";
export { localClient } from "./local.ts";
export { type Auth, type AuthOptions, openAuth } from "./open.ts";
export type { AuthConfig } from "./parts.ts";
