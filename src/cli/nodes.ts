import type { Labels, Node } from "#model";
import { allLabels } from "#model/labels";

/** By name, then by id, so that lists do not jump. */
export const sortNodes = (nodes: readonly Node[]): Node[] =>
  nodes.toSorted(
    (a, b) => order(a.spec.hostname, b.spec.hostname) || order(a.metadata.name, b.metadata.name),
  );

const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Those that have all of `wanted` (TSH-43). */
export function withLabels(nodes: readonly Node[], wanted: Labels): Node[] {
  const pairs = Object.entries(wanted);
  return nodes.filter((node) => {
    const own = pairs.length === 0 ? {} : allLabels(node);
    return pairs.every(([key, value]) => Object.hasOwn(own, key) && own[key] === value);
  });
}
