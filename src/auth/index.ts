export { type AuthApiOptions, authApi } from "./api/api.ts";
export { handlers } from "./api/handlers.ts";
export { localClient } from "./api/local.ts";
export type { AuditLog, Recordings } from "./audit.ts";
export type { HostCertRequest } from "./certificates/issue-host.ts";
export type { IssueMeter } from "./certificates/issuing.ts";
export { type Auth, type AuthOptions, openAuth } from "./open.ts";
export type { AuthConfig } from "./parts.ts";
