import { mkdir, writeFile } from "node:fs/promises";
import { quiet } from "./daemon.ts";
import { toolsOver } from "./tools.ts";

toolsOver("the ssh_config of tsh config and no agent", async (cluster) => {
  const HOME = cluster.folder.at("a home, 100% odd");
  await mkdir(HOME);
  const env = { ...quiet, HOME };
  await cluster.logIn("joe", { env });
  const config = cluster.folder.at("ssh_config.tsh");
  await writeFile(config, await cluster.mustTsh(["config", `--port=${cluster.ports.node}`], { env }));
  return { config, env };
});
