import { hour } from "#core/clock";
import { Fault } from "#core/errors";
import { flag, type Group, splitList } from "../command.ts";
import { formatFlag, print } from "../format.ts";
import { table } from "../table.ts";
import { printable } from "../text.ts";
import { type ConnectAdmin, withAdmin } from "./admin.ts";
import { command } from "./globals.ts";

export const users = (connect: ConnectAdmin): Group => ({
  name: "users",
  about: "Manage the accounts of people",
  commands: [
    command({
      name: "add",
      about: "Invite a person: prints the address of the page to sign up at",
      args: ["<account>", "[logins]"],
      flags: {
        roles: flag.list("Roles of the account (admin)"),
        k8sGroups: flag.list("Kubernetes groups of the account"),
        ttl: flag.duration("How long the invitation is good: 1h, at most 48h"),
        format: flag.choice("How to print", ["text", "json", "yaml"], { hidden: true }),
      },
      run: (given) =>
        withAdmin(connect, given, async (auth) => {
          const { flags, args, io, signal } = given;
          const [account = "", logins = account] = args;
          const ttl = flags.ttl ?? hour;
          const { token, expires, url } = await auth["signups.create"](
            {
              user: account,
              ...(flags.roles && { roles: [...flags.roles] }),
              traits: {
                logins: [...splitList(logins)],
                ...(flags.k8sGroups && { kubernetes_groups: [...flags.k8sGroups] }),
              },
              ttl,
            },
            signal,
          );
          const proxy = URL.canParse(url) ? new URL(url).host : url;
          const value = { user: account, url, token, expires: new Date(expires).toISOString() };
          await print(io, flags.format, value, () => [
            `Signup token has been created and is valid for ${hours(ttl)} hours. Share this URL with the user:`,
            printable(url),
            "",
            `NOTE: Make sure ${printable(proxy)} points at a Teleport proxy which users can access.`,
          ]);
        }),
    }),
    command({
      name: "ls",
      about: "List the accounts",
      flags: { format: formatFlag },
      run: (given) =>
        withAdmin(connect, given, async (auth) => {
          const { flags, io, signal } = given;
          const found = (await auth["users.list"]({}, signal)).sort(byName);
          await print(io, flags.format, found, () =>
            found.length === 0
              ? ["No users found"]
              : table(
                  ["User", "Allowed logins"],
                  found.map(({ metadata, spec }) => [metadata.name, (spec.traits.logins ?? []).join(",")]),
                ),
          );
        }),
    }),
    command({
      name: "rm",
      aliases: ["del"],
      about: "Delete accounts: a or a,b",
      args: ["<accounts>"],
      flags: {},
      run: (given) =>
        withAdmin(connect, given, async (auth) => {
          for (const name of splitList(given.args[0] ?? "")) {
            await auth["users.delete"]({ name }, given.signal);
            given.io.out(`User '${printable(name)}' has been deleted`);
          }
        }),
    }),
    command({
      name: "update",
      about: "Change the roles of an account",
      hidden: true,
      args: ["<account>"],
      flags: { setRoles: flag.list("The roles it has from now on") },
      run: (given) =>
        withAdmin(connect, given, async (auth) => {
          const { flags, args, io, signal } = given;
          const [name = ""] = args;
          if (!flags.setRoles?.length) throw new Fault("bad_parameter", "say which roles with --set-roles");
          const user = await auth["users.get"]({ name }, signal);
          const changed = { ...user, spec: { ...user.spec, roles: [...flags.setRoles] } };
          await auth["users.put"]({ user: changed, force: true }, signal);
          io.out(`User '${printable(name)}' has been updated`);
        }),
    }),
  ],
});

/** Whole hours as such, others with what matters of their fraction. */
const hours = (ttl: number): string => String(Number((ttl / hour).toFixed(2)));

const byName = (a: { metadata: { name: string } }, b: { metadata: { name: string } }): number =>
  a.metadata.name < b.metadata.name ? -1 : 1;
