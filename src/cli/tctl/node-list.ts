import { allLabels, type Node } from "#model";
import { table } from "../table.ts";

/** By name, then by id, so that lists do not jump. */
export const sortNodes = (nodes: readonly Node[]): Node[] =>
  nodes.toSorted((a, b) => {
    const [left, right] = [a, b].map(({ spec, metadata }) => `${spec.hostname}\0${metadata.name}`) as [
      string,
      string,
    ];
    return left < right ? -1 : 1;
  });

/** Machines for people; labels as `k:v`, by name (DEC-05). */
export const nodeTable = (nodes: readonly Node[]): string[] =>
  table(
    ["Node Name", "Node ID", "Address", "Labels"],
    nodes.map((node) => [
      node.spec.hostname,
      node.metadata.name,
      node.spec.use_tunnel ? "(tunnel)" : node.spec.addr,
      Object.entries(allLabels(node))
        .map(([name, value]) => `${name}:${value}`)
        .sort()
        .join(","),
    ]),
  );
