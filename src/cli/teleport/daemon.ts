import type { Config } from "#config";
import type { Clock } from "#core/clock";
import type { Log } from "#core/log";

/** What the daemon is handed beside its configuration. */
export interface DaemonParts {
  readonly log: Log;
  /** A line of the banner on standard output (CFG-146). */
  readonly say: (line: string) => void;
  /** The environment that the process was started with: HTTP proxies, AWS credentials. */
  readonly env: Readonly<Record<string, string | undefined>>;
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
