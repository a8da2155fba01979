import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Auth, authApi, handlers, openAuth, otherClustersOfFile } from "#auth";
import { measured, openBackend } from "#backend";
import { type Config, load } from "#config";
import { type Millis, second } from "#core/clock";
import { Fault } from "#core/errors";
import type { Service } from "#core/service";
import type { AuthServer } from "#model";
import { type Address, ConnectionCap, formatAddress, isNearby, tlsCiphers } from "#net";
import { reachableHost } from "./addresses.ts";
import { openAudit } from "./audit.ts";
import { DoorCertificates } from "./door-certificates.ts";
import { type Asked, IdentityKeeper } from "./identity.ts";
import { license } from "./license.ts";
import { requestRates } from "./limits.ts";
import { hostAuthorities } from "./member.ts";
import { otherClusters } from "./other-clusters.ts";
import { hostAuthorityOf, rotationOf } from "./rotation.ts";
import { refuseSecondAuth } from "./second-auth.ts";
import type { World } from "./world.ts";

const readText = (path: string): Promise<string> => readFile(path, "utf8");

/** The auth service of this process, open, with the services that make it reachable. */
export interface AuthRole {
  readonly auth: Auth;
  readonly services: readonly Service[];
}

/** Opens the storage, the audit log and the auth service, and prepares its door (3025). */
export async function authRole(config: Config, world: World, stack: AsyncDisposableStack): Promise<AuthRole> {
  const { clock, random, hostId, version } = world;
  const log = world.log.with({ component: "auth" });
  const { teleport, auth_service: own } = config;
  const dataDir = teleport.data_dir;
  const { backend: storage, audit_events_uri, audit_sessions_uri } = teleport.storage;
  const { metrics } = world;
  const store = stack.use(await openBackend(storage, { clock, log, dataDir }));
  await refuseSecondAuth(config, { backend: store, version, clock });
  const backend = measured(store, metrics.storage, clock);
  const audit = stack.use(
    await openAudit(
      { folder: join(dataDir, "log"), uris: audit_events_uri, sessionsUri: audit_sessions_uri },
      { clock, random, log, stdout: world.stdout },
    ),
  );
  const { state } = audit;
  metrics.show("audit_server_open_files", () => state.openFiles);
  metrics.show("audit_failed_emit_events", () => state.failures);
  metrics.show("audit_percentage_disk_space_used", () => state.percentUsed());
  const { resolveSecret } = await load();
  const staticTokens = await Promise.all(
    own.tokens.map(async ({ roles, token }) => ({
      roles,
      token: (await resolveSecret(token, readText)).reveal(),
    })),
  );
  const licensed = await license(config, clock);
  const auth = stack.use(
    await openAuth({
      backend,
      audit,
      config: {
        ...(own.cluster_name !== undefined && { clusterName: own.cluster_name }),
        hostName: teleport.nodename,
        version,
        ...(licensed && "good" in licensed && { license: licensed.good }),
        keyType: teleport.key_type === "rsa" ? "rsa" : "default",
        staticTokens,
        preference: preferenceOf(config),
        sso: ssoOf(world.own.env),
        anyClusterCertificate: config.process.insecure,
        cluster: {
          session_recording: own.session_recording,
          proxy_checks_host_keys: own.proxy_checks_host_keys,
          client_idle_timeout: own.client_idle_timeout,
          disconnect_expired_cert: own.disconnect_expired_cert,
          keep_alive_interval: own.keep_alive_interval,
          keep_alive_count_max: own.keep_alive_count_max,
          exec_recording_limit: own.exec_recording_limit,
        },
      },
      clock,
      random,
      log,
      dial: world.dialOut,
      warn: world.warn,
      issueMeter: metrics.issuing,
    }),
  );
  const asked: Asked = {
    node_name: teleport.nodename,
    additional_principals: [],
    dns_names: own.public_addr.map(({ host }) => host),
  };
  const keep = (role: "Auth" | "Admin") => {
    const certify = (keys: { public_ssh_key: string; public_tls_key: string } & Asked) =>
      auth.issueHost({ host_id: hostId, role, ...keys });
    const authorities = hostAuthorities(auth);
    return IdentityKeeper.open({
      dataDir,
      role,
      asked,
      authorities,
      first: certify,
      renew: certify,
      clock,
      log,
    });
  };
  const [keeper, adminKeeper] = [await keep("Auth"), await keep("Admin")];
  const source = hostAuthorityOf(auth);
  for (const one of [keeper, adminKeeper]) one.follow(source);
  const door = apiDoor({ auth, keeper, asked, config, world });
  const record = (): AuthServer => ({
    kind: "auth_server",
    version: "v2",
    metadata: { name: hostId },
    spec: {
      hostname: teleport.nodename,
      addr: formatAddress(announcedAddress(config)),
      ...(own.public_addr[0] && { public_addr: formatAddress(own.public_addr[0]) }),
      version,
      ...rotationOf(auth.authorities(), auth.clusterName, keeper.served),
    },
  });
  const announcer = auth.announcer(record, world.leaving);
  keeper.onServed(() => announcer.changed());
  stack.defer(auth.onAuthorities(() => announcer.changed()));
  const others = otherClustersOfFile(auth, otherClusters(config), hostId);
  return { auth, services: [keeper, adminKeeper, door, announcer, auth.rotations.service, others] };
}

/** By which members find this auth server. A port in `advertise_ip` is the node's, unless there is none here. */
function announcedAddress({ teleport, auth_service, ssh_service }: Config): Address {
  const { host, port } = auth_service.listen_addr;
  const { advertise_ip: advertised } = teleport;
  return {
    host: advertised?.host ?? reachableHost(host),
    port: (ssh_service.enabled ? undefined : advertised?.port) ?? port,
  };
}

function preferenceOf(config: Config) {
  const { type, second_factor, connector_name, u2f, local_auth } = config.auth_service.authentication;
  return {
    type,
    second_factor,
    local_auth,
    ...(connector_name !== undefined && { connector_name }),
    ...(u2f !== undefined && { u2f }),
  };
}

/** The environment variables that name another GitHub, as of an Enterprise Server (AUTH-68). */
function ssoOf({ TELEPORT_GITHUB_URL: web, TELEPORT_GITHUB_API_URL: api }: World["own"]["env"]) {
  if (!web) return {};
  const base = (name: string, text: string): string => {
    if (URL.canParse(text) && new URL(text).protocol === "https:") return text.replace(/\/+$/, "");
    throw new Fault("bad_parameter", `${name}: ${JSON.stringify(text)} is no https:// address`);
  };
  const at = base("TELEPORT_GITHUB_URL", web);
  return { github: { web: at, api: api ? base("TELEPORT_GITHUB_API_URL", api) : `${at}/api/v3` } };
}

/** What is being asked when the process begins to leave may be answered; then members look for the next one. */
const lastWords: Millis = 5 * second;

function apiDoor(parts: {
  auth: Auth;
  keeper: IdentityKeeper;
  asked: Asked;
  config: Config;
  world: World;
}): Service {
  const { auth, keeper, asked, config, world } = parts;
  const ciphers = tlsCiphers(config.teleport.ciphersuites);
  const rates = requestRates(config, world);
  const log = world.log.with({ component: "auth" });
  return {
    name: "auth API",
    async run(signal, ready) {
      using certificates = new DoorCertificates({
        keeper,
        authorities: () => hostAuthorities(auth),
        onAuthorities: (listener) => auth.onAuthorities(listener),
        issue: (request) => auth.issueHost(request),
        hostId: world.hostId,
        asked,
        log,
      });
      const app = authApi({
        handlers: world.metrics.calls.ofHandlers(handlers(auth), world.clock),
        callerOf: (identity) => auth.callerOf(identity),
        refused: (refused) => auth.refused(refused),
        authorities: () => auth.authorities(),
        trusted: () => auth.trusted(),
        onAuthorities: (listener) => auth.onAuthorities(listener),
        certificateFor: (name) => certificates.certificateFor(name),
        certificate: keeper.identity.tls,
        ciphers,
        ...(config.auth_service.proxy_protocol && { mayBring: isNearby }),
        count: (peer) => rates.take(peer),
        clock: world.clock,
        log,
      });
      await app.ready();
      keeper.onRenewed(({ tls }) => app.server.setSecureContext({ ...tls, ciphers, minVersion: "TLSv1.2" }));
      const cap = new ConnectionCap(config.teleport.connection_limits.max_connections, log);
      const open = new Set<{ destroy(): void }>();
      app.server.on("connection", (socket) => {
        if (signal.aborted) return void socket.destroy();
        if (!cap.admit(socket)) return;
        open.add(socket);
        socket.once("close", () => open.delete(socket));
      });
      const address = config.auth_service.listen_addr;
      const bound = await world.listeners.listen(app.server, address, "auth_service.listen_addr");
      world.say(`[AUTH]  Auth service is starting on ${formatAddress(bound)}`);
      ready();
      // Members hold their watches for ever; they are to find the process that serves now.
      await aborted(AbortSignal.any([signal, world.leaving.begun]));
      await world.clock.sleep(lastWords, signal).catch(() => {});
      for (const socket of open) socket.destroy();
      await aborted(signal);
      const closed = app.close();
      // A member's watch would last for ever, and Fastify only cuts what it listens for itself (CFG-142).
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
