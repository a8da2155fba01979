import type { Program } from "../command.ts";
import { versionCommand } from "../version-command.ts";
import { access } from "./access.ts";
import type { ConnectAdmin } from "./admin.ts";
import { auth } from "./auth-export.ts";
import { globals } from "./globals.ts";
import { nodes } from "./nodes.ts";
import { resources } from "./resources.ts";
import { status } from "./status.ts";
import { tokens } from "./tokens.ts";
import { users } from "./users.ts";

export const programWith = (connect: ConnectAdmin): Program => ({
  name: "tctl",
  about: "Administer a Teleport cluster, on the host of its auth service.",
  globals,
  commands: [
    users(connect),
    nodes(connect),
    tokens(connect),
    auth(connect),
    access(connect),
    status(connect),
    ...resources(connect),
    versionCommand(globals),
  ],
});

export const program = programWith(async (...given) => {
  const { connectAdmin } = await import("./connect.ts");
  return connectAdmin(() => import("#daemon"))(...given);
});
