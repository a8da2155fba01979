import { userInfo } from "node:os";
import type { Auth } from "#auth";
import type { Config } from "#config";
import { formatAddress } from "#net";

/** What to do after the first start, with this cluster's real names; nothing once there is a user. */
export async function nextStep(config: Config, auth: Auth): Promise<readonly string[]> {
  if ((await auth.parts.store.users.list()).length > 0) return [];
  const { username } = userInfo();
  const { nodename } = config.teleport;
  const { public_addr, web_listen_addr } = config.proxy_service;
  const proxy = public_addr[0] ?? { host: "localhost", port: web_listen_addr.port };
  const address = proxy.port === 3080 ? proxy.host : formatAddress(proxy);
  return [
    "",
    `Cluster ${auth.clusterName} is up. Next, in another terminal, make a user who may log in as ${username}:`,
    "",
    `    bin/tctl users add ${username}`,
    "",
    "open the address it prints in a browser, then:",
    "",
    `    bin/tsh login --proxy=${address} --user=${username}${public_addr.length === 0 ? " --insecure" : ""}`,
    `    bin/tsh ssh ${username}@${nodename}`,
    "",
  ];
}
