import type { Program } from "../command.ts";
import { versionCommand } from "../version-command.ts";
import { configure } from "./configure.ts";
import type { Daemon } from "./daemon.ts";
import { globals } from "./globals.ts";
import { start } from "./start.ts";
import { status } from "./status.ts";

export const programWith = (daemon: () => Promise<Daemon>): Program => ({
  name: "teleport",
  about: "The daemon of Teleport: auth service, proxy and node.",
  globals,
  commands: [start(daemon), configure(daemon), status, versionCommand(globals)],
});

export const program = programWith(() => import("#daemon"));
