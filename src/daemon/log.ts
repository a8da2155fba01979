import type { Clock } from "#core/clock";
import type { Fields, Log } from "#core/log";

const severities = ["debug", "info", "warn", "error"] as const;
export type Severity = (typeof severities)[number];

export interface LogOptions {
  /** One line with its end, in one piece. */
  readonly write: (line: string, severity: Severity) => void;
  readonly severity: Severity;
  readonly clock: Clock;
}

/**
 * A log of one line an event, for people: time, severity, component, message, then `key=value` fields. Line ends and
 * terminal control sequences in what others sent are escaped, so that nobody can forge a line. Without `stamped` there is
 * neither time nor severity, where whoever takes the lines has its own.
 */
export function textLog({ stamped = true, ...options }: LogOptions & { readonly stamped?: boolean }): Log {
  return logOf(options, ({ time, severity, message, fields: { component, ...rest } }) => {
    const named = typeof component === "string" ? `[${component.toUpperCase()}]` : "";
    const head = stamped
      ? `${time} ${severity.toUpperCase().padEnd(5)} ${named.padEnd(10)} `
      : named && `${named} `;
    const tail = Object.entries(rest).flatMap(([key, value]) =>
      value === undefined ? [] : [` ${key}=${show(value)}`],
    );
    return `${head}${visible(message)}${tail.join("")}`;
  });
}

/** The same for programs: one JSON object a line with `time`, `level`, `component`, `message` and the event's own fields. */
export function jsonLog(options: LogOptions): Log {
  return logOf(options, ({ time, severity, message, fields: { component, ...rest } }) => {
    const own = { time, level: severity, component, message };
    // A line is looked at in terminals too, and every one of these characters stands in a string.
    return JSON.stringify({ ...own, ...rest, ...own }).replace(unsafe, codeOf);
  });
}

interface Entry {
  /** RFC 3339, UTC. */
  readonly time: string;
  readonly severity: Severity;
  readonly message: string;
  readonly fields: Fields;
}

function logOf({ write, severity: least, clock }: LogOptions, print: (entry: Entry) => string): Log {
  const from = severities.indexOf(least);
  const at = (own: Fields): Log => {
    const line =
      (severity: Severity) =>
      (message: string, fields: Fields = {}): void => {
        if (severities.indexOf(severity) < from) return;
        const time = new Date(clock.now()).toISOString();
        write(`${print({ time, severity, message, fields: { ...own, ...fields } })}\n`, severity);
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
  text.replace(unsafe, (c) => (c === "\n" ? "\\n" : c === "\t" ? "\\t" : codeOf(c)));
const codeOf = (c: string): string => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`;
