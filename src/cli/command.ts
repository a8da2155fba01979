import type { Millis } from "#core/clock";
import { parseDuration } from "#core/duration";
import { Fault } from "#core/errors";
import type { Io } from "./io.ts";

/** One flag: how it is written and what its text becomes. */
export interface Flag<T> {
  readonly about: string;
  /** One letter. */
  readonly short?: string | undefined;
  /** What stands for the value in the help text; a flag without one is yes or no. */
  readonly value?: string | undefined;
  /** May be given several times. */
  readonly many?: boolean | undefined;
  readonly hidden?: boolean | undefined;
  /** The environment variable that speaks when the flag is absent. */
  readonly env?: string | undefined;
  /** Texts in the order given, or whether a yes-or-no flag is on; `undefined` when absent. */
  read(given: readonly string[] | boolean | undefined): T;
}
export type Flags = Readonly<Record<string, Flag<unknown>>>;
export type Parsed<F> = { readonly [K in keyof F]: F[K] extends Flag<infer T> ? T : never };

interface More {
  readonly short?: string;
  readonly value?: string;
  readonly hidden?: boolean;
  readonly env?: string;
}
type Reader<T> = (text: string) => T;

const single = <T>(about: string, value: string, read: Reader<T>, more: More): Flag<T | undefined> => ({
  value,
  ...more,
  about,
  read: (given) => (Array.isArray(given) && given.length > 0 ? read(given.at(-1) as string) : undefined),
});

/** The kinds of flags. An absent one is `undefined`, so that a command can tell it from one that says the default. */
export const flag = {
  text: (about: string, more: More = {}) => single(about, "TEXT", (text) => text, more),
  yes: (about: string, more: Omit<More, "value"> = {}): Flag<boolean | undefined> => ({
    ...more,
    about,
    read: (given) => (typeof given === "boolean" ? given : undefined),
  }),
  /** Every value of a flag that may be repeated. */
  many: (about: string, more: More = {}): Flag<readonly string[]> => ({
    value: "TEXT",
    ...more,
    about,
    many: true,
    read: (given) => (Array.isArray(given) ? given : []),
  }),
  /** A list with commas, e.g. `node,proxy`; blanks round an entry and empty entries do not count. */
  list: (about: string, more: More = {}) => single(about, "A,B", splitList, more),
  port: (about: string, more: More = {}) =>
    single(
      about,
      "PORT",
      (text) => {
        const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
        if (port < 1 || port > 65_535) throw wrong(`${JSON.stringify(text)} is not a port (1 to 65535)`);
        return port;
      },
      more,
    ),
  /** A whole number from 1 up to a bound. */
  count: (about: string, most: number, more: More = {}) =>
    single(
      about,
      "N",
      (text) => {
        const count = /^\d{1,9}$/.test(text) ? Number(text) : 0;
        if (count < 1 || count > most)
          throw wrong(`${JSON.stringify(text)} is not a number from 1 to ${most}`);
        return count;
      },
      more,
    ),
  /** A span of time in milliseconds, e.g. `1h30m`; `orNone`: or 0. */
  duration: (about: string, { orNone = false, ...more }: More & { readonly orNone?: boolean } = {}) =>
    single(
      about,
      "DURATION",
      (text): Millis => {
        const span = parseDuration(text);
        if (span < 0 || (span === 0 && !orNone))
          throw wrong(`${JSON.stringify(text)} is not longer than nothing`);
        return span;
      },
      more,
    ),
  choice: <const V extends string>(about: string, values: readonly V[], more: More = {}) =>
    single(
      about,
      values.join("|"),
      (text): V => {
        const found = values.find((value) => value === text);
        if (found === undefined) {
          throw wrong(`${JSON.stringify(text)} is not one of ${values.join(", ")}`);
        }
        return found;
      },
      more,
    ),
};

export const splitList = (text: string): readonly string[] =>
  text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");

const wrong = (message: string): Fault => new Fault("bad_parameter", message);

export interface Context<F> {
  readonly flags: Parsed<F>;
  readonly args: readonly string[];
  readonly io: Io;
  readonly signal: AbortSignal;
}

interface Spec<F> {
  readonly name: string;
  readonly about: string;
  readonly aliases?: readonly string[];
  readonly hidden?: boolean;
  /** Positionals for the usage line and the check of their number: `<needed>`, `[optional]`, `[many...]`. */
  readonly args?: readonly string[];
  /** Flags end at the first positional, so `tsh ssh host ls -l` keeps its `-l`. */
  readonly passThrough?: boolean;
  readonly flags: F;
  /** Returns the exit code. */
  run(context: Context<F>): Promise<number>;
}

/** A command as the tree of a program holds it. */
export type Command = Spec<Flags>;

/** Commands under one word, as `users add` and `users ls`. */
export interface Group {
  readonly name: string;
  readonly about: string;
  readonly aliases?: readonly string[];
  readonly hidden?: boolean;
  readonly commands: readonly Command[];
}

/** One of the tools: its name, the flags that every command takes before and after its name, and its commands. */
export interface Program {
  readonly name: string;
  readonly about: string;
  readonly globals: Flags;
  readonly commands: readonly (Command | Group)[];
}

/** Makes the `command` of a program, whose commands all see the program's global flags beside their own. */
export const commandsWith =
  <const G extends Flags>(globals: G) =>
  <const F extends Flags>(
    spec: Omit<Spec<F>, "run"> & { run(context: Context<F & G>): Promise<number> },
  ): Command =>
    // The reader of each flag made its value, so the context has exactly the type that `run` asks for.
    ({ ...spec, flags: { ...globals, ...spec.flags } }) as unknown as Command;
