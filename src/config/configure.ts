import { minute } from "#core/clock";
import { Fault } from "#core/errors";
import { type Address, parseAddress, parseListenAddress } from "./address.ts";
import type { ConfigFile, ParsedFile } from "./file.ts";
import { parseLabels } from "./labels.ts";
import { needsSharedStorage } from "./second-auth.ts";
import { advertised, caPin, secretSource } from "./values.ts";

/** What the command line of `teleport start` says; each wins over the file (CFG-100..115). */
export interface StartFlags {
  readonly debug?: boolean | undefined;
  readonly roles?: readonly string[] | undefined;
  readonly authServer?: readonly string[] | undefined;
  readonly token?: string | undefined;
  readonly caPin?: string | undefined;
  readonly nodename?: string | undefined;
  readonly labels?: string | undefined;
  readonly listenIp?: string | undefined;
  readonly advertiseIp?: string | undefined;
  readonly pidFile?: string | undefined;
  readonly insecure?: boolean | undefined;
  readonly insecureNoTls?: boolean | undefined;
  readonly permitUserEnv?: boolean | undefined;
  readonly diagAddr?: string | undefined;
  readonly fips?: boolean | undefined;
}

/** What only the machine can say. */
export interface Defaults {
  readonly nodename: string;
  readonly dataDir: string;
}

/** All that the daemon is told, whole: keys are those of the file, times are milliseconds, sizes bytes. */
export interface Config extends Omit<ConfigFile, "teleport"> {
  readonly teleport: ConfigFile["teleport"] & { readonly nodename: string; readonly data_dir: string };
  /** What only the command line can say. */
  readonly process: {
    readonly debug: boolean;
    readonly insecure: boolean;
    readonly insecure_no_tls: boolean;
    readonly diag_addr: Address | undefined;
    /** `teleport.auth_servers` are those of `--auth-server`, which wins over what the cluster said (HA-04). */
    readonly auth_servers_by_flag: boolean;
  };
}

/**
 * Defaults, under the file, under the flags (CFG-03). Throws `bad_parameter` when a flag makes no sense.
 * Warnings are for the operator, whatever the log's severity.
 */
export function configure({
  file: { file, warnings: before },
  flags,
  defaults,
}: {
  readonly file: ParsedFile;
  readonly flags: StartFlags;
  readonly defaults: Defaults;
}): { config: Config; warnings: string[] } {
  const warnings = [...before];
  if (flags.fips)
    throw wrong("--fips", "this build has no FIPS-certified cryptography; start without the flag");
  const roles = flags.roles && startRoles(flags.roles);
  const enabled = (section: { enabled: boolean }, role: string): boolean =>
    roles?.has(role) ?? section.enabled;

  const authServers = flags.authServer?.map((text) => read("--auth-server", () => parseAddress(text, 3025)));
  let runsAuth = enabled(file.auth_service, "auth");
  const [server] = authServers ?? [];
  if (server && roles?.has("auth")) throw needsSharedStorage(server, file.teleport.storage.backend.type);
  if (authServers && runsAuth) {
    warnings.push("--auth-server names another auth service, so none is started here");
    runsAuth = false;
  }
  const listed = authServers ?? file.teleport.auth_servers;

  const ip =
    flags.listenIp === undefined
      ? undefined
      : read("--listen-ip", () => parseAddress(flags.listenIp ?? "", 0).host);
  const at = (address: Address): Address => (ip ? { host: ip, port: address.port } : address);
  const { host, port } = at(file.auth_service.listen_addr);
  const own = { host: /^(0\.0\.0\.0|::)$/.test(host) ? "127.0.0.1" : host, port };
  const labelled = flags.labels ? read("--labels", () => parseLabels(flags.labels ?? "")) : undefined;
  const { auth_service, ssh_service, proxy_service, teleport } = file;

  const commands = (labelled?.commands ?? ssh_service.commands).map((label) => {
    if (label.period >= minute) return label;
    warnings.push(
      `the label ${JSON.stringify(label.name)} is refreshed once a minute, which is the shortest period`,
    );
    return { ...label, command: [...label.command], period: minute };
  });

  const config: Config = {
    teleport: {
      ...teleport,
      nodename: flags.nodename || teleport.nodename || defaults.nodename,
      data_dir: teleport.data_dir ?? defaults.dataDir,
      auth_servers: listed.length > 0 ? listed : [own],
      log: { ...teleport.log, ...(flags.debug && { output: { to: "stderr" }, severity: "debug" }) },
      ...(flags.token && { auth_token: secretSource(flags.token) }),
      ...(flags.caPin && { ca_pin: read("--ca-pin", () => caPin(flags.caPin ?? "")) }),
      ...(flags.advertiseIp && {
        advertise_ip: read("--advertise-ip", () => advertised(flags.advertiseIp ?? "")),
      }),
      ...(flags.pidFile && { pid_file: flags.pidFile }),
      storage: {
        ...teleport.storage,
        audit_events_uri: [...auth_service.audit_events_uri, ...teleport.storage.audit_events_uri].filter(
          (uri, i, all) => all.indexOf(uri) === i,
        ),
        audit_sessions_uri: teleport.storage.audit_sessions_uri ?? auth_service.audit_sessions_uri,
      },
    },
    auth_service: { ...auth_service, enabled: runsAuth, listen_addr: at(auth_service.listen_addr) },
    ssh_service: {
      ...ssh_service,
      enabled: enabled(ssh_service, "node"),
      listen_addr: at(ssh_service.listen_addr),
      labels: labelled?.labels ?? ssh_service.labels,
      commands: commands.map((label) => ({ ...label, command: [...label.command] })),
      permit_user_env: flags.permitUserEnv ?? ssh_service.permit_user_env,
    },
    proxy_service: {
      ...proxy_service,
      enabled: enabled(proxy_service, "proxy"),
      listen_addr: at(proxy_service.listen_addr),
      tunnel_listen_addr: at(proxy_service.tunnel_listen_addr),
      web_listen_addr: at(proxy_service.web_listen_addr),
    },
    process: {
      debug: flags.debug ?? false,
      insecure: flags.insecure ?? false,
      insecure_no_tls: flags.insecureNoTls ?? false,
      auth_servers_by_flag: authServers !== undefined,
      diag_addr: flags.diagAddr
        ? read("--diag-addr", () => parseListenAddress(flags.diagAddr ?? ""))
        : undefined,
    },
  };
  if (![config.auth_service, config.ssh_service, config.proxy_service].some((service) => service.enabled)) {
    throw new Fault(
      "bad_parameter",
      "nothing to run: the auth service, the proxy and the node are all switched off",
    );
  }
  if (config.process.insecure) {
    warnings.push("--insecure: the certificates of proxies and other clusters are not verified");
  }
  return { config, warnings };
}

/** `node,proxy` → which services to run. */
function startRoles(names: readonly string[]): Set<string> {
  const known = ["auth", "proxy", "node"];
  for (const name of names) {
    if (!known.includes(name))
      throw wrong("--roles", `${JSON.stringify(name)} is not one of ${known.join(", ")}`);
  }
  if (names.length === 0) throw wrong("--roles", `names none of ${known.join(", ")}`);
  return new Set(names);
}

const wrong = (flag: string, message: string): Fault => new Fault("bad_parameter", `${flag}: ${message}`);

/** Runs a reader and says which flag it was that could not be read. */
function read<T>(flag: string, reader: () => T): T {
  try {
    return reader();
  } catch (err) {
    throw Fault.is(err, "bad_parameter") ? wrong(flag, err.message) : err;
  }
}
