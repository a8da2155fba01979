export { describe } from "./describe.ts";
export { type Draft, type Emitter, stamp } from "./emitter.ts";
export { AuditEvent, type Code, type EventName, type EventOf } from "./schema.ts";
