/** Fields of a log line: flat, printable. Never secrets. */
export type Fields = Readonly<Record<string, unknown>>;

/** Events for the operator: a fixed message with varying fields. Info is for a healthy cluster, debug is for us. */
export interface Log {
  debug(message: string, fields?: Fields): void;
  info(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  error(message: string, fields?: Fields): void;
  /** A log whose lines carry `fields` too; `component` names the part of the product. */
  with(fields: Fields): Log;
}

/** Says nothing: for tests and for library code without an operator. */
export const silentLog: Log = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  with: () => silentLog,
};

/** Keeps every line, for tests that check what the operator is told. */
export function memoryLog(): Log & {
  readonly lines: readonly { level: string; message: string; fields: Fields }[];
} {
  const lines: { level: string; message: string; fields: Fields }[] = [];
  const at = (own: Fields): Log => {
    const add =
      (level: string) =>
      (message: string, fields: Fields = {}): void =>
        void lines.push({ level, message, fields: { ...own, ...fields } });
    return {
      debug: add("debug"),
      info: add("info"),
      warn: add("warn"),
      error: add("error"),
      with: (fields) => at({ ...own, ...fields }),
    };
  };
  return { ...at({}), lines };
}
