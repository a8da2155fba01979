import type { Program } from "../command.ts";
import { versionCommand } from "../version-command.ts";
import { globals } from "./globals.ts";

export const program: Program = {
  name: "teleport",
  about: "The daemon of Teleport: auth service, proxy and node.",
  globals,
  commands: [versionCommand(globals)],
};
