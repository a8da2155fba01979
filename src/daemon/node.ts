import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { uploadRecording } from "#authclient";
import type { Config } from "#config";
import type { Owner } from "#core/owner";
import type { Service } from "#core/service";
import { Accounts, Logins, Pipes, Programs, Sockets, Spawner } from "#helper";
import type { ClusterView, Mirror } from "#mirror";
import type { Node } from "#model";
import { door, formatAddress, memorySockets, parseAddress } from "#net";
import { CommandLabels, labelOf, NodeServer } from "#node";
import { endAbandoned, Spool, uploader } from "#session";
import { reachableHost } from "./addresses.ts";
import type { Heartbeat } from "./heartbeat.ts";
import type { Asked } from "./identity.ts";
import { sshLimits } from "./limits.ts";
import type { Member } from "./member.ts";
import { unawaited } from "./mirror.ts";
import { presence } from "./presence.ts";
import type { Rotating } from "./rotation.ts";
import type { World } from "./world.ts";

/** Names that a node's certificate carries beside its own (OVW-16). */
export function nodeNames(config: Config): Asked {
  const { ssh_service: own, teleport } = config;
  const reached = teleport.advertise_ip?.host ?? reachableHost(own.listen_addr.host);
  return {
    node_name: teleport.nodename,
    additional_principals: [...new Set([reached, ...own.public_addr.map(({ host }) => host)])],
    dns_names: [],
  };
}

export interface NodeRole {
  readonly services: Service[];
  /** A connection to this node that does not go over the network; none for another node, or while it takes none. */
  readonly here: (node: Node) => Duplex | undefined;
}

/** A login waits for no process to start: this many stand ready. */
const warmLogins = 2;

/** The machine's SSH door (3022), its recordings' way to the store, and its place in the cluster's lists. */
export async function nodeRole(
  config: Config,
  world: World,
  member: Member,
  mirror: Mirror,
  rotating: Rotating,
  heartbeat: Heartbeat,
  stack: AsyncDisposableStack,
): Promise<NodeRole> {
  const { ssh_service: own, teleport } = config;
  const { clock, random, version, hostId } = world;
  const log = world.log.with({ component: "node" });
  const uid = process.getuid?.() ?? 0;
  const pipes = stack.use(new Pipes(await ownFolder(join(teleport.data_dir, "run", "pipes"), world.owner)));
  const spawner = stack.use(new Spawner({ pipes }));
  const logins = stack.use(new Logins({ size: warmLogins }));
  logins.warm();
  const programs = new Programs({ spawner, logins, pipes, clock, uid });
  const sockets = stack.use(new Sockets({ clock, uid }));
  const spool = await Spool.open(join(teleport.data_dir, "log", "upload", "sessions", "default"));
  world.metrics.show("teleport_recordings_waiting", async () => (await spool.waiting()).length);
  const telling = { emitter: member.audit, clock, random, log };
  const labels = new CommandLabels({
    commands: own.commands,
    run: (command, signal) => labelOf(command, { spawner, clock }, signal),
    changed: () => announced.changed(),
    clock,
  });
  const limits = sshLimits("node", config, world, log, (address) => isProxy(address, mirror));
  const server = new NodeServer({
    hostId,
    hostSigners: () => member.identity().signers,
    labels: () => ({ ...own.labels, ...labels.labels() }),
    view: mirror,
    accounts: new Accounts({ clock }),
    programs,
    sockets,
    spool,
    telling,
    auditTrouble: () => member.audit.trouble,
    acceptEnv: own.accept_env,
    permitUserEnv: own.permit_user_env,
    limits,
    sessions: world.metrics.sessions,
    version,
    algorithms: { ciphers: teleport.ciphers, kex: teleport.kex_algos, macs: teleport.mac_algos },
    clock,
    random,
    log,
  });
  const ssh = door<Duplex>({
    name: "node",
    address: own.listen_addr,
    setting: "ssh_service.listen_addr",
    gate: limits.gate,
    handle: (stream, ends, signal, guest) => server.handle(stream, ends, signal, guest),
    onConnection: (socket) => world.metrics.traffic.add(socket),
    listen: world.listeners.listen,
    onListening: (bound) => world.say(`[SSH]   Service is starting on ${formatAddress(bound)}`),
    log,
  });
  const recordings = uploader({
    spool,
    upload: (sid, files, signal) => uploadRecording(member.client, sid, files, signal),
    onAbandoned: endAbandoned(telling),
    clock,
    log,
  });
  const announced = presence({
    kind: "node",
    heartbeats: world.metrics.heartbeats("node", world.health.heartbeats("node")),
    record: () => recordOf(config, world, labels, rotating),
    announce: (record) => member.client["nodes.announce"](record),
    remove: () => member.client["nodes.remove"]({ name: hostId }),
    heartbeat,
    leaving: world.leaving,
    clock,
    random,
    log,
  });
  rotating.onChange(() => announced.changed());
  const here = ({ metadata, spec }: Node): Duplex | undefined => {
    if (metadata.name !== hostId) return undefined;
    const local = parseAddress(spec.addr, own.listen_addr.port);
    const [near, far] = memorySockets();
    // Over the network it would come from the address it goes to.
    return ssh.admit(far, { local, remote: { ...local, port: 0 } }) ? near : undefined;
  };
  return { services: [recordings, labels, ssh, unawaited(announced, mirror)], here };
}

/** A folder of this process's own: over a reload two processes of a host are there. What dead ones left is cleared away. */
async function ownFolder(folder: string, { mark, lives }: Owner): Promise<string> {
  for (const name of await readdir(folder).catch(() => []))
    if (name !== mark && !lives(name)) await rm(join(folder, name), { recursive: true, force: true });
  return join(folder, mark);
}

/** Whether a proxy of the cluster is at this address: what its users do at the node is not the proxy's fault. */
const isProxy = (address: string, view: ClusterView): boolean => {
  const host = formatAddress({ host: address, port: 0 }).slice(0, -1);
  return view.proxies().some(({ spec }) => [spec.addr, spec.ssh_addr].some((said) => said?.startsWith(host)));
};

function recordOf(
  config: Config,
  { hostId, version }: World,
  labels: CommandLabels,
  rotating: Rotating,
): Node {
  const { ssh_service: own, teleport } = config;
  const { host, port } = own.listen_addr;
  const commanded = labels.record();
  return {
    kind: "node",
    version: "v2",
    metadata: { name: hostId, labels: own.labels },
    spec: {
      hostname: teleport.nodename,
      addr: formatAddress({
        host: teleport.advertise_ip?.host ?? reachableHost(host),
        port: teleport.advertise_ip?.port ?? port,
      }),
      ...(own.public_addr[0] && { public_addr: formatAddress(own.public_addr[0]) }),
      ...(commanded && { cmd_labels: commanded }),
      version,
      ...rotating.record(),
    },
  };
}
