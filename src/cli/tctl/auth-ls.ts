import type { CertAuthority } from "#model";
import type { Command } from "../command.ts";
import { formatFlag, print } from "../format.ts";
import { table } from "../table.ts";
import { printable } from "../text.ts";
import { type ConnectAdmin, withAdmin } from "./admin.ts";
import { fingerprintOf, pemBytes } from "./fingerprints.ts";
import { command } from "./globals.ts";
import { rotationOf } from "./status.ts";

/** One key of an authority, as programs get it. `fingerprint` is what `tctl auth export --fingerprint` takes. */
interface Key {
  readonly use: "ssh" | "tls";
  readonly type: string;
  readonly fingerprint: string;
  /** RFC 3339; absent for SSH keys, which do not end. */
  readonly expires?: string;
  /** Whether it signs now; else it is only trusted. */
  readonly signs: boolean;
}

/** `tctl auth ls`: by which keys the cluster and those it trusts certify users and hosts. */
export const authorityList = (connect: ConnectAdmin): Command =>
  command({
    name: "ls",
    about: "List the certificate authorities: their keys, and whether they are being rotated",
    flags: { format: formatFlag },
    run: (given) =>
      withAdmin(connect, given, async (auth) => {
        const { cluster_name, cas } = await auth["cluster.status"]({}, given.signal);
        const sorted = cas.toSorted((a, b) => order(a, cluster_name).localeCompare(order(b, cluster_name)));
        const found = await Promise.all(
          sorted.map(async (ca) => ({
            type: ca.spec.type,
            cluster_name: ca.spec.cluster_name,
            rotation: ca.spec.rotation ?? { state: "standby" as const, phase: "standby" as const },
            keys: await keysOf(ca),
          })),
        );
        await print(given.io, given.flags.format, found, () =>
          table(
            ["CA", "Cluster Name", "Key", "Fingerprint", "State", "Rotation"],
            found.flatMap(({ type, cluster_name: cluster, keys }, i) =>
              keys.map((key) => [
                type,
                printable(cluster),
                key.type,
                key.fingerprint,
                `${key.signs ? "signs" : "trusted"}${key.expires ? ` until ${key.expires.slice(0, 10)}` : ""}`,
                rotationOf(sorted[i]?.spec.rotation),
              ]),
            ),
          ),
        );
      }),
  });

/** The own cluster first; hosts before users, as `auth export` has it. */
const order = ({ spec }: CertAuthority, own: string): string =>
  `${spec.cluster_name === own ? 0 : 1}/${spec.cluster_name}/${spec.type}`;

/** Of several keys of a use, which there are during a rotation, the first signs. */
async function keysOf({ spec }: CertAuthority): Promise<Key[]> {
  const { validity } = await import("#client");
  const ssh = spec.checking_keys.map(async (line, i): Promise<Key> => {
    const [type = "", base64 = ""] = line.split(" ");
    const fingerprint = await fingerprintOf(Buffer.from(base64, "base64"));
    return { use: "ssh", type, fingerprint, signs: i === 0 };
  });
  const tls = spec.tls_key_pairs.map(async ({ cert }, i): Promise<Key> => {
    const expires = new Date(validity(cert).notAfter).toISOString();
    return {
      use: "tls",
      type: "x509",
      fingerprint: await fingerprintOf(pemBytes(cert)),
      expires,
      signs: i === 0,
    };
  });
  return Promise.all([...ssh, ...tls]);
}
