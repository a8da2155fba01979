import type { AuthClient } from "#authclient";
import type { LaggingMember } from "#contract/auth";
import { Fault } from "#core/errors";
import type { RotationPhase } from "#model";
import { type Command, flag } from "../command.ts";
import { formatFlag, print } from "../format.ts";
import { table } from "../table.ts";
import { printable } from "../text.ts";
import { type ConnectAdmin, withAdmin } from "./admin.ts";
import { command } from "./globals.ts";

type Request = Parameters<AuthClient["authorities.rotate"]>[0];

/** In their order; the model's own list would bring all of the model along. */
const phases = Object.keys({
  standby: 0,
  init: 0,
  update_clients: 0,
  update_servers: 0,
  rollback: 0,
} satisfies Record<RotationPhase, 0>) as RotationPhase[];

/** `tctl auth rotate` (ROT-01, ROT-07). */
export const rotate = (connect: ConnectAdmin): Command =>
  command({
    name: "rotate",
    about: "Replace the cluster's certificate authorities",
    flags: {
      type: flag.choice("Which: user or host (both)", ["user", "host"]),
      "grace-period": flag.duration("How long the old one is trusted too; 0 replaces it at once (48h)", {
        orNone: true,
      }),
      manual: flag.yes("Go to one phase, and stay there"),
      phase: flag.choice("Which phase, with --manual (init)", phases),
      rehearse: flag.yes("Change nothing; name the hosts that would be cut off"),
      format: formatFlag,
    },
    run: (given) => {
      const { flags, io, signal } = given;
      const { manual = false, rehearse = false, type } = flags;
      const grace = flags["grace-period"];
      if (flags.phase !== undefined && !manual)
        throw new Fault("bad_parameter", "--phase is for a rotation by hand: add --manual");
      const phase = manual ? (flags.phase ?? "init") : undefined;
      const request: Request = {
        ...(type && { types: [type] }),
        ...(grace !== undefined && { grace_period: grace }),
        ...(phase && { phase }),
      };
      return withAdmin(connect, given, async (auth) => {
        if (rehearse) {
          const found = await auth["authorities.rehearse"](request, signal);
          return print(io, flags.format, found, () => rehearsal(found, type));
        }
        await auth["authorities.rotate"](request, signal);
        io.out(
          phase
            ? `Updated rotation phase to "${phase}". To check status use 'tctl status'`
            : "Initiated certificate authority rotation. To check status use 'tctl status'",
        );
      });
    },
  });

function rehearsal(members: readonly LaggingMember[], type: "user" | "host" | undefined): string[] {
  if (type === "user")
    return ["No host would be cut off: a rotation of the user CA only needs people to log in again."];
  if (members.length === 0) return ["No host would be cut off."];
  return [
    ...table(
      ["Host", "Role", "Host ID", "State"],
      members.map((member) => [printable(member.name), roleOf(member), member.host_id, stateOf(member)]),
    ),
    "",
    `${members.length === 1 ? "This host" : `These ${members.length} hosts`} would be cut off as things are, and would have to join again. Nothing was changed.`,
  ];
}

export const roleOf = ({ kind }: LaggingMember): string => kind.replace("auth_server", "auth");

/** `offline`, `at phase init`, or `online` for one that is not behind. */
export function stateOf({ offline, phase }: LaggingMember): string {
  if (offline) return "offline";
  return phase === undefined || phase === "standby" ? "online" : `at phase ${phase}`;
}
