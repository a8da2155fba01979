import type { LaggingMember } from "#contract/auth";
import { parseDuration } from "#core/duration";
import type { AuthorityType, Rotation, RotationPhase } from "#model";
import type { Command } from "../command.ts";
import { formatFlag, print } from "../format.ts";
import { table } from "../table.ts";
import { printable } from "../text.ts";
import { type ConnectAdmin, withAdmin } from "./admin.ts";
import { roleOf, stateOf } from "./auth-rotate.ts";
import { command } from "./globals.ts";

/** `tctl status`: the cluster, its authorities and the pins to join by (TCT-60). */
export const status = (connect: ConnectAdmin): Command =>
  command({
    name: "status",
    about: "Tell about the cluster and its certificate authorities",
    flags: { format: formatFlag },
    run: (given) =>
      withAdmin(connect, given, async (auth) => {
        const found = await auth["cluster.status"]({}, given.signal);
        const own = (["user", "host"] as const).map((type) => ({
          type,
          name: type === "user" ? "User CA" : "Host CA",
          rotation: found.cas.find(
            ({ spec }) => spec.type === type && spec.cluster_name === found.cluster_name,
          )?.spec.rotation,
        }));
        const rotations = own.map(({ name, rotation }): [string, string] => [name, rotationOf(rotation)]);
        const { cas: _, behind = [], ...rest } = found;
        const value = {
          ...rest,
          rotations: Object.fromEntries(rotations),
          ...(own.some(({ rotation }) => rotation) && {
            rotation: Object.fromEntries(own.map(({ type, rotation }) => [type, rotation ?? {}])),
            behind,
          }),
        };
        await print(given.io, given.flags.format, value, () =>
          table(
            [],
            [
              ["Cluster", found.cluster_name],
              ...rotations,
              ...found.ca_pins.map((pin) => ["CA pin", pin]),
              ...(found.license ? [["License", found.license]] : []),
              ...own.flatMap(({ type, rotation }) => scheduleOf(type, rotation)),
              ...behind.slice(0, mostShown).map((member) => ["Behind", behindText(member)]),
              ...(behind.length > mostShown
                ? [["Behind", `and ${behind.length - mostShown} more: --format=json names all of them`]]
                : []),
            ],
          ),
        );
      }),
  });

/** Members that people are shown: in a large cluster all of them are behind for a moment. */
const mostShown = 20;

/** ROT-11. */
export function rotationOf(rotation: Rotation | undefined): string {
  if (rotation?.state === "in_progress") {
    const { mode, started, schedule } = rotation;
    const ends = schedule?.standby ?? graceEnd(rotation);
    const facts = [
      ...(mode ? [`mode: ${mode}`] : []),
      ...(started ? [`started: ${stamp(started)}`] : []),
      ...(ends ? [`ending: ${stamp(ends)}`] : []),
    ];
    return facts.length > 0 ? `${inWords[rotation.phase]} (${facts.join(", ")})` : inWords[rotation.phase];
  }
  const last = rotation?.last_rotated;
  return last && !last.startsWith("0001-") ? `rotated ${stamp(last)}` : "never updated";
}

const inWords: Readonly<Record<RotationPhase, string>> = {
  standby: "standby",
  init: "initialized",
  update_clients: "rotating clients",
  update_servers: "rotating servers",
  rollback: "rolling back",
};

/** By hand nothing ends by itself: until then it should have. */
function graceEnd({ started, grace_period }: Rotation): string | undefined {
  if (started === undefined || grace_period === undefined) return undefined;
  return new Date(Date.parse(started) + parseDuration(grace_period)).toISOString();
}

/** What comes next by itself. */
function scheduleOf(type: AuthorityType, rotation: Rotation | undefined): string[][] {
  const { state, phase, schedule } = rotation ?? {};
  if (state !== "in_progress" || !schedule) return [];
  const coming = (["update_clients", "update_servers", "standby"] as const).slice(
    phase === "init" ? 0 : phase === "update_clients" ? 1 : 2,
  );
  const steps = coming.map((each) => `${each} ${stamp(schedule[each])}`);
  return [["Next", `${type} CA: ${steps.join(", ")}`]];
}

function behindText(member: LaggingMember): string {
  const whose = member.authorities.map((type) => `${type} CA`).join(" and ");
  return `${roleOf(member)} ${printable(member.name)} [${member.host_id}]: ${stateOf(member)} (${whose})`;
}

/** `Nov 2 09:27:49 UTC`. */
const stamp = (time: string): string =>
  new Date(time).toUTCString().replace(/^\w+, 0?(\d+) (\w+) \d+ ([\d:]+) GMT$/, "$2 $1 $3 UTC");
