import type { Program } from "../command.ts";
import { versionCommand } from "../version-command.ts";
import { commands } from "./commands.ts";
import { globals } from "./globals.ts";

export const program: Program = {
  name: "tsh",
  about: "Log in to a Teleport cluster and reach its hosts.",
  globals,
  commands: [...commands, versionCommand(globals)],
};
