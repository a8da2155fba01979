import { type Config, defaultPlaces, load } from "#config";
import { Fault } from "#core/errors";
import { type Command, flag } from "../command.ts";
import { report } from "../errors.ts";
import type { Io } from "../io.ts";
import { readSettings } from "../settings.ts";
import { printable } from "../text.ts";
import type { Daemon } from "./daemon.ts";
import { command } from "./globals.ts";

/** `teleport configure`: a commented sample to begin with; with `--test`, what is wrong with a file (CFG-130). */
export const configure = (daemon: () => Promise<Daemon>): Command =>
  command({
    name: "configure",
    about: "Print a sample configuration file, or check one",
    flags: {
      test: flag.text(
        "Check this file without starting: 0 it can be started with, 2 the file is wrong, 1 the machine lacks something",
        {
          value: "FILE",
        },
      ),
    },
    async run({ flags, io }) {
      if (flags.test !== undefined) return await check(flags.test, io, daemon);
      const { sampleConfig } = await load();
      const { dataDir, pidFile } = defaultPlaces({ ...io.machine, env: io.env });
      io.out(sampleConfig({ nodename: io.machine.hostname, dataDir, pidFile }).trimEnd());
      return 0;
    },
  });

/** Says all that there is to say, a line each, and how a start would end. */
async function check(path: string, io: Io, daemon: () => Promise<Daemon>): Promise<number> {
  const say = (kind: "error" | "warning", text: string): void => io.err(`${kind}: ${printable(text)}`);
  let config: Config;
  try {
    const { configure: merge } = await load();
    const { file, places } = await readSettings({ config: path }, io);
    const merged = merge({
      file,
      flags: {},
      defaults: { nodename: io.machine.hostname, dataDir: places.dataDir },
    });
    for (const warning of merged.warnings) say("warning", warning);
    config = merged.config;
  } catch (err) {
    if (!(err instanceof Fault)) throw err;
    const lines = err.message.split("\n");
    for (const line of lines.slice(0, -1)) say("error", line);
    return report(new Fault(err.kind, lines.at(-1) ?? ""), io, false);
  }
  const { examine } = await daemon();
  const found = await examine(config);
  for (const { kind, text } of found) say(kind === "warning" ? "warning" : "error", `${path}: ${text}`);
  if (found.some(({ kind }) => kind === "file")) return 2;
  if (found.some(({ kind }) => kind === "machine")) return 1;
  io.out(`${printable(path)} can be started with`);
  return 0;
}
