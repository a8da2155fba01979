import { type Command, commandsWith, type Flags } from "./command.ts";
import { versionLine } from "./version.ts";

/** `version`, the same in all three tools. */
export const versionCommand = (globals: Flags): Command =>
  commandsWith(globals)({
    name: "version",
    about: "Print the version",
    flags: {},
    async run({ io }) {
      io.out(versionLine());
      return 0;
    },
  });
