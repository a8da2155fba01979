export type { DialMeter } from "./reach.ts";
export { type ProxyOptions, ProxyServer } from "./server.ts";
