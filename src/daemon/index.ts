import type * as look from "./examine.ts";
import type * as start from "./start.ts";

// Commands that only ask the auth service come through this door too: what the daemon runs is loaded when it runs.
export { openAdmin } from "./admin.ts";
export { jsonLog, type Severity, textLog } from "./log.ts";
export type { OwnProcess } from "./own-process.ts";
export const startDaemon: typeof start.startDaemon = async (config, parts, signal) =>
  (await import("./start.ts")).startDaemon(config, parts, signal);
export const examine: typeof look.examine = async (config, clock) =>
  (await import("./examine.ts")).examine(config, clock);
