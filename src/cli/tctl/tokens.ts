import { hour } from "#core/clock";
import { Fault } from "#core/errors";
import type { Token } from "#model";
import { flag, type Group } from "../command.ts";
import { formatFlag, print } from "../format.ts";
import { table } from "../table.ts";
import { printable } from "../text.ts";
import { type ConnectAdmin, withAdmin } from "./admin.ts";
import { command } from "./globals.ts";

/** Past the guide: there a token is good for any number of hosts. */
export const usesFlag = flag.count(
  "How often the token is good, once a role of a host (any number)",
  1_000_000,
  {
    value: "N",
  },
);

export const tokens = (connect: ConnectAdmin): Group => ({
  name: "tokens",
  about: "Make, list and revoke invite tokens",
  commands: [
    command({
      name: "add",
      about: "Make an invite token",
      flags: {
        type: flag.list("What for, of node, proxy, auth, trusted_cluster", { value: "TYPE" }),
        value: flag.text("The token itself, instead of a random one", { value: "VALUE" }),
        ttl: flag.duration("How long the token is good (1h)"),
        uses: usesFlag,
        format: flag.choice("How to print", ["text", "json", "yaml"], { hidden: true }),
      },
      run: async (given) => {
        const { invite, readRoles } = await import("./invite.ts");
        const { type = [], value, ttl = hour, uses, format } = given.flags;
        if (type.length === 0) throw new Fault("bad_parameter", "say what the token is for with --type");
        const roles = readRoles(type);
        return withAdmin(connect, given, (auth) =>
          invite(auth, given.io, { roles, value, ttl, uses, format }, given.signal),
        );
      },
    }),
    command({
      name: "ls",
      about: "List the tokens that can be used now",
      flags: { format: formatFlag },
      run: (given) =>
        withAdmin(connect, given, async (auth) => {
          const found = sortTokens(await auth["tokens.list"]({}, given.signal));
          await print(given.io, given.flags.format, found, () =>
            found.length === 0 ? ["No active tokens found."] : tokenTable(found),
          );
        }),
    }),
    command({
      name: "rm",
      aliases: ["del"],
      about: "Revoke a token",
      args: ["<token>"],
      flags: {},
      run: (given) =>
        withAdmin(connect, given, async (auth) => {
          const [name = ""] = given.args;
          await auth["tokens.delete"]({ name }, given.signal);
          given.io.out(`Token ${printable(name)} has been deleted`);
        }),
    }),
  ],
});

/** Static tokens, which never expire, then the others as they expire. */
export const sortTokens = (tokens: readonly Token[]): Token[] =>
  tokens.toSorted((a, b) => {
    const [left, right] = [a, b].map(({ metadata }) =>
      metadata.expires ? Date.parse(metadata.expires) : 0,
    ) as [number, number];
    return left - right || (a.metadata.name < b.metadata.name ? -1 : 1);
  });

/** Tokens for people (DEC-07). */
export const tokenTable = (tokens: readonly Token[]): string[] =>
  table(
    ["Token", "Type", "Expiry Time (UTC)"],
    tokens.map(({ metadata, spec }) => [
      metadata.name,
      spec.roles
        .map((role) => (role === "trusted_cluster" ? role : role.replace(/^./, (c) => c.toUpperCase())))
        .join(","),
      metadata.expires ? shortTime(new Date(metadata.expires)) : "never",
    ]),
  );

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/** `22 Nov 26 09:29 UTC` (RFC 822). */
function shortTime(time: Date): string {
  const two = (n: number): string => String(n).padStart(2, "0");
  const day = `${two(time.getUTCDate())} ${months[time.getUTCMonth()]} ${two(time.getUTCFullYear() % 100)}`;
  return `${day} ${two(time.getUTCHours())}:${two(time.getUTCMinutes())} UTC`;
}
