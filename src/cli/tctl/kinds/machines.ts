import type { AuthServer, Node, ProxyServer } from "#model";
import { sortNodes } from "../../nodes.ts";
import { table } from "../../table.ts";
import { nodeTable } from "../node-list.ts";
import { type Kind, of, sorted } from "./kind.ts";

const instead = "it leaves the list by itself within 30 s of its end";

export const machines: readonly Kind[] = [
  of<Node>({
    kind: "node",
    aliases: ["nodes"],
    list: (auth, _, signal) => auth["nodes.list"]({}, signal).then(sortNodes),
    alsoNamed: ({ spec }) => spec.hostname,
    remove: (auth, { metadata: { name } }, signal) => auth["nodes.remove"]({ name }, signal),
    text: nodeTable,
  }),
  of<ProxyServer>({
    kind: "proxy",
    aliases: ["proxies"],
    list: (auth, _, signal) => auth["proxies.list"]({}, signal).then((all) => sorted(all)),
    alsoNamed: ({ spec }) => spec.hostname,
    instead,
    text: serverTable,
  }),
  of<AuthServer>({
    kind: "auth_server",
    aliases: ["auth_servers", "auth", "auths"],
    list: (auth, _, signal) => auth["auth_servers.list"]({}, signal).then((all) => sorted(all)),
    alsoNamed: ({ spec }) => spec.hostname,
    instead,
    text: serverTable,
  }),
];

function serverTable(servers: readonly (ProxyServer | AuthServer)[]): string[] {
  return table(
    ["Name", "ID", "Address"],
    servers.map(({ metadata, spec }) => [spec.hostname, metadata.name, spec.addr]),
  );
}
