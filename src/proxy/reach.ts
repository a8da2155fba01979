import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Clock } from "#core/clock";
import { type Millis, second } from "#core/clock";
import { Fault, type FaultKind } from "#core/errors";
import type { ClusterView, Person } from "#mirror";
import { allLabels, type Node } from "#model";
import { addressesOfAll, dial, formatAddress, parseAddress } from "#net";
import { type DialPolicy, resolve, route, routeByAddress } from "#tunnel";

export interface ReachOptions {
  readonly view: Pick<ClusterView, "nodesAt" | "config">;
  readonly policy: DialPolicy;
  /** As `route` has it. */
  readonly anySuffix?: boolean;
  /** Opens a connection to an auth server of this cluster. */
  readonly dialAuth: (signal: AbortSignal) => Promise<Socket>;
  /** A connection to a node that is this very process, where it is one: nothing of it goes over the network. */
  readonly here: (node: Node) => Duplex | undefined;
  readonly onDial?: DialMeter;
  readonly clock: Clock;
}

/** Is told how an attempt to reach a host went. */
export type DialMeter = (outcome: "success" | FaultKind, took: Millis) => void;

/** A connection towards what was asked for. */
export interface Reached {
  readonly socket: Duplex;
  /** What answered, `host:port`. */
  readonly address: string;
  /** The registered node, if it is one: it understands the line that tells the client's address (SSH-01). */
  readonly node: Node | undefined;
}

/** Who wants to be connected, with the login that was named at the proxy. */
type Visitor = Pick<Person, "user" | "access"> & { readonly login: string };

/** How long a dial may take (PRX-08). */
const dialTimeout: Millis = 30 * second;
/** Without a port sshd's is tried when ours stays silent so long (PRX-05). */
const firstPortTimeout: Millis = 3 * second;
const nodePort = 3022;
const sshdPort = 22;

/**
 * Finds and dials a host for a person: a registered node that one of their logins may reach, or another host that the
 * policy lets. Throws `access_denied`, `not_found`, `bad_parameter` or `unreachable` with a sentence for the person.
 */
export async function reachHost(
  host: string,
  port: number,
  person: Visitor,
  options: ReachOptions,
  signal: AbortSignal,
): Promise<Reached> {
  const { view, clock } = options;
  const began = clock.uptime();
  const within = deadline(clock, dialTimeout, signal);
  try {
    const reached = await find();
    // What passes is a secret of the two ends, so that only the system can ask whether the other one is still there.
    const { keep_alive_interval: every, keep_alive_count_max: count } = view.config();
    if (reached.socket instanceof Socket) reached.socket.setKeepAlive(true, every * count);
    options.onDial?.("success", clock.uptime() - began);
    return reached;
  } catch (err) {
    options.onDial?.(err instanceof Fault ? err.kind : "internal", clock.uptime() - began);
    throw err;
  } finally {
    within.done();
  }

  async function find(): Promise<Reached> {
    const nodesAt = (name: string): readonly Node[] => view.nodesAt(name);
    const sees = (node: Node): boolean => person.access.sees(allLabels(node)).allowed;
    const { anySuffix = false } = options;
    const found = route(host, port, { name: view.config().cluster_name, nodesAt, sees, anySuffix });
    if (found.kind === "node") return reachNode(found.node, person, options, within.signal);
    const addresses = await resolve(host, found.elsewhere);
    const named = routeByAddress(addresses, port, nodesAt);
    if (named) return reachNode(named, person, options, within.signal);
    const open = await mayConnect(host, person);
    return reachOther(
      host,
      port,
      addresses,
      { ...options, policy: bothOf(options.policy, open) },
      within.signal,
    );
  }
}

async function reachNode(
  node: Node,
  person: Visitor,
  { here }: Pick<ReachOptions, "here">,
  signal: AbortSignal,
): Promise<Reached> {
  const labels = allLabels(node);
  if (!person.access.sees(labels).allowed) {
    // None of the logins is let in, so neither is this one, and what is in its way is what the person wants to know.
    const decision = person.access.login(person.login, labels);
    throw new Fault(
      "access_denied",
      `${person.user} may not log in to ${node.spec.hostname}: no role allows it`,
      {
        cause: new Error(decision.reason),
      },
    );
  }
  if (node.spec.addr === "") throw new Fault("unreachable", `node ${node.spec.hostname} has no address`);
  const socket = here(node) ?? (await dial(parseAddress(node.spec.addr, nodePort), signal));
  return { socket, address: node.spec.addr, node };
}

/** What the roles' lists of destinations leave open. Throws `access_denied`. */
async function mayConnect(host: string, { user, login, access }: Visitor): Promise<DialPolicy> {
  const known = await addressesOfAll(access.namedHosts);
  const at = { login, addressesOf: (name: string) => known.get(name) };
  return {
    permitted(_host, addresses, port) {
      const decided = addresses.map((address) => ({
        address,
        decision: access.connect({ kind: "connect", host, address, port }, at),
      }));
      const open = decided.filter(({ decision }) => decision.allowed).map(({ address }) => address);
      if (open.length > 0) return open;
      const where = formatAddress({ host, port });
      throw new Fault("access_denied", `${user} may not be connected to ${where}: no role allows it`, {
        cause: new Error(decided[0]?.decision.reason ?? "the host has no address"),
      });
    },
  };
}

/** What both permit. */
const bothOf = (first: DialPolicy, second: DialPolicy): DialPolicy => ({
  permitted: (host, addresses, port) => second.permitted(host, first.permitted(host, addresses, port), port),
});

async function reachOther(
  host: string,
  port: number,
  addresses: readonly string[],
  { policy, clock }: ReachOptions,
  signal: AbortSignal,
): Promise<Reached> {
  if (port !== 0) return first(policy.permitted(host, addresses, port), port, signal);
  const ports = [nodePort, sshdPort].filter((candidate) => allows(policy, host, addresses, candidate));
  // None: asked once more for the sentence that says so.
  const last = ports.at(-1) ?? sshdPort;
  for (const candidate of ports.slice(0, -1)) {
    const within = deadline(clock, firstPortTimeout, signal);
    try {
      return await first(policy.permitted(host, addresses, candidate), candidate, within.signal);
    } catch (err) {
      signal.throwIfAborted();
      if (!Fault.is(err, "unreachable")) throw err;
    } finally {
      within.done();
    }
  }
  return first(policy.permitted(host, addresses, last), last, signal);
}

function allows(policy: DialPolicy, host: string, addresses: readonly string[], port: number): boolean {
  try {
    return policy.permitted(host, addresses, port).length > 0;
  } catch (err) {
    if (Fault.is(err, "access_denied")) return false;
    throw err;
  }
}

/** The first address that answers; each is one that was checked. */
async function first(addresses: readonly string[], port: number, signal: AbortSignal): Promise<Reached> {
  let failure: unknown;
  for (const host of addresses) {
    try {
      const socket = await dial({ host, port }, signal);
      return { socket, address: formatAddress({ host, port }), node: undefined };
    } catch (err) {
      failure = err;
    }
  }
  throw failure;
}

function deadline(clock: Clock, after: Millis, outer: AbortSignal): { signal: AbortSignal; done(): void } {
  const over = new AbortController();
  const timer = new AbortController();
  clock.sleep(after, timer.signal).then(
    () => over.abort(new Fault("unreachable", `it did not answer within ${after / second} s`)),
    () => {},
  );
  return { signal: AbortSignal.any([outer, over.signal]), done: () => timer.abort() };
}
