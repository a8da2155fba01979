import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Config } from "#config";
import type { ProxySettings } from "#contract/web";
import { minClientVersion } from "#contract/wire";
import { type Millis, minute } from "#core/clock";
import type { Service } from "#core/service";
import type { Mirror } from "#mirror";
import {
  access,
  type Node,
  type ProxyServer as ProxyRecord,
  type ResourceKind,
  type User,
  type Verb,
} from "#model";
import {
  type Address,
  dialFirst,
  door,
  formatAddress,
  type HttpsDoor,
  isNearby,
  listenHttps,
  tlsCiphers,
} from "#net";
import { ProxyServer } from "#proxy";
import { dialPolicy } from "#tunnel";
import { authIsAway, webApi } from "#webapi";
import { listeners, reachableHost } from "./addresses.ts";
import type { Heartbeat } from "./heartbeat.ts";
import type { Asked } from "./identity.ts";
import { keyPageTrouble } from "./key-pages.ts";
import { requestRates, sshLimits } from "./limits.ts";
import type { Member } from "./member.ts";
import { unawaited } from "./mirror.ts";
import type { NodeRole } from "./node.ts";
import { presence } from "./presence.ts";
import type { Rotating } from "./rotation.ts";
import { tunnels } from "./tunnels.ts";
import { webCertificate } from "./web-cert.ts";
import type { World } from "./world.ts";

/** Names that a proxy's certificates carry beside its own (OVW-16). */
export function proxyNames(config: Config): Asked {
  const { proxy_service: own, teleport } = config;
  const hosts = [...own.public_addr, ...own.ssh_public_addr].map(({ host }) => host);
  const { advertise_ip } = teleport;
  return {
    node_name: teleport.nodename,
    additional_principals: [
      ...new Set([...hosts, ...(advertise_ip ? [advertise_ip.host] : []), "localhost", "127.0.0.1", "::1"]),
    ],
    dns_names: [...new Set(hosts)],
  };
}

/** The proxy's doors: SSH (3023) and HTTPS (3080), and its place in the cluster's lists. */
export async function proxyRole(
  config: Config,
  world: World,
  member: Member,
  mirror: Mirror,
  rotating: Rotating,
  heartbeat: Heartbeat,
  node: NodeRole | undefined,
): Promise<Service[]> {
  const { proxy_service: own, teleport } = config;
  const { clock, random, version, hostId } = world;
  const log = world.log.with({ component: "proxy" });
  const doors: Address[] = [
    own.listen_addr,
    own.web_listen_addr,
    ...(config.auth_service.enabled ? [config.auth_service.listen_addr] : []),
  ];
  const policy = dialPolicy(
    own.openssh_targets.map(({ host, port }) => `${host.includes(":") ? `[${host}]` : host}:${port}`),
    () => listeners(doors),
  );
  const limits = sshLimits("proxy", config, world, log);
  const reach = {
    view: mirror,
    dialAuth: member.dialAuth ?? ((signal: AbortSignal) => dialFirst(teleport.auth_servers, signal)),
    here: (wanted: Node) => node?.here(wanted),
    onDial: world.metrics.dials,
    clock,
  };
  const linked = tunnels(config, world, member, mirror, reach);
  const server = new ProxyServer({
    login: limits.login,
    ...(own.proxy_protocol && { mayBring: isNearby }),
    maxUsers: limits.maxUsers,
    onLimit: limits.onLimit,
    hostId,
    hostSigners: () => member.identity().signers,
    view: mirror,
    reach: { ...reach, policy },
    dialCluster: linked.dial,
    emitter: member.audit,
    version,
    algorithms: { ciphers: teleport.ciphers, kex: teleport.kex_algos, macs: teleport.mac_algos },
    clock,
    log,
  });
  const ssh = door({
    name: "proxy",
    address: own.listen_addr,
    setting: "proxy_service.listen_addr",
    gate: limits.gate,
    handle: (socket, _ends, signal, guest) => server.handle(socket, signal, guest),
    onConnection: (socket) => world.metrics.traffic.add(socket),
    listen: world.listeners.listen,
    onListening: (bound) => world.say(`[PROXY] SSH proxy service is starting on ${formatAddress(bound)}`),
    log,
  });
  const announced = presence({
    kind: "proxy",
    heartbeats: world.metrics.heartbeats("proxy", world.health.heartbeats("proxy")),
    record: () => recordOf(config, world, rotating),
    announce: (record) => member.client["proxies.announce"](record),
    remove: () => member.client["proxies.remove"]({ name: hostId }),
    heartbeat,
    leaving: world.leaving,
    clock,
    random,
    log,
  });
  rotating.onChange(() => announced.changed());
  // The tunnels first: what comes for them at the web port finds them there.
  return [
    ssh,
    ...linked.services,
    webDoor(config, world, member, mirror, linked.atWebPort),
    unawaited(announced, mirror),
  ];
}

/** `tunnels`: takes what begins with `SSH-` at the web port, where tunnels are served there too (OVW-12). */
function webDoor(
  config: Config,
  world: World,
  member: Member,
  mirror: Mirror,
  tunnels?: HttpsDoor["ssh"],
): Service {
  const { proxy_service: own, teleport } = config;
  const { clock, random, version } = world;
  const log = world.log.with({ component: "web" });
  return {
    name: "web",
    async run(signal, ready) {
      const hosts = own.public_addr.map(({ host }) => host);
      const pair = config.process.insecure_no_tls
        ? undefined
        : await webCertificate({
            files: { key: own.https_key_file, cert: own.https_cert_file },
            dataDir: world.hostDir,
            dnsNames: [...new Set([teleport.nodename, ...hosts.filter(isName), "localhost"])].filter(isName),
            ips: [...new Set([...hosts.filter((host) => !isName(host)), "127.0.0.1", "::1"])],
            clock,
          });
      if (pair?.selfSigned) {
        const say = "serving a self-signed certificate, for browsers to be told to accept";
        // The operator's own file may be a mistake; the one made here is none (CFG-87).
        if (own.https_cert_file === undefined) log.info(say);
        else log.warn(say, { file: own.https_cert_file });
      }
      const trouble = keyPageTrouble(config, pair?.selfSigned ?? false);
      if (trouble !== undefined) log.warn(trouble);
      const rates = requestRates(config, world);
      const app = await webApi({
        auth: member.client,
        proxy: settingsOf(config),
        versions: { server_version: version, min_client_version: minClientVersion },
        health: () => {
          const { illness } = world.health;
          return illness ?? (mirror.connected ? undefined : authIsAway);
        },
        knowsCluster: (name) =>
          name === mirror.config().cluster_name ||
          mirror.remoteClusters().some(({ resource }) => resource.metadata.name === name),
        can: (user, verb, kind) => may(mirror, user, verb, kind),
        pages: join(fileURLToPath(import.meta.url), "../../../web/dist"),
        count: (peer) => rates.take(peer),
        clock,
        random,
        log,
      });
      await using listener = await listenHttps(world.metrics.calls.ofWeb(app, clock), {
        address: own.web_listen_addr,
        setting: "proxy_service.web_listen_addr",
        pair,
        ...(own.proxy_protocol && { mayBring: isNearby }),
        // The balancer may encrypt again or not (LB-01).
        ...(config.process.insecure && { mayBeClear: isNearby }),
        ...(tunnels && { ssh: tunnels }),
        ciphers: tlsCiphers(teleport.ciphersuites),
        maxConnections: teleport.connection_limits.max_connections,
        listen: world.listeners.listen,
        log,
      });
      world.say(`[PROXY] Web proxy service is starting on ${formatAddress(listener.address)}`);
      ready();
      await aborted(AbortSignal.any([signal, world.leaving.begun]));
      // Whoever has a connection open and asks for nothing, or slowly, must not keep a process that leaves.
      const late = new AbortController();
      void clock
        .sleep(lastRequests, signal)
        .catch(() => {})
        .then(() => late.abort());
      await listener.close(late.signal);
      await aborted(signal);
    },
  };
}

/** As long as a request may take. */
const lastRequests: Millis = minute;

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });

const isName = (host: string): boolean => !/^[\d.]+$|:/.test(host);

const first = (addresses: readonly Address[]): string | undefined =>
  addresses[0] === undefined ? undefined : formatAddress(addresses[0]);

function settingsOf(config: Config): ProxySettings {
  const { proxy_service: own } = config;
  const publicAddr = first(own.public_addr);
  const sshPublic = first(own.ssh_public_addr);
  const tunnelPublic = first(own.tunnel_public_addr);
  return {
    kube: { enabled: false },
    ssh: {
      listen_addr: formatAddress(own.listen_addr),
      tunnel_listen_addr: formatAddress(own.tunnel_listen_addr),
      ...(publicAddr !== undefined && { public_addr: publicAddr }),
      ...(sshPublic !== undefined && { ssh_public_addr: sshPublic }),
      ...(tunnelPublic !== undefined && { ssh_tunnel_public_addr: tunnelPublic }),
    },
  };
}

function recordOf(config: Config, { hostId, version }: World, rotating: Rotating): ProxyRecord {
  const { proxy_service: own, teleport } = config;
  const reach = ({ host, port }: Address): string =>
    formatAddress({ host: teleport.advertise_ip?.host ?? reachableHost(host), port });
  return {
    kind: "proxy",
    version: "v2",
    metadata: { name: hostId },
    spec: {
      hostname: teleport.nodename,
      addr: reach(own.listen_addr),
      ssh_addr: first(own.ssh_public_addr) ?? reach(own.listen_addr),
      web_addr: reach(own.web_listen_addr),
      // What people type: the advertised address, else this machine's name with the port that is served.
      public_addr:
        first(own.public_addr) ?? formatAddress({ host: teleport.nodename, port: own.web_listen_addr.port }),
      version,
      ...rotating.record(),
    },
  };
}

function may(mirror: Mirror, user: User, verb: Verb, kind: ResourceKind): boolean {
  const roles = user.spec.roles.map((name) => mirror.role(name));
  if (roles.some((role) => role === undefined)) return false;
  const found = roles.filter((role) => role !== undefined);
  return access({ user: user.metadata.name, roles: found, traits: user.spec.traits }).can(verb, kind).allowed;
}
