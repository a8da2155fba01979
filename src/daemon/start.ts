import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Auth } from "#auth";
import { type Config, load } from "#config";
import { companionId } from "#contract/names";
import { systemClock } from "#core/clock";
import { Fault } from "#core/errors";
import { Leaving } from "#core/leaving";
import type { Log } from "#core/log";
import { systemRandom } from "#core/random";
import { runAll, type Service } from "#core/service";
import type { Mirror } from "#mirror";
import { formatAddress, type Outbound, outwards } from "#net";
import { isRunning, ownMark } from "#session";
import { authRole } from "./auth.ts";
import { AuthServers } from "./auth-servers.ts";
import { hostUuid, openDataDir, writeWhole } from "./data-dir.ts";
import { describe } from "./describe.ts";
import { diagnostics } from "./diagnostics.ts";
import { Health } from "./health.ts";
import { Heartbeat } from "./heartbeat.ts";
import { readIdentity } from "./identity.ts";
import { idleMemory, thisEngine } from "./idle-memory.ts";
import { license } from "./license.ts";
import { Lifecycle } from "./lifecycle.ts";
import { Listeners } from "./listeners.ts";
import { type Member, openMember, type RemoteAuth } from "./member.ts";
import { Metrics } from "./metrics.ts";
import { mirrorOf } from "./mirror.ts";
import { nextStep } from "./next-step.ts";
import { nodeNames, nodeRole } from "./node.ts";
import { notYet } from "./not-yet.ts";
import { notifier } from "./notify.ts";
import type { OwnProcess } from "./own-process.ts";
import { companionConfig, type ProcessesParts, proxyProcesses, vouchedBy } from "./processes.ts";
import { proxyNames, proxyRole } from "./proxy.ts";
import { followRotations } from "./rotation.ts";
import type { World } from "./world.ts";

export interface DaemonParts {
  readonly log: Log;
  /** A line of the banner on standard output (CFG-146). */
  readonly say: (line: string) => void;
  /** A line to the operator whatever the log's severity and output. */
  readonly warn: (line: string) => void;
  /** A line of the audit log on standard output, for `stdout://`; resolves when it is written. */
  readonly stdout: (line: string) => Promise<void>;
  /** This program's version, e.g. `5.0.0`. */
  readonly version: string;
  readonly own: OwnProcess;
}

/**
 * Runs the services that the configuration enables, in one process, until `signal` aborts, or another process has taken
 * its place and its last connection is over; resolves once all is stopped.
 * Rejects when one cannot start or go on.
 */
export async function startDaemon(given: Config, parts: DaemonParts, told: AbortSignal): Promise<void> {
  const { own, version } = parts;
  const companion = own.parent?.companion;
  const config = companion === undefined ? given : companionConfig(given, companion);
  const { teleport } = config;
  const log = companion === undefined ? parts.log : parts.log.with({ process: companion });
  const stop = companion === undefined ? told : AbortSignal.any([told, orphaned(own.parent)]);
  const { contradictions } = await load();
  const wrong = contradictions(config);
  if (wrong.length > 0) throw new Fault("bad_parameter", wrong.join("\n"));
  if (companion === undefined) for (const line of notYet(config)) parts.warn(line);
  const clock = systemClock;
  const licensed = config.auth_service.enabled ? await license(config, clock) : undefined;
  if (licensed && "warning" in licensed) parts.warn(licensed.warning);
  const health = new Health(clock);
  await using stack = new AsyncDisposableStack();
  const { warning } = await openDataDir(teleport.data_dir);
  if (warning !== undefined && config.auth_service.enabled) parts.warn(warning);
  const metrics = new Metrics(parts);
  metrics.show("teleport_ready", () => (health.refusal === undefined ? 1 : 0));
  const takesOver = own.parent !== undefined && companion === undefined;
  const leaving = new Leaving({ replaced: takesOver });
  const listeners = new Listeners(own.parent?.inherited ?? []);
  const { outbound } = await outwards();
  const out = outbound(own.env, clock);
  if (companion === undefined) tellOf(out, log);
  const hostId = await hostUuid(given.teleport.data_dir);
  const lifecycle = new Lifecycle(
    {
      own,
      listeners,
      leaving,
      notify: notifier(own.env, log),
      describe: () =>
        describe(shown(log, teleport.log.severity), { version, waits_for: health.refusal?.why }),
      clock,
      log,
    },
    stop,
  );
  const signal = AbortSignal.any([stop, lifecycle.end]);
  const world: World = {
    ...parts,
    log,
    // The first process has said it all.
    ...(companion !== undefined && { say: () => {}, warn: (line: string) => log.warn(line) }),
    metrics,
    hostId: companion === undefined ? hostId : companionId(hostId, companion),
    hostDir: given.teleport.data_dir,
    owner: { mark: ownMark(), lives: isRunning },
    listeners,
    dialOut: out.dial,
    leaving,
    health,
    clock,
    random: systemRandom,
  };
  if (teleport.pid_file !== undefined) {
    const path = teleport.pid_file;
    stack.defer(() => removePidFile(path));
    // One that runs keeps its file until we are sure to run too: we may be about to fail on its ports.
    if (!(await namesAnother(path))) await writePidFile(path);
  }
  // Everything that runs before the first service listens can fail with nothing started.
  const services = [watched(await clusterServices(config, world, stack, signal), health)];
  if (config.process.diag_addr) {
    metrics.addProcess();
    const probed = diagnostics({
      address: config.process.diag_addr,
      health,
      metrics: metrics.registry,
      profiles: config.process.debug,
      clock,
      warn: parts.warn,
      listen: listeners.listen,
      leaving: leaving.begun,
      listening: (at) => parts.say(`[DIAG]  Diagnostics service is starting on ${formatAddress(at)}`),
    });
    // While it takes over, the process before it answers that all is well.
    if (takesOver) services.push(probed);
    else services.unshift(probed);
  }
  services.push({
    name: "lifecycle",
    async run(down, ready) {
      await lifecycle.ready();
      ready();
      await until(down);
    },
  });
  void health.watchLoop(signal);
  const engine = thisEngine();
  if (engine) services.push(idleMemory(engine, clock));
  await runAll(services, signal);
}

/** By which way this process reaches other clusters and identity providers, when it is no plain one (CON-03). */
function tellOf({ proxy, refusal }: Outbound, log: Log): void {
  if (refusal !== undefined)
    log.error("no connections to other clusters and identity providers", { error: refusal });
  else if (proxy)
    log.info("connections to other clusters and identity providers go through a proxy", {
      variable: proxy.variable,
      proxy: formatAddress(proxy.address),
    });
}

/** What the operator asks for is seen whatever the least severity that is logged. */
const shown = (log: Log, least: Config["teleport"]["log"]["severity"]): Pick<Log, "info"> => ({
  info: least === "warn" || least === "error" ? log[least] : log.info,
});

/** A failure shows in `/healthz` at once, while what still runs is being stopped (CFG-147, CFG-151). */
function watched(service: Service, health: Health): Service {
  return {
    name: service.name,
    async run(signal, ready) {
      try {
        await service.run(signal, ready);
      } catch (err) {
        health.failed(service.name, err as Error);
        throw err;
      }
    },
  };
}

/** The roles, as one service: opened when the diagnostics already answer, so that a probe sees a start that takes long. */
async function clusterServices(
  config: Config,
  world: World,
  stack: AsyncDisposableStack,
  outer: AbortSignal,
): Promise<Service> {
  const ready = ["auth_service", "proxy_service", "ssh_service"].filter(
    (section) => config[section as "auth_service"].enabled,
  );
  const joined = world.health.expect(ready.join(", "));
  return {
    name: "cluster",
    async run(signal, isReady) {
      const role = config.auth_service.enabled ? await authRole(config, world, stack) : undefined;
      // Each by itself: its failure shows while the others are being stopped.
      const seen = (service: Service): Service => watched(service, world.health);
      const first = (role?.services ?? []).map(seen);
      const rest = async (): Promise<Service[]> =>
        (await memberServices(config, world, role?.auth, stack, signal)).map(seen);
      await runAll(
        [
          ...first,
          {
            name: "members",
            async run(inner, innerReady) {
              await runAll(
                [
                  ...(await rest()),
                  {
                    name: "started",
                    async run(last, lastReady) {
                      joined();
                      if (config.teleport.pid_file !== undefined)
                        await writePidFile(config.teleport.pid_file);
                      if (role && !world.own.parent)
                        for (const line of await nextStep(config, role.auth)) world.say(line);
                      innerReady();
                      isReady();
                      lastReady();
                      await until(last);
                    },
                  },
                ],
                inner,
              );
            },
          },
        ],
        AbortSignal.any([signal, outer]),
      );
    },
  };
}

async function memberServices(
  config: Config,
  world: World,
  auth: Auth | undefined,
  stack: AsyncDisposableStack,
  signal: AbortSignal,
): Promise<Service[]> {
  const { clock, random, version, hostId, owner, log } = world;
  const servers = await authServers(config, world);
  const common = {
    hostId,
    owner,
    dataDir: config.teleport.data_dir,
    auth: auth ?? (await remoteOf(config, world, servers)),
    version,
    clock,
    random,
  };
  const proxy = config.proxy_service.enabled
    ? await openMember(
        { ...common, role: "Proxy", asked: proxyNames(config), log: log.with({ component: "proxy" }) },
        signal,
      )
    : undefined;
  const node = config.ssh_service.enabled
    ? await openMember(
        { ...common, role: "Node", asked: nodeNames(config), log: log.with({ component: "node" }) },
        signal,
      )
    : undefined;
  const watcher = proxy ?? node;
  if (!watcher) return [];
  // One copy of the cluster's state serves both.
  const heartbeat = new Heartbeat({ client: watcher.client, clock, random });
  const mirror = mirrorOf(config, world, heartbeat.client, auth ? undefined : watcher);
  world.metrics.show("teleport_mirror_connected", () => (mirror.connected ? 1 : 0));
  world.metrics.show("trusted_clusters", () => otherClusters(mirror));
  const of = (member: Member | undefined): readonly Service[] => member?.services ?? [];
  const followed = auth ? [] : [servers.follow(watcher.client)];
  // Else the watch would go on by a certificate that is refused one day.
  if (!auth) watcher.keeper.onRenewed(() => mirror.again());
  const here =
    node &&
    (await nodeRole(config, world, node, mirror, followRotations(node, mirror, world), heartbeat, stack));
  return [
    ...of(proxy),
    ...of(node),
    mirror,
    ...followed,
    ...(here?.services ?? []),
    ...(proxy
      ? await proxyRole(config, world, proxy, mirror, followRotations(proxy, mirror, world), heartbeat, here)
      : []),
    ...(proxy ? furtherProcesses(config, world, proxy) : []),
  ];
}

function furtherProcesses(config: Config, world: World, proxy: Member): Service[] {
  const { processes: count } = config.proxy_service;
  if (count === 1 || world.own.parent?.companion !== undefined) return [];
  const certify: ProcessesParts["certify"] = (wanted) =>
    proxy.client["hosts.companion"]({
      ...wanted,
      host_id: world.hostId,
      additional_principals: [...wanted.additional_principals],
      dns_names: [...wanted.dns_names],
    });
  return [proxyProcesses({ ...world, count, certify, log: world.log.with({ component: "proxy" }) })];
}

/** How many clusters beside this one have an authority here; unknown before the first copy of the state. */
function otherClusters(mirror: Mirror): number | undefined {
  if (!mirror.connected) return undefined;
  const links = [...mirror.trustedClusters(), ...mirror.remoteClusters()];
  return new Set(links.map(({ resource }) => resource.metadata.name)).size;
}

const authServers = ({ teleport, process }: Config, { clock, log }: World): Promise<AuthServers> =>
  AuthServers.open({
    path: join(teleport.data_dir, "authservers.json"),
    listed: teleport.auth_servers,
    byFlag: process.auth_servers_by_flag,
    clock,
    log,
  });

async function remoteOf(config: Config, world: World, servers: AuthServers): Promise<RemoteAuth> {
  const { auth_servers, auth_token, ca_pin } = config.teleport;
  const { parent } = world.own;
  const { resolveSecret } = await load();
  return {
    servers: auth_servers,
    dial: (signal) => servers.dial(signal),
    token:
      auth_token === undefined
        ? undefined
        : async () => (await resolveSecret(auth_token, readToken)).reveal(),
    caPin: ca_pin,
    ...(parent?.companion !== undefined && {
      vouched: {
        certify: vouchedBy(parent),
        // One that was left by another cluster, which lived in this folder before, is of no use.
        authorities: (await readIdentity(world.hostDir, "Proxy"))?.authorities,
      },
    }),
    warn: once(world.warn),
  };
}

/** Says a line once, however many roles join and however often they try. */
function once(warn: (line: string) => void): (line: string) => void {
  const said = new Set<string>();
  return (line) => {
    if (said.has(line)) return;
    said.add(line);
    warn(line);
  };
}

const readToken = async (path: string): Promise<string> => {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    // Not for good: the file may come.
    throw new Fault("not_found", `cannot read the file of the invite token: ${(cause as Error).message}`, {
      cause,
    });
  }
};

const writePidFile = (path: string): Promise<void> => writeWhole(path, `${process.pid}\n`, 0o644);

/** Whether the file names a process that lives and is not this one. */
async function namesAnother(path: string): Promise<boolean> {
  const pid = Number(await readFile(path, "utf8").catch(() => ""));
  if (!Number.isInteger(pid) || pid <= 0 || pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (err) {
    return (err as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Only while it is ours: a newer process may have written its own. */
async function removePidFile(path: string): Promise<void> {
  const text = await readFile(path, "utf8").catch(() => "");
  if (text.trim() === String(process.pid)) await rm(path, { force: true });
}

/** Aborts when the process that started this one is gone. */
function orphaned(parent: OwnProcess["parent"]): AbortSignal {
  const alone = new AbortController();
  parent?.onGone(() => alone.abort());
  return alone.signal;
}

const until = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
