import { type Command, flag } from "../command.ts";
import { formatFlag, formats } from "../format.ts";
import { type ConnectAdmin, withAdmin } from "./admin.ts";
import { command } from "./globals.ts";

/** `tctl get`, `create`, `edit`, `apply` and `rm` (RES-01..12). What they do is loaded when it is asked for. */
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
      const { get, readGet } = await import("./get.ts");
      const meant = readGet(args);
      const { format, withSecrets: secrets = false } = flags;
      return withAdmin(connect, given, (auth) => get(auth, meant, io, { secrets, format }, signal));
    },
  }),
  command({
    name: "create",
    about: "Create resources from a YAML or JSON file, or from standard input",
    args: ["[file]"],
    flags: { force: flag.yes("Overwrite what is there already", { short: "f" }) },
    run: async (given) => {
      const { flags, args, io, signal } = given;
      const { readText } = await import("./file-text.ts");
      const { text, name } = await readText(args[0], io, signal);
      const [{ create }, { readWritten }] = await Promise.all([
        import("./create.ts"),
        import("./written.ts"),
      ]);
      const found = await readWritten(text, name);
      return withAdmin(connect, given, (auth) => create(auth, found, io, flags.force ?? false, signal));
    },
  }),
  command({
    name: "edit",
    about: "Change a resource in your editor: user/joe",
    args: ["<kind/name>", "[name]"],
    flags: { withSecrets: flag.yes("Show client secrets too, to change them") },
    run: async (given) => {
      const { flags, args, io, signal } = given;
      const { edit, readEdit } = await import("./edit.ts");
      const { runEditor } = await import("./editor.ts");
      const meant = readEdit(args);
      const secrets = flags.withSecrets ?? false;
      return withAdmin(connect, given, (auth) => edit({ auth, io, secrets, runEditor }, meant, signal));
    },
  }),
  command({
    name: "apply",
    about: "Make the cluster as the files of a folder say",
    flags: {
      file: flag.text("The folder, or one file", { short: "f", value: "DIR" }),
      prune: flag.yes("Delete what the folder does not have, of the kinds that it has"),
      dryRun: flag.yes("Tell what would change, and change nothing"),
      format: formatFlag,
    },
    run: async (given) => {
      const { flags, io, signal } = given;
      const { apply, readFolder } = await import("./apply.ts");
      const found = await readFolder(flags.file, io, signal);
      const { prune = false, dryRun = false, format } = flags;
      let code = 0;
      await withAdmin(connect, given, async (auth) => {
        code = await apply(auth, found, io, { prune, dryRun, format }, signal);
      });
      return code;
    },
  }),
  command({
    name: "rm",
    aliases: ["del"],
    about: "Delete a resource: user/joe",
    args: ["[kind/name]", "[name]"],
    flags: {},
    run: async (given) => {
      const { readRemoval, remove } = await import("./get.ts");
      const meant = readRemoval(given.args);
      return withAdmin(connect, given, (auth) => remove(auth, meant, given.io, given.signal));
    },
  }),
];
