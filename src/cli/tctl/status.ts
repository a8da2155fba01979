import type { CertAuthority } from "#model";
import type { Command } from "../command.ts";
import { formatFlag, print } from "../format.ts";
import { table } from "../table.ts";
import { type ConnectAdmin, withAdmin } from "./admin.ts";
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
        const rotations = (["user", "host"] as const).map((type) => {
          const ca = found.cas.find(
            ({ spec }) => spec.type === type && spec.cluster_name === found.cluster_name,
          );
          return [type === "user" ? "User CA" : "Host CA", rotationOf(ca)];
        });
        const { cas, ...rest } = found;
        const value = { ...rest, rotations: Object.fromEntries(rotations) };
        await print(given.io, given.flags.format, value, () =>
          table(
            [],
            [
              ["Cluster", found.cluster_name],
              ...rotations,
              ...found.ca_pins.map((pin) => ["CA pin", pin]),
              ...(found.license ? [["License", found.license]] : []),
            ],
          ),
        );
      }),
  });

export function rotationOf(ca: CertAuthority | undefined): string {
  const rotation = ca?.spec.rotation;
  if (rotation?.state === "in_progress") {
    const ends = rotation.schedule?.standby;
    const phase = rotation.phase.replaceAll("_", " ");
    const facts = [
      `phase: ${phase}`,
      ...(rotation.mode ? [`mode: ${rotation.mode}`] : []),
      ...(rotation.started ? [`started: ${stamp(rotation.started)}`] : []),
      ...(ends ? [`ending: ${stamp(ends)}`] : []),
    ];
    return `rotating (${facts.join(", ")})`;
  }
  const last = rotation?.last_rotated;
  return last && !last.startsWith("0001-") ? `rotated ${stamp(last)}` : "never updated";
}

/** `Nov 22 09:27:49 UTC`. */
const stamp = (time: string): string =>
  new Date(time).toUTCString().replace(/^\w+, (\d+) (\w+) \d+ ([\d:]+) GMT$/, "$2 $1 $3 UTC");
