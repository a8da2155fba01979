import type { Program } from "../command.ts";
import { versionCommand } from "../version-command.ts";
import { globals } from "./globals.ts";

export const program: Program = {
  name: "tsh",
  about: "Log in to a Teleport cluster and reach its hosts.",
  globals,
  // A command of its own file, made by `command` of globals.ts; what is heavy it loads inside `run`.
  commands: [versionCommand(globals)],
};
