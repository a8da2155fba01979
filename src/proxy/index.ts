export { openForTunnel } from "./from-tunnel.ts";
export type { DialMeter, ReachOptions } from "./reach.ts";
export { type ProxyOptions, ProxyServer } from "./server.ts";
