import { load } from "#config";
import { systemClock } from "#core/clock";
import type { Command } from "../command.ts";
import { flag } from "../command.ts";
import type { Io } from "../io.ts";
import { readSettings } from "../settings.ts";
import { printable } from "../text.ts";
import { productVersion } from "../version.ts";
import type { Daemon } from "./daemon.ts";
import { command } from "./globals.ts";
import { openLogSink } from "./log.ts";
import { ownProcess } from "./own-process.ts";

/** `teleport start`: the daemon, until it is told to stop. `daemon` loads the code that it runs. */
export const start = (daemon: () => Promise<Daemon>): Command =>
  command({
    name: "start",
    about: "Run the services of this host",
    flags: {
      roles: flag.list("Which services to run, of node, proxy and auth (all of them)", {
        short: "r",
        value: "node,proxy,auth",
      }),
      authServer: flag.list("Address of the auth service to join", { value: "HOST[:3025]" }),
      token: flag.text("Invite token, or the absolute path of a file with it", { value: "TOKEN" }),
      caPin: flag.text("What `tctl status` prints as CA pin, to verify the auth service by", {
        value: "sha256:HEX",
      }),
      nodename: flag.text("Name of this host for users (its host name)", { value: "NAME" }),
      labels: flag.text('Labels of this node: env=prod,up=[1m:"uptime -p"]', { value: "LABELS" }),
      listenIp: flag.text("Address that every service listens on", { short: "l", value: "IP" }),
      advertiseIp: flag.text("Address under which others reach this host", { value: "HOST" }),
      pidFile: flag.text("File to write the process id to", { value: "FILE" }),
      insecure: flag.yes("Do not verify HTTPS certificates of proxies and other clusters"),
      insecureNoTls: flag.yes("Serve the web port without TLS, behind a load balancer that has it"),
      permitUserEnv: flag.yes("Read ~/.tsh/environment of the logins of this node"),
      diagAddr: flag.text("Serve /metrics, /healthz and /readyz at this address", { value: "HOST:PORT" }),
      fips: flag.yes("Accept FIPS-certified cryptography only", { hidden: true }),
    },
    async run({ flags, io, signal }) {
      const { configure } = await load();
      const { file, places } = await readSettings(flags, io);
      const { config, warnings } = configure({
        file,
        flags,
        defaults: { nodename: io.machine.hostname, dataDir: places.dataDir },
      });
      // To the terminal whatever the log's severity and output: these are for whoever starts it (AUTH-17).
      const warn = (line: string): void => io.err(`warning: ${printable(line)}`);
      const own = ownProcess(io);
      // Of a proxy's processes the first has said them.
      if (own.parent?.companion === undefined) for (const warning of warnings) warn(warning);
      // Whoever read the banner or the log may leave; people's sessions must not end with them.
      io.stdout.on("error", () => {});
      const { startDaemon, ...logs } = await daemon();
      const { output, severity, format } = config.teleport.log;
      await using sink = await openLogSink(output, io, systemClock);
      const lines = { write: sink.write, severity, clock: systemClock };
      const log =
        format === "json" ? logs.jsonLog(lines) : logs.textLog({ ...lines, stamped: !sink.stampsItself });
      const say = config.process.debug ? () => {} : (line: string) => io.out(line);
      try {
        await startDaemon(
          config,
          { log, say, warn, stdout: whole(io), version: productVersion(), own },
          signal,
        );
      } catch (err) {
        // Told to stop while it was starting: that is no failure (CFG-142).
        if (!signal.aborted) throw err;
      }
      return 0;
    },
  });

const whole =
  ({ stdout }: Io) =>
  (line: string): Promise<void> =>
    new Promise((resolve, reject) => {
      stdout.write(line, (err) => (err ? reject(err) : resolve()));
    });
