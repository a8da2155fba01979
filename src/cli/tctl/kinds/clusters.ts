import { sha256 } from "#core/digest";
import type { CertAuthority, RemoteCluster, TrustedCluster } from "#model";
import { table } from "../../table.ts";
import { type Kind, list, type Named, of, sorted } from "./kind.ts";

const id = ({ spec, metadata }: CertAuthority): string => `${spec.type}/${metadata.name}`;

/** As OpenSSH prints it, of an authorized_keys line. */
const fingerprint = (line: string): string => {
  const blob = Buffer.from(line.split(" ")[1] ?? "", "base64");
  return `SHA256:${Buffer.from(sha256(blob), "hex").toString("base64").replace(/=+$/, "")}`;
};

const remoteClusters = of<RemoteCluster>({
  kind: "remote_cluster",
  aliases: ["remote_clusters", "rc", "rcs"],
  list: async (auth, _options, signal) => sorted(await auth["remote_clusters.list"]({}, signal)),
  remove: (auth, { metadata: { name } }, signal) => auth["remote_clusters.delete"]({ name }, signal),
  removed: ({ metadata: { name } }) => `remote cluster ${JSON.stringify(name)} has been deleted`,
  text: (found) =>
    table(
      ["Name", "Status", "Last Heartbeat"],
      found.map(({ metadata, status }) => [
        metadata.name,
        status.connection,
        status.last_heartbeat ?? "never",
      ]),
    ),
});

/** `admin:auditor,dev`; without a mapping what it is then (TC-08). */
const roleMap = ({ spec: { role_map, roles } }: TrustedCluster): string =>
  roles
    ? `*:${list(roles)}`
    : (role_map ?? [{ remote: "admin", local: ["admin"] }])
        .map(({ remote, local }) => `${remote}:${list(local)}`)
        .join(" ");

const trustedClusters = of<TrustedCluster>({
  kind: "trusted_cluster",
  aliases: ["trusted_clusters", "tc", "tcs", "cluster", "clusters"],
  list: async (auth, _options, signal) => sorted(await auth["trusted_clusters.list"]({}, signal)),
  remove: (auth, { metadata: { name } }, signal) => auth["trusted_clusters.delete"]({ name }, signal),
  removed: ({ metadata: { name } }) => `trusted cluster ${JSON.stringify(name)} has been deleted`,
  orElse: remoteClusters,
  // A cluster may trust one that trusts it (TC-14).
  remains: async (auth, { metadata: { name } }, signal) => {
    const others = await auth["remote_clusters.list"]({}, signal);
    return others.some(({ metadata }) => metadata.name === name)
      ? [`${name} trusts this cluster too, and goes on doing so; tctl rm rc/${name} ends that from here`]
      : [];
  },
  text: (found) =>
    table(
      ["Name", "Enabled", "Token", "Proxy Address", "Reverse Tunnel Address", "Role Map"],
      found.map((one) => [
        one.metadata.name,
        String(one.spec.enabled),
        "(used)",
        one.spec.web_proxy_addr,
        one.spec.tunnel_addr ?? one.spec.web_proxy_addr,
        roleMap(one),
      ]),
    ),
});

/** There are none as long as there are no tunnels between clusters. */
const reverseTunnels: Kind = {
  kind: "reverse_tunnel",
  aliases: ["reverse_tunnels", "rt", "rts"],
  list: async () => [],
  instead: "this version has no tunnels between clusters",
  text: () => table(["Cluster Name", "Dial Addresses"], []),
};

/** What is left of the namespaces of older versions: everything is in this one. */
const theNamespace = { kind: "namespace", version: "v2", metadata: { name: "default" }, spec: {} };

export const clusters: readonly Kind[] = [
  trustedClusters,
  remoteClusters,
  reverseTunnels,
  of<CertAuthority>({
    kind: "cert_authority",
    aliases: ["cert_authorities", "cas", "ca"],
    list: (auth, { secrets }, signal) =>
      auth["authorities.list"]({ secrets }, signal).then((all) => sorted(all, id)),
    id,
    alsoNamed: ({ spec }) => spec.type,
    instead: "a cluster cannot be without; tctl create -f puts one back from a backup",
    text: (cas) =>
      table(
        ["Cluster Name", "CA Type", "Fingerprint", "Role Map"],
        cas.map(({ spec }) => [
          spec.cluster_name,
          spec.type,
          spec.checking_keys.map(fingerprint).join(","),
          (spec.role_map ?? []).map(({ remote, local }) => `${remote}:${list(local)}`).join(" "),
        ]),
      ),
  }),
  {
    kind: "namespace",
    aliases: ["namespaces", "ns"],
    list: async (): Promise<Named[]> => [theNamespace],
    instead: "there is always the one",
    text: (found) =>
      table(
        ["Name"],
        found.map(({ metadata }) => [metadata.name]),
      ),
  },
];
