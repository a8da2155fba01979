import { commandsWith, flag } from "../command.ts";

/** The flags that every `teleport` command takes. */
export const globals = {
  debug: flag.yes("Tell what is being done, with stack traces of errors", { short: "d" }),
  config: flag.text("The configuration file (as root /etc/teleport.yaml)", { short: "c", value: "FILE" }),
  configString: flag.text("The configuration itself, in base64", {
    value: "BASE64",
    env: "TELEPORT_CONFIG",
    hidden: true,
  }),
};

export const command = commandsWith(globals);
