import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { Fault } from "#core/errors";
import type { Node } from "#model";
import { parseAddress } from "#net";

/** Where a target turned out to be. */
export type Route =
  | { readonly kind: "node"; readonly node: Node }
  /** No node of that name: a host to be dialled directly, where the policy lets it. */
  | {
      readonly kind: "host";
      readonly host: string;
      readonly port: number;
      /** A node of that name, which the person may see, and which has another port. */
      readonly elsewhere?: Node;
    };

/**
 * Who is meant by `host` and `port` in this cluster (PRX-05): a node by id or name, each also with the cluster's name
 * behind it, or by its address. Port 0 means any; another port must be the registered one, else the host counts as
 * unregistered. Throws `bad_parameter` with the choices when several nodes have that name; those that the person may not
 * see are no choices, and are not told of.
 */
export function route(
  host: string,
  port: number,
  cluster: {
    readonly name: string;
    /** The nodes whose id, name or address this is. */
    readonly nodesAt: (name: string) => readonly Node[];
    readonly sees?: (node: Node) => boolean;
    /** Whether a name whose first label alone is a node's is that node's too, as the guide's `*.remote-cluster.example.com` has it. */
    readonly anySuffix?: boolean;
  },
): Route {
  const [label = ""] = host.split(".");
  if (cluster.anySuffix && label !== host && isIP(host) === 0) {
    const found = route(host, port, { ...cluster, anySuffix: false });
    return found.kind === "node" || found.elsewhere
      ? found
      : route(label, port, { ...cluster, anySuffix: false });
  }
  const wanted = host.toLowerCase();
  const suffix = `.${cluster.name.toLowerCase()}`;
  const short = wanted.endsWith(suffix) ? wanted.slice(0, -suffix.length) : wanted;
  const candidates = [...new Set([...cluster.nodesAt(short), ...cluster.nodesAt(wanted)])];
  const byId = candidates.find((node) => node.metadata.name === short);
  const matches = byId
    ? [byId]
    : candidates.filter(({ spec }) => {
        const name = spec.hostname.toLowerCase();
        return name === short || name === wanted || addressOf(spec.addr)?.host === wanted;
      });
  const reachable = matches.filter(
    ({ spec }) => port === 0 || spec.use_tunnel || addressOf(spec.addr)?.port === port,
  );
  const { sees = () => true } = cluster;
  const choices = reachable.length > 1 ? reachable.filter(sees) : reachable;
  if (choices.length > 1) throw ambiguous(host, choices);
  // One that may not be seen is refused by whoever asks.
  const node = choices[0] ?? reachable[0];
  if (node) return { kind: "node", node };
  const elsewhere = matches.find(sees);
  return { kind: "host", host, port, ...(elsewhere && { elsewhere }) };
}

const choicesShown = 10;

function ambiguous(host: string, choices: readonly Node[]): Fault {
  const ids = choices
    .map(({ metadata, spec }) => `${metadata.name} (${spec.use_tunnel ? "by tunnel" : spec.addr})`)
    .sort();
  const more = ids.length > choicesShown ? ` and ${ids.length - choicesShown} more` : "";
  return new Fault(
    "bad_parameter",
    `${JSON.stringify(host)} is ambiguous: ${ids.length} nodes have that name; use an id: ${ids.slice(0, choicesShown).join(", ")}${more}`,
  );
}

/**
 * The same for a name that only the resolver knows: a node whose address is among those that `addresses` holds. For
 * DNS names of registered nodes.
 */
export function routeByAddress(
  addresses: readonly string[],
  port: number,
  nodesAt: (name: string) => readonly Node[],
): Node | undefined {
  const matches = [...new Set(addresses.flatMap(nodesAt))].filter(({ spec }) => {
    const at = addressOf(spec.addr);
    return at !== undefined && addresses.includes(at.host) && (port === 0 || at.port === port);
  });
  // Several nodes may share an address behind different ports; without a port nobody can tell which is meant.
  return matches.length === 1 ? matches[0] : undefined;
}

/** The addresses of a name. `not_found` when the resolver knows none; a node that has it tells at which port it is. */
export async function resolve(host: string, elsewhere?: Node): Promise<readonly string[]> {
  if (isIP(host) !== 0) return [host];
  try {
    const found = await lookup(host, { all: true });
    return found.map(({ address }) => address);
  } catch (cause) {
    const port = elsewhere && addressOf(elsewhere.spec.addr)?.port;
    throw new Fault(
      "not_found",
      port === undefined
        ? `there is no node ${JSON.stringify(host)} in this cluster and no host of that name`
        : `the node ${JSON.stringify(host)} is at port ${port}: use -p ${port}`,
      {
        cause,
        details: { host },
      },
    );
  }
}

function addressOf(addr: string): { host: string; port: number } | undefined {
  if (addr === "") return undefined;
  const { host, port } = parseAddress(addr, 3022);
  return { host: host.toLowerCase(), port };
}
