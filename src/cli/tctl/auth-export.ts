import type { AuthClient } from "#authclient";
import { Fault } from "#core/errors";
import type { CertAuthority } from "#model";
import { flag, type Group } from "../command.ts";
import type { Io } from "../io.ts";
import { printable } from "../text.ts";
import { type ConnectAdmin, withAdmin } from "./admin.ts";
import { authorityList } from "./auth-ls.ts";
import { signingCommands } from "./auth-sign.ts";
import { fingerprintOf, pemBytes } from "./fingerprints.ts";
import { command } from "./globals.ts";

export const auth = (connect: ConnectAdmin): Group => ({
  name: "auth",
  about: "Work with the cluster's certificate authorities",
  commands: [
    command({
      name: "export",
      about: "Print the keys by which others trust this cluster",
      flags: {
        type: flag.choice(
          "Which: user (authorized_keys lines), host (known_hosts lines) or tls (certificates)",
          ["user", "host", "tls"],
        ),
        fingerprint: flag.text("Only the key with this fingerprint", { value: "SHA256:..." }),
        keys: flag.yes("Print private keys instead"),
        compat: flag.choice("Write lines as this version did", ["1.0"], { value: "1.0" }),
      },
      run: (given) =>
        withAdmin(connect, given, async (client) => {
          const { flags, io, signal } = given;
          const { cluster_name } = await client["cluster.status"]({}, signal);
          const wanted = flags.type === "tls" ? "host" : flags.type;
          const listed = await client["authorities.list"](
            { ...(wanted && { type: wanted }), secrets: flags.keys ?? false },
            signal,
          );
          const own = listed
            .filter(({ spec }) => spec.cluster_name === cluster_name)
            .sort((a, b) => (a.spec.type < b.spec.type ? -1 : 1));
          const lines = (
            await Promise.all(own.map((ca) => exported(ca, { ...flags, tls: flags.type === "tls" })))
          ).flat();
          if (lines.length === 0) {
            const which = flags.fingerprint ? ` with the fingerprint ${flags.fingerprint}` : "";
            throw new Fault("not_found", `this cluster has no such key${which}`);
          }
          for (const line of lines) io.out(line);
          if (flags.type === "host") await tellUncovered(client, io, cluster_name, signal);
        }),
    }),
    ...signingCommands(connect),
    authorityList(connect),
  ],
});

interface Wanted {
  readonly tls: boolean;
  readonly keys?: boolean | undefined;
  readonly fingerprint?: string | undefined;
  readonly compat?: string | undefined;
}

/** The lines of one authority (TCT-50): several while it is being rotated. */
async function exported({ spec }: CertAuthority, wanted: Wanted): Promise<string[]> {
  const pairs = wanted.tls
    ? spec.tls_key_pairs.map(({ cert, key }) => ({ blob: pemBytes(cert), shown: cert.trimEnd(), key }))
    : spec.checking_keys.map((line, i) => {
        const [type = "", base64 = ""] = line.split(" ");
        return {
          blob: Buffer.from(base64, "base64"),
          shown: trustLine(spec.type, spec.cluster_name, `${type} ${base64}`, wanted.compat),
          key: spec.signing_keys?.[i],
        };
      });
  const lines: string[] = [];
  for (const { blob, shown, key } of pairs) {
    if (wanted.fingerprint && (await fingerprintOf(blob)) !== wanted.fingerprint.replace(/=+$/, "")) continue;
    if (!wanted.keys) lines.push(shown);
    else if (key) lines.push(key.trimEnd());
  }
  return lines;
}

/** A user CA as authorized_keys has it, a host CA as known_hosts has it; version 1.0 wrote both in the latter way. */
function trustLine(type: "user" | "host", cluster: string, key: string, compat: string | undefined): string {
  const name = encodeURIComponent(cluster);
  return type === "user" && compat !== "1.0"
    ? `cert-authority ${key} clustername=${name}&type=user`
    : `@cert-authority *.${cluster} ${key} type=${type}`;
}

/** Users whose ssh knows a proxy by a name that the pattern does not cover would be asked about its key (TCT-51). */
async function tellUncovered(
  client: AuthClient,
  io: Io,
  cluster: string,
  signal: AbortSignal,
): Promise<void> {
  const proxies = await client["proxies.list"]({}, signal);
  const names = proxies
    .flatMap(({ spec }) => spec.public_addr ?? [])
    .map((addr) => addr.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1"));
  const uncovered = [...new Set(names)].filter((name) => !name.endsWith(`.${cluster}`)).sort();
  if (uncovered.length === 0) return;
  const list = uncovered.map(printable).join(",");
  io.err(
    `note: *.${printable(cluster)} does not cover ${list}; write the pattern as *.${printable(cluster)},${list} where users connect to these names`,
  );
}
