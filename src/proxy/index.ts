export { type ProxyOptions, ProxyServer } from "./server.ts";
