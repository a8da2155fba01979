export { type SessionKind, type SessionMeter, sessionKinds } from "./meter.ts";
export { NodeServer } from "./server.ts";
