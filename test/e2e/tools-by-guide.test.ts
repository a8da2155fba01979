import { Program } from "../support/program.ts";
import { quiet } from "./daemon.ts";
import { writeGuideConfig } from "./guide-config.ts";
import { toolsOver } from "./tools.ts";

toolsOver("the admin guide's ssh_config and an agent", async (cluster, stack) => {
  const socket = cluster.folder.at("agent");
  const agent = stack.use(await Program.start("ssh-agent", ["-D", "-a", socket]));
  await agent.line(/SSH_AUTH_SOCK/);
  const env = { ...quiet, HOME: cluster.home, SSH_AUTH_SOCK: socket };
  await cluster.logIn("joe", { env });
  return { config: await writeGuideConfig(cluster), env };
});
