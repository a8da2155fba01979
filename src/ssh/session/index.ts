export { type Exit, openSession, type Session, type TerminalSize } from "./client.ts";
export type { TerminalModes } from "./modes.ts";
export { readSessionRequest, type SessionRequest, sessionRequests } from "./requests.ts";
export { sendExit } from "./server.ts";
