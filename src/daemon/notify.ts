import { spawn } from "node:child_process";
import { second } from "#core/clock";
import type { Log } from "#core/log";

/** Tells the service manager what the daemon is up to: sd_notify(3) assignments such as `READY=1`. Never rejects. */
export type Notify = (...assignments: string[]) => Promise<void>;

/** systemd answers at once; whoever does not must not hold up a reload. */
const patience = 5 * second;

/**
 * `$NOTIFY_SOCKET` is a Unix datagram socket, and Node speaks none; systemd-notify(1) does, and is where systemd is. The
 * message comes from a child of ours then, which the unit has to allow: `NotifyAccess=all`.
 */
export function notifier(env: Readonly<Record<string, string | undefined>>, log: Log): Notify {
  const { NOTIFY_SOCKET, PATH } = env;
  if (!NOTIFY_SOCKET) return async () => {};
  return (...assignments) =>
    new Promise((resolve) => {
      const failed = (why: string): void => {
        log.warn("the service manager could not be told", { what: assignments.join(" "), why });
        resolve();
      };
      const child = spawn("systemd-notify", assignments, {
        env: { NOTIFY_SOCKET, PATH: PATH ?? "/usr/bin:/bin" },
        stdio: "ignore",
        timeout: patience,
      });
      child.once("error", (err) => failed(err.message));
      child.once("exit", (code) => (code === 0 ? resolve() : failed(`systemd-notify ended with ${code}`)));
    });
}

/** The instant of a reload as `RELOADING=1` must come with it: CLOCK_MONOTONIC in microseconds. */
export const reloading = (): readonly [string, string] => [
  "RELOADING=1",
  `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`,
];
