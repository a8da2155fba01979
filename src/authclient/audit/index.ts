export { AuditSender } from "./emitter.ts";
export { EventSpool } from "./event-spool.ts";
