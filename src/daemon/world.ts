import type { Clock } from "#core/clock";
import type { Leaving } from "#core/leaving";
import type { Log } from "#core/log";
import type { Owner } from "#core/owner";
import type { Random } from "#core/random";
import type { DialOut } from "#net";
import type { Health } from "./health.ts";
import type { Listeners } from "./listeners.ts";
import type { Metrics } from "./metrics.ts";
import type { OwnProcess } from "./own-process.ts";

/** What every part of the daemon is handed. */
export interface World {
  readonly hostId: string;
  /** This process, as others see whether it still lives. */
  readonly owner: Owner;
  /** The data folder of the host; that of a further process of a proxy lies in it. */
  readonly hostDir: string;
  /** This program's version, e.g. `5.0.0`. */
  readonly version: string;
  /** A line of the banner on standard output (CFG-146). */
  readonly say: (line: string) => void;
  /** A line of the audit log, for `stdout://`. */
  readonly stdout: (line: string) => Promise<void>;
  /** A line to the operator whatever the log's severity and output (AUTH-17). */
  readonly warn: (line: string) => void;
  readonly own: OwnProcess;
  /** For every listener of this process, so that the next process can have it. */
  readonly listeners: Listeners;
  /** To whatever lies outside of the cluster, through the proxy that the environment names (CON-01). */
  readonly dialOut: DialOut;
  readonly leaving: Leaving;
  readonly health: Health;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}
