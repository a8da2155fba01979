import type { AccessExplanation } from "#contract/auth";
import { flag, type Group } from "../command.ts";
import { formatFlag, print } from "../format.ts";
import { printable } from "../text.ts";
import { type ConnectAdmin, withAdmin } from "./admin.ts";
import { command } from "./globals.ts";

/** Past the guide: why somebody may or may not do something. */
export const access = (connect: ConnectAdmin): Group => ({
  name: "access",
  about: "Ask what roles decide",
  commands: [
    command({
      name: "explain",
      about: "Tell whether a user may do something, and which rule of which role decides it",
      args: ["<user>", "[login@node]"],
      flags: {
        action: flag.text(
          "ssh (default), scp, sftp, exec, agent, forward:HOST:PORT, forward:/SOCKET, listen:HOST:PORT, or without a node VERB:KIND, VERB:KIND/NAME",
          { value: "ACTION" },
        ),
        format: formatFlag,
      },
      run: (given) =>
        withAdmin(connect, given, async (auth) => {
          const { flags, args, io, signal } = given;
          const [user = "", target] = args;
          const found = await auth["access.explain"](
            {
              user,
              ...(target !== undefined && { target }),
              ...(flags.action !== undefined && { action: flags.action }),
            },
            signal,
          );
          await print(io, flags.format, found, () => linesOf(found));
        }),
    }),
  ],
});

function linesOf(found: AccessExplanation): string[] {
  const { allowed, by, reason, decided, nearest, node, options, notes } = found;
  const where = node ? ` as ${found.login} on ${node.hostname} (${node.id})` : "";
  const rows: [string, string][] = [];
  if (by === "nothing") rows.push(["Denied", "no rule allows it, and what no rule allows is denied"]);
  else rows.push([allowed ? "Allowed" : "Denied", reason]);
  if (decided) rows.push(["Rule", placeOf(decided)]);
  if (nearest) {
    rows.push([by === "deny" ? "Without it" : "Nearest", nearest.reason]);
    if (nearest.rule !== undefined) rows.push(["", placeOf(nearest)]);
  } else if (by === "nothing") rows.push(["", reason]);
  rows.push(["Roles", found.roles.join(", ") || "none"]);
  if (node)
    rows.push([
      "Labels",
      Object.entries(node.labels)
        .map(([name, value]) => `${name}=${value}`)
        .sort()
        .join(", ") || "none",
    ]);
  if (options && allowed) rows.push(["Session", sessionOf(options)]);
  for (const note of notes) rows.push(["Note", note]);
  return [
    printable(`${found.user}${where}, ${found.action}: ${allowed ? "allowed" : "denied"}`),
    ...rows.map(([name, value]) => `  ${name.padEnd(12)}${printable(value)}`),
  ];
}

const placeOf = ({
  role,
  rule,
  text,
}: {
  role?: string | undefined;
  rule?: string | undefined;
  text?: string | undefined;
}): string => `role ${role}, ${rule}${text === undefined ? "" : `: ${text}`}`;

function sessionOf(options: NonNullable<AccessExplanation["options"]>): string {
  const { max_session_ttl, client_idle_timeout, recording, source_addresses = [] } = options;
  return [
    `certificates for ${max_session_ttl}`,
    `idle timeout ${client_idle_timeout}`,
    ...(options.disconnect_expired_cert ? ["ends with the certificate"] : []),
    `recording ${recording}`,
    ...(options.pin_source_ip ? ["bound to the address of the login"] : []),
    ...(source_addresses.length > 0 ? [`from ${source_addresses.join(" ")} only`] : []),
  ].join(", ");
}
