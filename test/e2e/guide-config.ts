import { writeFile } from "node:fs/promises";
import { type Cluster, login } from "./cluster.ts";

/** The `ssh_config` of the admin guide: the host authority by hand, the proxy's subsystem behind `%h:%p`. Answers its path. */
export async function writeGuideConfig(cluster: Cluster, { suffix = "" } = {}): Promise<string> {
  const file = (name: string): string => cluster.folder.at(name);
  const config = file(`ssh_config${suffix}`);
  const line = await cluster.mustTctl("auth", "export", "--type=host");
  await writeFile(file("known_hosts"), line);
  await writeFile(file("known_proxies"), line.replace("*.main", "127.0.0.1"));
  const proxyCommand = `ssh -F ${config} -p ${cluster.ports.proxy} -o UserKnownHostsFile=${file("known_proxies")} %r@127.0.0.1 -s proxy:%h:%p${suffix}`;
  await writeFile(
    config,
    [
      "Host *.main by-address",
      `  Port ${cluster.ports.node}`,
      `  ProxyCommand ${proxyCommand}`,
      "Host by-address",
      "  HostName 127.0.0.1",
      "Host jump",
      "  HostName 127.0.0.1",
      `  Port ${cluster.ports.proxy}`,
      `  UserKnownHostsFile ${file("known_proxies")}`,
      "Host *",
      `  User ${login}`,
      "  BatchMode yes",
      "  StrictHostKeyChecking yes",
      `  UserKnownHostsFile ${file("known_hosts")}`,
      "  GlobalKnownHostsFile /dev/null",
      "",
    ].join("\n"),
  );
  return config;
}
