import { parseLabels } from "#client";
import type { Labels } from "#model";
import { print } from "../format.ts";
import { table } from "../table.ts";
import { cut, escaped } from "../text.ts";
import type { FlagsOf } from "./commands.ts";
import type { TshContext } from "./globals.ts";
import { openHome } from "./home.ts";
import { needLoginTo } from "./other-cluster.ts";
import { nodesOf, openProxy } from "./reach.ts";

/** Columns for labels before they are cut (DEC-06). */
const labelWidth = 40;

/** `tsh ls` (TSH-43). */
export async function ls(context: TshContext & FlagsOf<"ls">): Promise<number> {
  const { io, flags, args } = context;
  const labels = args[0] === undefined ? {} : parseLabels(args[0]);
  const { login, cluster } = await needLoginTo(context, openHome(io));
  await using proxy = await openProxy(context, login, { cluster });
  const nodes = await nodesOf(context, proxy, login.credentials, cluster, labels);
  const { allLabels } = await import("#model/labels");
  await print(io, flags.format, nodes, () =>
    table(
      ["Node Name", "Node ID", "Address", "Labels"],
      nodes.map((node) => [
        node.spec.hostname,
        node.metadata.name,
        node.spec.addr || "(by tunnel)",
        labelText(allLabels(node), flags.verbose ?? false),
      ]),
    ),
  );
  return 0;
}

function labelText(labels: Labels, whole: boolean): string {
  const pairs = Object.keys(labels).map((key) => `${key}=${labels[key]}`);
  const text = escaped(pairs.sort().join(", "));
  return whole ? text : cut(text, labelWidth);
}
