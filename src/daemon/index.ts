export { readIdentity } from "./identity.ts";
export { textLog } from "./log.ts";
export { type DaemonParts, startDaemon } from "./start.ts";
