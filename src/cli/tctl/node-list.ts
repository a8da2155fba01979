import { allLabels, type Node } from "#model";
import { table } from "../table.ts";
import { escaped } from "../text.ts";

/** Machines for people; labels as `k:v`, by name (DEC-05). */
export const nodeTable = (nodes: readonly Node[]): string[] =>
  table(
    ["Node Name", "Node ID", "Address", "Labels"],
    nodes.map((node) => [
      node.spec.hostname,
      node.metadata.name,
      node.spec.use_tunnel ? "(tunnel)" : node.spec.addr,
      Object.entries(allLabels(node))
        .map(([name, value]) => escaped(`${name}:${value}`))
        .sort()
        .join(","),
    ]),
  );
