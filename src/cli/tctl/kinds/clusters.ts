import { sha256 } from "#core/digest";
import type { CertAuthority } from "#model";
import { table } from "../../table.ts";
import { type Kind, list, type Named, of, sorted } from "./kind.ts";

const id = ({ spec, metadata }: CertAuthority): string => `${spec.type}/${metadata.name}`;

/** As OpenSSH prints it, of an authorized_keys line. */
const fingerprint = (line: string): string => {
  const blob = Buffer.from(line.split(" ")[1] ?? "", "base64");
  return `SHA256:${Buffer.from(sha256(blob), "hex").toString("base64").replace(/=+$/, "")}`;
};

const notOffered = "trusted clusters are not offered in this version";
/** A kind that readers of the admin guide ask for, and that nothing can be of as yet. */
const empty = (kind: string, aliases: readonly string[], header: readonly string[]): Kind => ({
  kind,
  aliases,
  list: async () => [],
  none: notOffered,
  text: () => table(header, []),
});

/** What is left of the namespaces of older versions: everything is in this one. */
const theNamespace = { kind: "namespace", version: "v2", metadata: { name: "default" }, spec: {} };

export const clusters: readonly Kind[] = [
  empty(
    "trusted_cluster",
    ["trusted_clusters", "tc", "tcs", "cluster", "clusters"],
    ["Name", "Enabled", "Token", "Proxy Address", "Reverse Tunnel Address", "Role Map"],
  ),
  empty("remote_cluster", ["remote_clusters", "rc", "rcs"], ["Name", "Status", "Last Heartbeat"]),
  empty("reverse_tunnel", ["reverse_tunnels", "rt", "rts"], ["Cluster Name", "Dial Addresses"]),
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
