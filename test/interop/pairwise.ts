/** One choice of each parameter. */
export type Row<P> = { readonly [K in keyof P]: P[K] extends readonly (infer V)[] ? V : never };

/**
 * Rows in which every value of every parameter stands beside every value of every other one at least once: what a product of
 * all would show of two choices that do not go together, in as many rows as the two longest lists need.
 */
export function pairwise<P extends Readonly<Record<string, readonly unknown[]>>>(parameters: P): Row<P>[] {
  const [first, ...rest] = Object.entries(parameters).sort(([, a], [, b]) => b.length - a.length);
  if (!first) return [];
  let rows: [string, unknown][][] = first[1].map((value) => [[first[0], value]]);
  let done: typeof rest = [first];
  for (const [name, values] of rest) {
    // The second list meets each value of the first: the product. What follows goes into the rows that are there.
    if (done.length === 1) rows = rows.flatMap((row) => values.map(() => [...row]));
    const missing = new Set(
      done.flatMap(([other, theirs]) =>
        theirs.flatMap((their) => values.map((value) => pair(other, their, name, value))),
      ),
    );
    const fresh = (row: [string, unknown][], value: unknown): string[] =>
      row.map(([other, their]) => pair(other, their, name, value)).filter((one) => missing.has(one));
    for (const [at, row] of rows.entries()) {
      // Of values that are as good as each other another one for each row.
      const turned = [...values.slice(at % values.length), ...values.slice(0, at % values.length)];
      const best = turned.reduce((a, b) => (fresh(row, b).length > fresh(row, a).length ? b : a));
      for (const one of fresh(row, best)) missing.delete(one);
      row.push([name, best]);
    }
    if (missing.size > 0) throw new Error(`no room for ${[...missing].join("; ")}`);
    done = [...done, [name, values]];
  }
  return rows.map((row) => Object.fromEntries(row) as Row<P>);
}

const pair = (name: string, value: unknown, otherName: string, other: unknown): string =>
  JSON.stringify([name, value, otherName, other]);
