import { columns, printable } from "./text.ts";

/**
 * Lines of a table: header, a row of dashes as wide as each column, the rows (CLI-02). Without a header, only the rows.
 * Cells are made safe for a terminal.
 */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const safe = rows.map((row) => row.map(printable));
  const all = header.length > 0 ? [header, ...safe] : safe;
  const sizes = all.map((row) => row.map(columns));
  const count = Math.max(0, ...all.map((row) => row.length));
  const widths = Array.from({ length: count }, (_, i) =>
    sizes.reduce((widest, row) => Math.max(widest, row[i] ?? 0), 0),
  );
  const lines = all.map((row, at) =>
    widths.map((width, i) => (row[i] ?? "") + " ".repeat(width - (sizes[at]?.[i] ?? 0))),
  );
  if (header.length > 0)
    lines.splice(
      1,
      0,
      widths.map((width) => "-".repeat(width)),
    );
  return lines.map((line) => line.join(" ").trimEnd());
}
