import type { Program } from "../command.ts";
import { versionCommand } from "../version-command.ts";
import { globals } from "./globals.ts";

export const program: Program = {
  name: "tctl",
  about: "Administer a Teleport cluster, on the host of its auth service.",
  globals,
  commands: [versionCommand(globals)],
};
