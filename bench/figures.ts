/** What was measured of one thing on each side: as many numbers as runs, in the order of the sides. */
export interface Figure {
  /** By which goals name it, e.g. `bulk up`; undefined for what no goal is about. */
  readonly id?: string;
  readonly what: string;
  readonly unit: string;
  /** The first side is what the others are compared with. */
  readonly sides: readonly { readonly name: string; readonly values: readonly number[] }[];
}

/** Lets every side have its turn, `runs` times, each round in the opposite order, so that a slow minute hurts all of them. */
export async function inTurns<S>(
  sides: readonly S[],
  runs: number,
  measure: (side: S) => Promise<number>,
): Promise<Map<S, number[]>> {
  const values = new Map<S, number[]>(sides.map((side) => [side, []]));
  for (let round = 0; round < runs; round++) {
    for (const side of round % 2 === 0 ? sides : sides.toReversed()) {
      values.get(side)?.push(await measure(side));
    }
  }
  return values;
}

export function figure(
  what: string,
  unit: string,
  values: ReadonlyMap<{ name: string }, number[]>,
  id?: string,
): Figure {
  const sides = [...values].map(([{ name }, numbers]) => ({ name, values: numbers }));
  return { ...(id !== undefined && { id }), what, unit, sides };
}

/** What `--runs`, `--mib` and `--nodes` ask for; without them every part has its own. */
export interface Asked {
  readonly runs?: number;
  /** How much is transferred. */
  readonly mebibytes?: number;
  /** How many nodes are registered. */
  readonly nodes?: number;
}

/** The value that `share` of all are at or below; 0.5 is the median. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}
export const median = (values: readonly number[]): number => quantile(values, 0.5);

/** A line for each side: min, median, max, the ratio of its median to the first side's. */
export function table(figures: readonly Figure[]): string {
  const rows = [["", "", "min", "median", "max", "runs", "ratio", ""]];
  for (const { what, unit, sides } of figures) {
    const base = median(sides[0]?.values ?? []);
    for (const [index, { name, values }] of sides.entries()) {
      const [low, mid, high] = [Math.min(...values), median(values), Math.max(...values)];
      // Runs that differ by half of their median say little about a ratio near 1.
      const noisy = values.length > 2 && high - low > mid / 2;
      rows.push([
        index === 0 ? `${what}, ${unit}` : "",
        name,
        ...[low, mid, high].map(digits),
        `${values.length}`,
        index === 0 ? "" : (mid / base).toFixed(2),
        noisy ? "noisy" : "",
      ]);
    }
  }
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  return rows
    .map((row) => row.map((cell, i) => (i < 2 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))))
    .map((row) => row.join("  ").trimEnd())
    .join("\n");
}

function digits(value: number): string {
  return value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0);
}
