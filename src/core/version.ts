/** Whether version `a` comes before `b` in the order of Semantic Versioning 2.0 §11. A text that is no version comes before none. */
export function isOlder(a: string, b: string): boolean {
  const [left, right] = [parse(a), parse(b)];
  if (!left || !right) return false;
  for (let i = 0; i < 3; i++) {
    const difference = (left.numbers[i] as number) - (right.numbers[i] as number);
    if (difference !== 0) return difference < 0;
  }
  // A pre-release comes before its release.
  if (left.pre.length === 0 || right.pre.length === 0) return left.pre.length > right.pre.length;
  for (const [i, mine] of left.pre.entries()) {
    const theirs = right.pre[i];
    if (theirs === undefined) return false;
    if (mine !== theirs) return precedes(mine, theirs);
  }
  return left.pre.length < right.pre.length;
}

function precedes(a: string, b: string): boolean {
  const [x, y] = [a, b].map((part) => (/^\d+$/.test(part) ? Number(part) : undefined));
  if (x !== undefined && y !== undefined) return x < y;
  // Numbers come before words.
  if (x !== undefined || y !== undefined) return x !== undefined;
  return a < b;
}

function parse(text: string): { numbers: readonly number[]; pre: readonly string[] } | undefined {
  const match = /^v?(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+.*)?$/.exec(text);
  if (!match) return undefined;
  return { numbers: match.slice(1, 4).map(Number), pre: match[4]?.split(".") ?? [] };
}
