import type { Clock } from "#core/clock";
import type { Fields, Log } from "#core/log";

const severities = ["debug", "info", "warn", "error"] as const;
export type Severity = (typeof severities)[number];

/**
 * A log of one line an event, for people: time, severity, component, message, then `key=value` fields. Line ends and
 * terminal control sequences in what others sent are escaped, so that nobody can forge a line.
 */
export function textLog(options: { write: (line: string) => void; severity: Severity; clock: Clock }): Log {
  const from = severities.indexOf(options.severity);
  const at = (own: Fields): Log => {
    const line =
      (severity: Severity) =>
      (message: string, fields: Fields = {}): void => {
        if (severities.indexOf(severity) < from) return;
        const { component, ...rest } = { ...own, ...fields };
        const time = new Date(options.clock.now()).toISOString();
        const label =
          typeof component === "string" ? `[${component.toUpperCase()}]`.padEnd(10) : " ".repeat(10);
        const tail = Object.entries(rest).flatMap(([key, value]) =>
          value === undefined ? [] : [` ${key}=${show(value)}`],
        );
        options.write(
          `${time} ${severity.toUpperCase().padEnd(5)} ${label} ${visible(message)}${tail.join("")}\n`,
        );
      };
    return {
      debug: line("debug"),
      info: line("info"),
      warn: line("warn"),
      error: line("error"),
      with: (fields) => at({ ...own, ...fields }),
    };
  };
  return at({});
}

function show(value: unknown): string {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? String(value));
  const safe = visible(text);
  return /^[^\s="]+$/.test(safe) ? safe : JSON.stringify(safe).replaceAll("\\\\", "\\");
}

/** C0, DEL and C1 controls, and the marks that turn the direction of text. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is escaped
const unsafe = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069]/g;
const visible = (text: string): string =>
  text.replace(unsafe, (c) =>
    c === "\n" ? "\\n" : c === "\t" ? "\\t" : `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
