import { hour } from "#core/clock";
import { Fault } from "#core/errors";
import { flag, type Group, splitList } from "../command.ts";
import { formatFlag, print } from "../format.ts";
import { table } from "../table.ts";
import { printable } from "../text.ts";
import { type ConnectAdmin, withAdmin } from "./admin.ts";
import { command } from "./globals.ts";
import { closing, hours, toShare } from "./users-closing.ts";

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
          const value = { user: account, url, token, expires: new Date(expires).toISOString() };
          await print(io, flags.format, value, () => [
            `Signup token has been created and is valid for ${hours(ttl)} hours. Share this URL with the user:`,
            ...toShare(url),
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
          const kept: Fault[] = [];
          const names = splitList(given.args[0] ?? "");
          if (names.length === 0) throw new Fault("bad_parameter", "name the accounts to delete");
          for (const name of names) {
            try {
              await auth["users.delete"]({ name }, given.signal);
            } catch (err) {
              // One that is not there keeps none of the others.
              if (!(err instanceof Fault) || !ofOne.has(err.kind)) throw err;
              kept.push(err);
              continue;
            }
            given.io.out(`User '${printable(name)}' has been deleted`);
          }
          if (kept.length > 0) throw worst(kept);
        }),
    }),
    command({
      name: "update",
      about: "Change roles and logins of an account",
      args: ["<account>"],
      flags: {
        setRoles: flag.list("The roles it has from now on"),
        setLogins: flag.list("The logins it has from now on"),
        setK8sGroups: flag.list("The Kubernetes groups it has from now on"),
      },
      run: (given) =>
        withAdmin(connect, given, async (auth) => {
          const { flags, args, io, signal } = given;
          const [name = ""] = args;
          const { setRoles, setLogins, setK8sGroups } = flags;
          if (!setRoles && !setLogins && !setK8sGroups)
            throw new Fault(
              "bad_parameter",
              "say what to change: --set-roles, --set-logins or --set-k8s-groups",
            );
          if (setRoles?.length === 0) throw new Fault("bad_parameter", "an account needs a role");
          const traits = {
            ...(setLogins && { logins: [...setLogins] }),
            ...(setK8sGroups && { kubernetes_groups: [...setK8sGroups] }),
          };
          await auth["users.change"]({ name, ...(setRoles && { roles: [...setRoles] }), traits }, signal);
          io.out(`User '${printable(name)}' has been updated`);
        }),
    }),
    ...closing(connect),
  ],
});

/** What is wrong with one account says nothing of the next. */
const ofOne: ReadonlySet<string> = new Set(["not_found", "access_denied", "bad_parameter"]);

/** All that was wrong, as one. */
const worst = (all: readonly Fault[]): Fault =>
  new Fault(all[0]?.kind ?? "internal", all.map(({ message }) => message).join("\nerror: "));

const byName = (a: { metadata: { name: string } }, b: { metadata: { name: string } }): number =>
  a.metadata.name < b.metadata.name ? -1 : 1;
