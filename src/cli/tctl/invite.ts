import type { AuthClient } from "#authclient";
import { type Millis, minute } from "#core/clock";
import { Fault } from "#core/errors";
import { type JoinRole, joinRoles } from "#model";
import type { Format } from "../format.ts";
import { print } from "../format.ts";
import type { Io } from "../io.ts";
import { shellWord } from "../shell.ts";
import { printable } from "../text.ts";

/** Roles as typed, e.g. `node,proxy`. Throws `bad_parameter` for one that no host can have. */
export function readRoles(names: readonly string[]): JoinRole[] {
  if (names.length === 0) throw new Fault("bad_parameter", `say which roles, of ${joinRoles.join(", ")}`);
  return names.map((name) => {
    const known = joinRoles.find((role) => role === name.toLowerCase());
    if (!known) {
      throw new Fault(
        "bad_parameter",
        `role ${JSON.stringify(name)} is not registered; use ${joinRoles.join(", ")}`,
      );
    }
    return known;
  });
}

/** Makes an invite token and prints it with the command that uses it (TCT-10, TCT-32). */
export async function invite(
  auth: AuthClient,
  io: Io,
  asked: {
    readonly roles: readonly JoinRole[];
    readonly value: string | undefined;
    readonly ttl: Millis;
    /** How many hosts it lets in; any number by default. */
    readonly uses: number | undefined;
    readonly format: Format | undefined;
  },
  signal: AbortSignal,
): Promise<void> {
  const roles = [...asked.roles];
  const { value, uses, ttl } = asked;
  if (value === "")
    throw new Fault("bad_parameter", "a token may not be empty; leave the flag out for a random one");
  const made = await auth["tokens.create"](
    { roles, ttl, ...(value !== undefined && { value }), ...(uses !== undefined && { uses }) },
    signal,
  );
  const token = made.metadata.name;
  const minutes = Number((ttl / minute).toFixed(2));
  const forCluster = roles.every((role) => role === "trusted_cluster");
  const advice = forCluster
    ? clusterAdvice
    : asked.format
      ? []
      : await hostAdvice(auth, { roles, token, minutes, uses }, signal);
  await print(io, asked.format, [token], () => [
    `The ${forCluster ? "cluster invite" : "invite"} token: ${printable(token)}`,
    `This token will expire in ${minutes} minutes`,
    ...advice,
  ]);
}

const clusterAdvice = [
  "",
  "Use this token in the trusted_cluster resource that you create on the other cluster.",
];

async function hostAdvice(
  auth: AuthClient,
  {
    roles,
    token,
    minutes,
    uses,
  }: { roles: readonly JoinRole[]; token: string; minutes: number; uses: number | undefined },
  signal: AbortSignal,
): Promise<string[]> {
  const [{ ca_pins }, servers] = await Promise.all([
    auth["cluster.status"]({}, signal),
    auth["auth_servers.list"]({}, signal),
  ]);
  const address = servers
    .map(({ spec }) => spec.public_addr || spec.addr)
    .find((addr) => addr && !/^(0\.0\.0\.0|\[::\]):/.test(addr));
  const flags = [
    `--roles=${roles.filter((role) => role !== "trusted_cluster").join(",")}`,
    `--token=${token}`,
    ...ca_pins.map((pin) => `--ca-pin=${pin}`).slice(0, 1),
    `--auth-server=${address ?? "AUTH_SERVER:3025"}`,
  ];
  return [
    "",
    "Run this on the new host to join the cluster:",
    "",
    `> teleport start \\\n   ${flags.map((word) => shellWord(printable(word))).join(" \\\n   ")}`,
    "",
    "Please note:",
    "",
    `  - The token works ${uses === undefined ? "for any number of hosts" : times(uses)} until it expires in ${minutes} minutes`,
    address
      ? `  - ${printable(address)} must be reachable from the new host`
      : "  - AUTH_SERVER stands for a name or address of this host that the new host can reach",
  ];
}

/** A host is let in once for each of its roles. */
const times = (uses: number): string => (uses === 1 ? "once" : `${uses} times`);
