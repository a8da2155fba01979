import { parseLabels } from "#client";
import { print } from "../format.ts";
import { table } from "../table.ts";
import { escaped } from "../text.ts";
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
  const { allLabels } = await import("#model");
  await print(io, flags.format, nodes, () =>
    table(
      ["Node Name", "Node ID", "Address", "Labels"],
      nodes.map((node) => [
        node.spec.hostname,
        node.metadata.name,
        node.spec.addr || "(by tunnel)",
        labelText(allLabels(node) ?? {}, flags.verbose ?? false),
      ]),
    ),
  );
  return 0;
}

function labelText(labels: Readonly<Record<string, string>>, whole: boolean): string {
  const text = Object.entries(labels)
    .map(([key, value]) => escaped(`${key}=${value}`))
    .sort()
    .join(", ");
  const characters = [...text];
  return whole || characters.length <= labelWidth ? text : `${characters.slice(0, labelWidth - 1).join("")}…`;
}
