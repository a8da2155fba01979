/** Numbers that a seed decides, so that a run can be done again. */
export interface Random {
  /** At least 0, below `limit`. */
  below(limit: number): number;
  of<T>(list: readonly T[]): T;
}

/** Of a 32-bit seed (the mulberry32 generator). */
export function randomOf(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (limit: number): number => Math.floor(next() * limit);
  return { below, of: (list) => list[below(list.length)] as (typeof list)[number] };
}
