import type { Config } from "#config";
import type { Clock } from "#core/clock";
import type { Log } from "#core/log";

/** What the daemon is handed beside its configuration. */
export interface DaemonParts {
  readonly log: Log;
  /** A line of the banner on standard output (CFG-146). */
  readonly say: (line: string) => void;
  /** A line to the operator whatever the log's severity and output. */
  readonly warn: (line: string) => void;
  /** A line of the audit log on standard output, for `stdout://`; resolves when it is written. */
  readonly stdout: (line: string) => Promise<void>;
  /** This program's version, e.g. `5.0.0`. */
  readonly version: string;
}

/** The daemon, as `teleport start` sees it. */
export interface Daemon {
  /** Runs until `signal` aborts and resolves once all is stopped. Rejects when a critical service cannot start or go on. */
  startDaemon(config: Config, parts: DaemonParts, signal: AbortSignal): Promise<void>;
  textLog(options: {
    write: (line: string) => void;
    severity: Config["teleport"]["log"]["severity"];
    clock: Clock;
  }): Log;
}
