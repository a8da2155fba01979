export { type AuthClient, type AuthClientOptions, openAuthClient } from "./client.ts";
export { AuditSender } from "./emitter.ts";
export { uploadRecording } from "./upload.ts";
