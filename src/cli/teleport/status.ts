import { table } from "../table.ts";
import { command } from "./globals.ts";

/** `teleport status`: which session this shell belongs to (SSH-45). */
export const status = command({
  name: "status",
  about: "Tell about the SSH session that this shell runs in",
  flags: {},
  async run({ io }) {
    const { env } = io;
    const sid = env.SSH_SESSION_ID;
    const proxy = env.SSH_SESSION_WEBPROXY_ADDR;
    if (!sid) {
      io.out("You are not inside of a Teleport SSH session");
      return 0;
    }
    const cluster = env.SSH_TELEPORT_CLUSTER_NAME ?? "";
    const host = env.SSH_TELEPORT_HOST_UUID ?? "";
    const login = env.USER ?? "";
    const from = env.SSH_CLIENT?.split(" ").slice(0, 2).join(":");
    const path = [cluster, "node", host, login, sid].map(encodeURIComponent).join("/");
    const rows = [
      ["User ID", `${env.SSH_TELEPORT_USER ?? ""}, logged in as ${login}${from ? ` from ${from}` : ""}`],
      ["Cluster Name", cluster],
      ["Host UUID", host],
      ["Session ID", sid],
      ["Session URL", proxy ? `https://${proxy}/web/cluster/${path}` : ""],
    ];
    for (const line of table(
      [],
      rows.map(([name, value]) => [name as string, `: ${value}`]),
    )) {
      io.out(line);
    }
    return 0;
  },
});
