import { readFile } from "node:fs/promises";
import type { AuthClient } from "#authclient";
import { load } from "#config";
import { Fault } from "#core/errors";
import type { Role, User } from "#model";
import { type Command, flag } from "../command.ts";
import { asJson, asYaml, formats } from "../format.ts";
import type { Io } from "../io.ts";
import { printable } from "../text.ts";
import { type ConnectAdmin, withAdmin } from "./admin.ts";
import { command } from "./globals.ts";

/** `tctl get`, `create` and `rm` (RES-01..12). */
export const resources = (connect: ConnectAdmin): readonly Command[] => [
  command({
    name: "get",
    about: "Print resources: a kind (users), or one of it (user/joe)",
    args: ["[kind/name]", "[name]"],
    flags: {
      format: flag.choice("How to print (yaml)", formats),
      withSecrets: flag.yes("Print private keys and client secrets too"),
    },
    run: async (given) => {
      const { flags, args, io, signal } = given;
      const { named, readReference } = await import("./kinds.ts");
      if (args.length === 0)
        throw new Fault("bad_parameter", "specify resource to list, e.g. 'tctl get roles'");
      const { kind, name } = readReference(args);
      return withAdmin(connect, given, async (auth) => {
        const all = await kind.list(auth, { secrets: flags.withSecrets ?? false }, signal);
        const found = name === undefined ? all : named(kind, all, name);
        if (flags.format === "json") io.out(asJson(found.map(tidy)));
        else if (flags.format === "text") for (const line of kind.text(found)) io.out(line);
        else if (found.length > 0) io.out(await asYaml(found.map(tidy)));
      });
    },
  }),
  command({
    name: "create",
    about: "Create resources from a YAML or JSON file, or from standard input",
    args: ["[file]"],
    flags: { force: flag.yes("Overwrite what is there already", { short: "f" }) },
    async run(given) {
      const { flags, args, io, signal } = given;
      const { text, name } = await textOf(args[0], io, signal);
      const [{ parseResources }, { Role, User }] = await Promise.all([load(), import("#model")]);
      // All of the file is read before anything of it is sent, so that a slip in its end changes nothing.
      const found = parseResources(text, name, { user: User, role: Role });
      return withAdmin(connect, given, async (auth) => {
        for (const resource of found) io.out(await put(auth, resource, flags.force ?? false, signal));
      });
    },
  }),
  command({
    name: "rm",
    aliases: ["del"],
    about: "Delete a resource: user/joe",
    args: ["[kind/name]", "[name]"],
    flags: {},
    run: async (given) => {
      const { args, io, signal } = given;
      const { named, readReference } = await import("./kinds.ts");
      const missing = "provide a full resource name to delete, for example: tctl rm user/joe";
      if (args.length === 0) throw new Fault("bad_parameter", missing);
      const { kind, name } = readReference(args);
      const { remove } = kind;
      if (!remove) {
        throw new Fault(
          "bad_parameter",
          `deleting resources of type ${JSON.stringify(kind.kind)} is not supported`,
        );
      }
      if (name === undefined) throw new Fault("bad_parameter", missing);
      return withAdmin(connect, given, async (auth) => {
        const meant = named(kind, await kind.list(auth, { secrets: false }, signal), name);
        if (meant.length > 1) {
          const ids = meant.map(({ metadata }) => metadata.name).join(", ");
          throw new Fault(
            "bad_parameter",
            `several are called ${JSON.stringify(name)}; name one by its id: ${ids}`,
          );
        }
        for (const { metadata } of meant) await remove(auth, metadata.name, signal);
        io.out(`${kind.kind} ${printable(name)} has been deleted`);
      });
    },
  }),
];

async function put(
  auth: AuthClient,
  resource: { kind: "user"; value: User } | { kind: "role"; value: Role },
  force: boolean,
  signal: AbortSignal,
): Promise<string> {
  const { created } =
    resource.kind === "user"
      ? await auth["users.put"]({ user: resource.value, force }, signal)
      : await auth["roles.put"]({ role: resource.value, force }, signal);
  return `${resource.kind} '${printable(resource.value.metadata.name)}' has been ${created ? "created" : "updated"}`;
}

async function textOf(
  path: string | undefined,
  io: Io,
  signal: AbortSignal,
): Promise<{ text: string; name: string }> {
  if (path === undefined || path === "-") {
    return { text: Buffer.from(await io.readAll(signal)).toString("utf8"), name: "standard input" };
  }
  try {
    return { text: await readFile(path, "utf8"), name: path };
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT") throw new Fault("bad_parameter", `file not found: ${path}`, { cause });
    throw new Fault("access_denied", `cannot read ${path}: ${message}`, { cause });
  }
}

/** In the order of the admin guide's examples, labels by name (RES-36), with the times of a user that are never (RES-10). */
function tidy(resource: unknown): unknown {
  const { kind, metadata, spec: told, version, ...rest } = resource as Record<string, unknown>;
  const spec = kind === "user" ? withTimes(told as User["spec"]) : told;
  const { labels, ...about } = metadata as { labels?: Record<string, string> };
  const inOrder = labels && Object.fromEntries(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
  return { kind, metadata: { ...about, ...(inOrder && { labels: inOrder }) }, spec, version, ...rest };
}

function withTimes({ roles, traits, status, ...rest }: User["spec"]): User["spec"] {
  const times = { lock_expires: never, locked_time: never };
  return { roles, traits, status: { ...times, ...status }, expires: never, ...rest };
}

/** AUTH-43; the model's own constant would bring all of the model along. */
const never = "0001-01-01T00:00:00Z";
