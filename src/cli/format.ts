import { flag } from "./command.ts";
import type { Io } from "./io.ts";
import { invisible } from "./text.ts";

export const formats = ["text", "json", "yaml"] as const;
export type Format = (typeof formats)[number];

/** `--format` of a listing command; absent means text. */
export const formatFlag = flag.choice("How to print: text for people, json or yaml for programs", formats);

/** Prints a value for people by `text`, or whole in a stable shape for programs. */
export async function print(
  io: Io,
  format: Format | undefined,
  value: unknown,
  text: () => readonly string[],
): Promise<void> {
  if (format === "json") io.out(asJson(value));
  else if (format === "yaml") io.out(await asYaml([value]));
  else {
    const lines = text();
    // Together: thousands of lines were as many writes to a pipe.
    if (lines.length > 0) io.out(lines.join("\n"));
  }
}

const escaped = (text: string): string =>
  text.replace(invisible, (c) => (c === "\n" ? c : `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`));

/** Indented JSON in which no character can drive a terminal. */
export const asJson = (value: unknown): string => escaped(JSON.stringify(value, undefined, 4));

/** One YAML document a value, in the words of YAML 1.1 so that old readers agree too, safe for a terminal as well. */
export async function asYaml(values: readonly unknown[]): Promise<string> {
  const { Document, isScalar, visit } = await import("yaml");
  const one = (value: unknown): string => {
    // What an application object holds beside plain data is left out here, as JSON would.
    const doc = new Document(JSON.parse(JSON.stringify(value)), {
      version: "1.1",
      aliasDuplicateObjects: false,
    });
    visit(doc, {
      Scalar(_, node) {
        if (isScalar(node) && typeof node.value === "string" && needsQuotes(node.value))
          node.type = "QUOTE_DOUBLE";
      },
    });
    return escaped(doc.toString({ directives: false, lineWidth: 0 }).trimEnd());
  };
  return values.map(one).join("\n---\n");
}

/** What a terminal would act on, and blanks at an end, which are lost where a block begins or ends. */
const needsQuotes = (text: string): boolean =>
  text !== text.trim() || text.replaceAll("\n", "").search(invisible) >= 0;
