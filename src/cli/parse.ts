import { Command as Commander, CommanderError, Option } from "commander";
import { Fault } from "#core/errors";
import type { Flag, Flags, Program } from "./command.ts";
import type { Io } from "./io.ts";

const pointer = "More help is in README.md and docs/; README.md tells how to report bugs.";

/**
 * Finds the command that `argv` (without program names) means and runs it. Resolves with its exit code.
 * Wrong usage is a `bad_parameter` fault that names the flag or command.
 */
export async function runProgram(
  program: Program,
  argv: readonly string[],
  io: Io,
  signal: AbortSignal,
): Promise<number> {
  let code = 0;
  // What is run or explained is named on the line. The flags of all the others would take longer than a short command does.
  const isNamed = ({ name, aliases = [] }: Named): boolean =>
    [name, ...aliases].some((word) => argv.includes(word));
  const root = commander(program.name, program.about, program.globals, {});
  root.enablePositionalOptions();
  for (const entry of program.commands) {
    if (!isNamed(entry)) {
      add(root, new Commander(entry.name).description(entry.about), entry);
      continue;
    }
    const isGroup = "commands" in entry;
    const parent = isGroup ? commander(entry.name, entry.about, program.globals, program.globals) : root;
    if (isGroup) add(root, parent, entry);
    for (const command of isGroup ? entry.commands : [entry]) {
      const leaf = commander(command.name, command.about, command.flags, program.globals);
      for (const arg of command.args ?? []) leaf.argument(arg);
      leaf.usage(["[flags]", ...(command.args ?? [])].join(" "));
      leaf.allowExcessArguments(false);
      leaf.passThroughOptions(command.passThrough ?? false);
      leaf.action(async () => {
        const args = [...leaf.args];
        // What follows the host is the remote command's own; `--` only says so.
        if (command.passThrough && args[1] === "--") args.splice(1, 1);
        code = await command.run({ flags: readFlags(command.flags, leaf, io), args, io, signal });
      });
      add(parent, leaf, command);
    }
  }
  const help = new Commander("help").description("Show what a command does").argument("[command...]");
  help.action(() => {
    const about = help.args.reduce((at, word) => childOf(at, word) ?? unknownCommand(at, word), root);
    io.out(`${about.helpInformation()}\n${pointer}`);
  });
  root.addCommand(help);

  for (const each of tree(root)) {
    each.exitOverride();
    each.helpOption("-h, --help", "Show this help");
    each.helpCommand(false);
    each.configureHelp({ helpWidth: 110, subcommandTerm: (sub) => [sub.name(), ...sub.aliases()].join("|") });
    each.configureOutput({ writeOut: (text) => io.out(text.trimEnd()), writeErr: () => {} });
  }
  root.addHelpText("afterAll", `\n${pointer}`);
  try {
    await root.parseAsync([...argv], { from: "user" });
    return code;
  } catch (err) {
    if (!(err instanceof CommanderError)) throw err;
    if (err.code === "commander.helpDisplayed") return 0;
    throw usageFault(root, argv, err);
  }
}

/** One commander command with its flags; the program's global ones stand apart in its help text. */
function commander(name: string, about: string, flags: Flags, globals: Flags): Commander {
  const made = new Commander(name).description(about).optionsGroup("Flags:").usage("[flags] <command>");
  for (const [key, flag] of Object.entries(flags)) {
    const long = flagName(key);
    const option = new Option(
      `${flag.short ? `-${flag.short}, ` : ""}${long}${flag.value ? ` <${flag.value}>` : ""}`,
      flag.env ? `${flag.about} (${flag.env})` : flag.about,
    ).hideHelp(flag.hidden ?? false);
    if (flag.value)
      option.argParser((text: string, before: string[] | undefined) => [...(before ?? []), text]);
    if (Object.hasOwn(globals, key)) option.helpGroup("Flags of every command:");
    made.addOption(option);
    if (!flag.value) made.addOption(new Option(`--no-${long.slice(2)}`).hideHelp());
  }
  return made;
}

const flagName = (key: string): string =>
  `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

interface Named {
  readonly name: string;
  readonly aliases?: readonly string[];
  readonly hidden?: boolean;
}

function add(parent: Commander, child: Commander, entry: Named): void {
  parent.addCommand(child.aliases(entry.aliases ?? []), { hidden: entry.hidden ?? false });
}

function* tree(command: Commander): Generator<Commander> {
  yield command;
  for (const child of command.commands) yield* tree(child);
}

const childOf = (command: Commander, word: string): Commander | undefined =>
  command.commands.find((child) => child.name() === word || child.aliases().includes(word));

const pathOf = (command: Commander): string =>
  command.parent ? `${pathOf(command.parent)} ${command.name()}` : command.name();

/** The values of all flags of a command, from wherever on the line they stand: before it or after it. */
function readFlags(flags: Flags, leaf: Commander, io: Io): Record<string, unknown> {
  const places: Commander[] = [];
  for (let at: Commander | null = leaf; at; at = at.parent) places.unshift(at);
  const read = ([key, flag]: [string, Flag<unknown>]): [string, unknown] => {
    const given = places
      .map((place) =>
        place.getOptionValue(
          flagName(key)
            .slice(2)
            .replace(/-./g, (c) => c.slice(1).toUpperCase()),
        ),
      )
      .filter((value) => value !== undefined) as (string[] | boolean)[];
    try {
      if (!flag.value) return [key, flag.read(given.at(-1) ?? fromEnv(flag, io)?.yes)];
      const texts = given.flat() as string[];
      return [key, flag.read(texts.length > 0 ? texts : fromEnv(flag, io)?.texts)];
    } catch (err) {
      if (!Fault.is(err, "bad_parameter")) throw err;
      throw new Fault("bad_parameter", `${flagName(key)}: ${err.message}`, { cause: err });
    }
  };
  return Object.fromEntries(Object.entries(flags).map(read));
}

function fromEnv(flag: Flag<unknown>, io: Io): { texts: string[]; yes: boolean } | undefined {
  const text = flag.env ? io.env[flag.env] : undefined;
  return text ? { texts: [text], yes: /^(1|y|yes|true|on)$/i.test(text) } : undefined;
}

function unknownCommand(at: Commander, word: string): never {
  throw new Fault(
    "bad_parameter",
    `${pathOf(at)} has no command ${JSON.stringify(word)}; \`${pathOf(at)} help\` lists them`,
  );
}

/** What commander found wrong, in one sentence of ours that names the command and the flag. */
function usageFault(root: Commander, argv: readonly string[], err: CommanderError): Fault {
  let at = root;
  for (const word of argv) at = childOf(at, word) ?? at;
  const path = pathOf(at);
  const quoted = /'([\s\S]*?)'/.exec(err.message)?.[1] ?? "";
  const maybe = /Did you mean ([^?]*)\?/.exec(err.message)?.[1];
  const hint = maybe
    ? `; did you mean ${maybe}?`
    : `; \`${root.name()} help${path.slice(root.name().length)}\` tells how it is used`;
  const what = ((): string => {
    switch (err.code) {
      case "commander.unknownOption":
        return `${path} has no flag ${quoted.replace(/=[\s\S]*/, "")}`;
      case "commander.unknownCommand":
        return `${path} has no command ${JSON.stringify(quoted)}`;
      case "commander.help":
        return `say which command of ${path} you mean: ${listOf(at)}`;
      case "commander.missingArgument":
        return `${path} needs the argument <${quoted}>`;
      case "commander.excessArguments":
        return `${path} was given more arguments than it takes`;
      case "commander.optionMissingArgument":
        return `the flag ${/--[\w-]+|-\w(?=$| )/.exec(quoted)?.[0]} of ${path} needs a value`;
      default:
        return `${path}: ${err.message.replace(/^error: /, "")}`;
    }
  })();
  return new Fault("bad_parameter", what + (err.code === "commander.help" ? "" : hint), { cause: err });
}

const listOf = (command: Commander): string =>
  command
    .createHelp()
    .visibleCommands(command)
    .map((child) => child.name())
    .join(", ");
