import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Config } from "#config";
import { Fault } from "#core/errors";
import type { Log } from "#core/log";
import type { Service } from "#core/service";
import type { Mirror } from "#mirror";
import {
  type Address,
  addressesOf,
  type DialOut,
  door,
  formatAddress,
  type HttpsDoor,
  isNearby,
  parseAddress,
} from "#net";
import { openForTunnel, type ReachOptions } from "#proxy";
import type { Signer } from "#ssh/keys";
import { Agents, type DialRequest, TunnelHub } from "#tunnel";
import { sshLimits } from "./limits.ts";
import type { Member } from "./member.ts";
import { trustedAgents } from "./trusted-agents.ts";
import { tunnelReports } from "./tunnel-reports.ts";
import type { World } from "./world.ts";

/** Where tunnels are taken when nothing else is said. */
const tunnelPort = 3024;

/** The tunnels of a proxy: those of clusters that trust this one, and those to clusters that it trusts. */
export interface Tunnels {
  readonly services: readonly Service[];
  /** Takes calls that come to the web port, where that is the tunnels' too (OVW-12). */
  readonly atWebPort: HttpsDoor["ssh"];
  /** Opens something in a cluster that trusts this one. */
  readonly dial: (cluster: string, request: DialRequest, signal: AbortSignal) => Promise<Duplex>;
}

export function tunnels(
  config: Config,
  world: World,
  member: Member,
  mirror: Mirror,
  reach: Omit<ReachOptions, "policy">,
): Tunnels {
  const { proxy_service: own, teleport } = config;
  const { clock, random, hostId } = world;
  const log = world.log.with({ component: "tunnel" });
  const limits = sshLimits("tunnel", config, world, log);
  const algorithms = { ciphers: teleport.ciphers, kex: teleport.kex_algos, macs: teleport.mac_algos };
  const both = {
    statement: () => statementOf(member, log),
    learn: (name: string, statement: string) => member.client["links.learn"]({ name, statement }),
    algorithms,
    clock,
    log,
  };
  const hub = new TunnelHub({
    ...both,
    remotes: () => mirror.remoteClusters().flatMap(({ authorities }) => authorities),
    proxies: () => mirror.proxies().map(({ metadata }) => metadata.name),
    onChange: (listener) => mirror.onChange(listener),
    hostSigners: () => member.identity().signers,
    keepAlive: () => {
      const { keep_alive_interval: every, keep_alive_count_max: count } = mirror.config();
      return { every, count };
    },
    login: limits.login,
    ...(own.proxy_protocol && { mayBring: isNearby }),
  });
  world.metrics.showTunnels(() => {
    const remotes = mirror.connected ? mirror.remoteClusters() : [];
    const counts = new Map(remotes.map(({ resource }) => [resource.metadata.name, 0]));
    for (const { peer } of hub.tunnels) counts.set(peer.cluster, (counts.get(peer.cluster) ?? 0) + 1);
    return counts;
  });
  const running = new Set<Agents>();
  tellOfChanges(mirror, async () => {
    await Promise.all([hub, ...running].map((end) => end.tell()));
  });
  const agents = (target: string, address: string): Service => {
    const calls = new Agents({
      ...both,
      name: `${hostId}.${mirror.config().cluster_name}`,
      signers: () => member.identity().signers,
      target,
      authority: () =>
        mirror
          .trustedClusters()
          .find(({ resource }) => resource.metadata.name === target)
          ?.authorities.find(({ spec }) => spec.type === "host"),
      serve: (request, signal) =>
        openForTunnel(
          request,
          {
            cluster: target,
            view: mirror,
            reach,
            hostId,
            signer: () => certified(member),
            report: (draft) =>
              void member.audit
                .emit(draft)
                .catch((err: Error) => log.error("audit event was not kept", { error: err.message })),
            clock,
          },
          signal,
        ),
      heartbeat: () => mirror.config().keep_alive_interval,
      dial: inTurn(parseAddress(address, tunnelPort), world.dialOut),
      onRenewed: (listener) => member.keeper.onRenewed(listener),
      leaving: world.leaving.begun,
      random,
    });
    return {
      name: calls.name,
      async run(signal, ready) {
        running.add(calls);
        await calls.run(signal, ready);
        running.delete(calls);
      },
    };
  };
  const isShared = formatAddress(own.tunnel_listen_addr) === formatAddress(own.web_listen_addr);
  const called = door({
    name: "tunnels",
    address: own.tunnel_listen_addr,
    setting: "proxy_service.tunnel_listen_addr",
    gate: limits.gate,
    handle: (socket, ends, signal, guest) => hub.handle(socket, ends, signal, guest),
    onConnection: (socket) => world.metrics.traffic.add(socket),
    // The web port is bound by whoever serves it, and hands over what is for this door.
    listen: isShared ? async (_server, address) => address : world.listeners.listen,
    onListening: (bound) =>
      world.say(`[PROXY] Reverse tunnel service is starting on ${formatAddress(bound)}`),
    log,
  });
  const atWebPort = (socket: Socket, remote: Address): void => {
    world.metrics.traffic.add(socket);
    if (!called.admit(socket, { remote, local: own.tunnel_listen_addr })) socket.destroy();
  };
  world.leaving.begun.addEventListener("abort", () => hub.leave(), { once: true });
  return {
    dial: (cluster, request, signal) => hub.dial(cluster, request, signal),
    atWebPort: isShared ? atWebPort : undefined,
    services: [
      called,
      tunnelReports({
        tunnels: () => hub.tunnels.map(({ peer, heard }) => ({ cluster: peer.cluster, heard })),
        onChange: (listener) => hub.onTunnels(listener),
        client: member.client,
        clock,
        log,
      }),
      trustedAgents({ view: mirror, agents, leaving: world.leaving, log }),
    ],
  };
}

/** A name's addresses one after another, looked up anew each time (TUN-04). */
function inTurn({ host, port }: Address, dial: DialOut): (signal: AbortSignal) => Promise<Duplex> {
  let turn = 0;
  return async (signal) => {
    // A name that only an HTTP proxy on the way knows is left to that one.
    const addresses = await addressesOf(host).catch(() => []);
    const address = addresses[turn++ % addresses.length];
    return dial({ host, port, ...(address !== undefined && { addresses: [address] }) }, signal);
  };
}

/** Undefined while auth is away. */
async function statementOf({ client }: Member, log: Log): Promise<string | undefined> {
  try {
    return (await client["links.statement"]({})).statement;
  } catch (err) {
    log.debug("linked clusters are not told of the authorities now", { error: (err as Error).message });
    return undefined;
  }
}

/** Calls `tell` when this cluster's authorities have become others than they were. */
function tellOfChanges(mirror: Mirror, tell: () => Promise<void>): void {
  const own = (): string =>
    JSON.stringify(
      [...mirror.authorities("host"), ...mirror.authorities("user")].map(({ spec }) => [
        spec.checking_keys,
        spec.tls_key_pairs,
      ]),
    );
  let told = own();
  mirror.onChange(() => {
    const now = own();
    if (now === told) return;
    told = now;
    void tell().catch(() => {});
  });
}

/** The certified key that says that this is a proxy. */
function certified(member: Member): Signer {
  const found = member.identity().signers.find(({ publicKey }) => publicKey.certificate);
  if (!found) throw new Fault("internal", "this proxy has no certificate");
  return found;
}
