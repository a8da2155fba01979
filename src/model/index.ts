export * from "./authority.ts";
export * from "./cluster.ts";
export * from "./identity.ts";
export * from "./resource.ts";
export * from "./role.ts";
export * from "./server.ts";
export * from "./token.ts";
export * from "./user.ts";
