import type { Labels } from "../resource.ts";
import type { Node } from "../server.ts";

// A door of its own, `#model/labels`: who lists nodes does without the schemas of all resources, which take 30 ms to make.

/** All labels of a node: static ones, and dynamic results, which hide static ones of the same name (SSH-51). */
export function allLabels(node: Node): Labels {
  const all = { ...node.metadata.labels };
  for (const [name, { result }] of Object.entries(node.spec.cmd_labels ?? {})) all[name] = result;
  return all;
}
