export { Agents, type AgentsOptions } from "./agents.ts";
export { type HubOptions, TunnelHub } from "./hub.ts";
export { type DialRequest, remoteAuthServer } from "./protocol.ts";
