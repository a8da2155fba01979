import type { Millis } from "#core/clock";
import { parseDuration } from "#core/duration";
import { Fault } from "#core/errors";

/** A label whose value is the output of a command, run again every period. */
export interface CommandLabel {
  readonly name: string;
  /** The program and its arguments; no shell. */
  readonly command: readonly string[];
  readonly period: Millis;
}

/** What may name a label (SSH-51). */
export const isLabelName = (name: string): boolean =>
  /^[a-zA-Z/.0-9_*-]+$/.test(name) && name !== "__proto__";

/** The same for people. */
export const labelNames = "use letters, digits and . / _ * -";

/** What `--labels` says: `key=value` pairs, and `key=[period:command line]` (CFG-120). Throws `bad_parameter`. */
export function parseLabels(text: string): {
  labels: Record<string, string>;
  commands: CommandLabel[];
} {
  const labels: Record<string, string> = {};
  const commands: CommandLabel[] = [];
  for (const spec of splitOutside(text, /[,;]/)) {
    if (spec.trim() === "") continue;
    const at = spec.indexOf("=");
    const name = spec.slice(0, at).trim();
    const value = spec.slice(at + 1).trim();
    if (at < 0 || name === "") throw wrong(`invalid label spec: '${spec.trim()}', should be 'key=value'`);
    if (!isLabelName(name)) throw wrong(`${JSON.stringify(name)} cannot be a label's name; ${labelNames}`);
    if (value.startsWith("[")) commands.push({ name, ...commandOf(value) });
    else labels[name] = value.replaceAll('"', "");
  }
  return { labels, commands };
}

/** `[1m:"uptime -p"]` → its period and the words of its command line. */
function commandOf(value: string): { command: string[]; period: Millis } {
  const [, period, line] = /^\[([^:\]]*):([\s\S]*)\]$/.exec(value) ?? [];
  const fail = (): Fault =>
    wrong(`invalid command label spec: '${value}'; write [period:command], e.g. [1m:"uptime -p"]`);
  if (period === undefined || line === undefined) throw fail();
  // The user's shell may have left the quotes round the command line, or may have eaten them.
  const bare = /^"([^"]*)"$/.exec(line.trim())?.[1] ?? line.trim();
  const command = splitOutside(bare, /\s/)
    .filter((word) => word !== "")
    .map((word) => word.replaceAll('"', ""));
  if (command.length === 0) throw fail();
  return { command, period: parseDuration(period.trim()) };
}

/** Parts between separators that stand neither in double quotes nor in square brackets. */
function splitOutside(text: string, separator: RegExp): string[] {
  const parts = [""];
  let quoted = false;
  let depth = 0;
  for (const c of text) {
    if (c === '"') quoted = !quoted;
    if (!quoted && c === "[") depth++;
    if (!quoted && c === "]") depth = Math.max(0, depth - 1);
    if (!quoted && depth === 0 && separator.test(c)) parts.push("");
    else parts[parts.length - 1] += c;
  }
  if (quoted) throw wrong(`a double quote is not closed in ${JSON.stringify(text)}`);
  return parts;
}

const wrong = (message: string): Fault => new Fault("bad_parameter", message);
