// What sends audit events is at a door of its own, `#authclient/audit`: a command that only asks does without the schemas of all events.
export { type AuthClient, type AuthClientOptions, isAway, openAuthClient } from "./client.ts";
export { uploadRecording } from "./upload.ts";
