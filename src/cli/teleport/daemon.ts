import type * as door from "#daemon";

/** The daemon, as `teleport start` sees it. */
export type Daemon = Pick<typeof door, "examine" | "jsonLog" | "startDaemon" | "textLog">;
/** What it is told of the process it runs in. */
export type OwnProcess = door.OwnProcess;
