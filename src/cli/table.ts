import { columns, printable } from "./text.ts";

/**
 * Lines of a table: header, a row of dashes as wide as each column, the rows (CLI-02). Without a header, only the rows.
 * Cells are made safe for a terminal.
 */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const safe = rows.map((row) => row.map(printable));
  const all = header.length > 0 ? [header, ...safe] : safe;
  const count = Math.max(0, ...all.map((row) => row.length));
  const widths = Array.from({ length: count }, (_, i) =>
    all.reduce((widest, row) => Math.max(widest, columns(row[i] ?? "")), 0),
  );
  const line = (cells: readonly string[]): string =>
    widths
      .map((width, i) => (cells[i] ?? "") + " ".repeat(width - columns(cells[i] ?? "")))
      .join(" ")
      .trimEnd();
  const body = safe.map(line);
  return header.length > 0 ? [line(header), line(widths.map((w) => "-".repeat(w))), ...body] : body;
}
