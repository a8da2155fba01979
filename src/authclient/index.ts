export { type AuthClient, type AuthClientOptions, isAway, openAuthClient } from "./client.ts";
export { AuditSender } from "./emitter.ts";
export { EventSpool } from "./event-spool.ts";
export { uploadRecording } from "./upload.ts";
