import { hour } from "#core/clock";
import { Fault } from "#core/errors";
import { type Command, flag } from "../command.ts";
import { formatFlag, print } from "../format.ts";
import { table } from "../table.ts";
import { printable } from "../text.ts";
import { type ConnectAdmin, withAdmin } from "./admin.ts";
import { command } from "./globals.ts";

/** Commands that keep people out of their accounts, and let them in again. */
export const closing = (connect: ConnectAdmin): readonly Command[] => [
  command({
    name: "reset",
    about: "Let a person choose a new password and second factor: the old ones are void at once",
    args: ["<account>"],
    flags: {
      ttl: flag.duration("How long there is time for it: 1h, at most 48h"),
      format: flag.choice("How to print", ["text", "json", "yaml"], { hidden: true }),
    },
    run: (given) =>
      withAdmin(connect, given, async (auth) => {
        const { flags, args, io, signal } = given;
        const [name = ""] = args;
        const ttl = flags.ttl ?? hour;
        const { token, expires, url } = await auth["users.reset"]({ name, ttl }, signal);
        const value = { user: name, url, token, expires: new Date(expires).toISOString() };
        await print(io, flags.format, value, () => [
          `Password, second factor and web sessions of '${printable(name)}' are void. New ones can be chosen for ${hours(ttl)} hours. Share this URL with the user:`,
          ...toShare(url),
        ]);
      }),
  }),
  command({
    name: "lock",
    about: "Close an account: logins, certificates and open sessions",
    args: ["<account>"],
    flags: { message: flag.text("Why, for administrators", { value: "TEXT" }) },
    run: (given) =>
      withAdmin(connect, given, async (auth) => {
        const [name = ""] = given.args;
        const { message } = given.flags;
        await auth["users.lock"]({ name, ...(message !== undefined && { message }) }, given.signal);
        given.io.out(`User '${printable(name)}' has been locked`);
      }),
  }),
  command({
    name: "unlock",
    about: "Open an account again, or let logins in again from an address",
    args: ["[account]"],
    flags: { source: flag.text("The address, or as `tctl users locks` shows it", { value: "ADDRESS" }) },
    run: (given) =>
      withAdmin(connect, given, async (auth) => {
        const [name] = given.args;
        const { source } = given.flags;
        if ((name === undefined) === (source === undefined))
          throw new Fault("bad_parameter", "name an account, or an address with --source");
        if (name !== undefined) {
          await auth["users.unlock"]({ name }, given.signal);
          given.io.out(`User '${printable(name)}' has been unlocked`);
        } else if (source !== undefined) {
          await auth["sources.unlock"]({ source }, given.signal);
          given.io.out(`Logins from '${printable(source)}' have been unlocked`);
        }
      }),
  }),
  command({
    name: "locks",
    about: "List the accounts and addresses that are locked",
    flags: { format: formatFlag },
    run: (given) =>
      withAdmin(connect, given, async (auth) => {
        const found = await auth["locks.list"]({}, given.signal);
        await print(given.io, given.flags.format, found, () =>
          found.length === 0
            ? ["Nothing is locked"]
            : table(
                ["Locked", "Type", "Until", "Reason"],
                found.map(({ name, kind, until, message }) => [
                  ...[name, kind === "user" ? "User" : "Address"],
                  ...[until ?? "an administrator unlocks it", message ?? ""],
                ]),
              ),
        );
      }),
  }),
];

/** The address of the page, and who must be able to get there. */
export function toShare(url: string): string[] {
  const proxy = URL.canParse(url) ? new URL(url).host : url;
  const note = `NOTE: Make sure ${printable(proxy)} points at a Teleport proxy which users can access.`;
  return [printable(url), "", note];
}

/** Whole hours as such, others with what matters of their fraction. */
export const hours = (ttl: number): string => String(Number((ttl / hour).toFixed(2)));
