import { z } from "zod";
import { Fault } from "#core/errors";
import { type JoinRole, joinRoles } from "#model";
import { cipherSuites, ciphers, kexAlgorithms, macAlgorithms } from "./algorithms.ts";
import { check } from "./check.ts";
import { isLabelName, labelNames } from "./labels.ts";
import { modernize } from "./legacy.ts";
import { auditEventsUri, auditSessionsUri, storage } from "./storage.ts";
import {
  address,
  advertised,
  caPin,
  choice,
  duration,
  durationOrNever,
  list,
  listen,
  namesOf,
  path,
  type SecretSource,
  scalar,
  secret,
  secretSource,
  section,
  size,
  text,
  whole,
  yesNo,
} from "./values.ts";
import { readYaml } from "./yaml.ts";

/** Where the log goes. */
export type LogOutput =
  | { readonly to: "stderr" | "stdout" | "syslog" }
  | { readonly to: "file"; readonly path: string };

const logOutput = scalar("stderr, stdout, syslog or a path", (value): LogOutput => {
  if (["", "stderr", "err", "2"].includes(value)) return { to: "stderr" };
  if (["stdout", "out", "1"].includes(value)) return { to: "stdout" };
  return value === "syslog" ? { to: "syslog" } : { to: "file", path: value };
});

/** A token of the file: which roles it lets a host take (AUTH-10). */
export interface StaticToken {
  readonly roles: readonly JoinRole[];
  readonly token: SecretSource;
}
const staticToken = scalar("role[,role]:token", (value): StaticToken => {
  const at = value.indexOf(":");
  // The message must not hold the text: it is a secret.
  if (at < 1 || at === value.length - 1)
    throw new Fault("bad_parameter", "invalid static token spec; write it as role[,role]:token");
  const roles = value
    .slice(0, at)
    .split(",")
    .map((role) => {
      const known = joinRoles.find((r) => r === role.trim().toLowerCase());
      if (!known)
        throw new Fault(
          "bad_parameter",
          `invalid static token spec: the roles before the colon may be ${joinRoles.join(", ")}`,
        );
      return known;
    });
  return { roles, token: secretSource(value.slice(at + 1).trim()) };
});

/** A host that is not a registered node and may be dialled all the same (RULE of CFG-93). */
export interface DialTarget {
  /** A name, an address, a CIDR block or `*`. */
  readonly host: string;
  readonly port: number | "*";
}
const dialTarget = scalar("host:port", (value): DialTarget => {
  const [, v6, host = v6, port] = /^(?:\[([0-9a-f:./]+)\]|([^\s:[\]]+)):(\d{1,5}|\*)$/i.exec(value) ?? [];
  if (!host || !port || (port !== "*" && (Number(port) < 1 || Number(port) > 65_535))) {
    throw new Fault(
      "bad_parameter",
      `${JSON.stringify(value)} is not a target; write host:port, 10.0.0.0/8:22 or *:*`,
    );
  }
  return { host, port: port === "*" ? "*" : Number(port) };
});

/** OpenSSH's MaxStartups. */
const startups = scalar("start:rate:full", (value) => {
  const [, start, rate, full] = /^(\d{1,8}):(\d{1,3}):(\d{1,8})$/.exec(value) ?? [];
  const read = { start: Number(start), rate: Number(rate), full: Number(full) };
  if (!(read.start >= 1 && read.rate <= 100 && read.start <= read.full)) {
    throw new Fault(
      "bad_parameter",
      `${JSON.stringify(value)} is no limit; write start:rate:full, such as 1000:30:3000, with a rate up to 100`,
    );
  }
  return read;
});

/** OpenSSH's PerSourceNetBlockSize. */
const netblock = scalar("bits:bits", (value) => {
  const [, ipv4, ipv6] = /^(\d{1,3}):(\d{1,3})$/.exec(value) ?? [];
  const read = { ipv4: Number(ipv4), ipv6: Number(ipv6) };
  if (!(read.ipv4 <= 32 && read.ipv6 <= 128)) {
    throw new Fault(
      "bad_parameter",
      `${JSON.stringify(value)} are no sizes of networks; write the bits for IPv4 and IPv6, such as 32:64`,
    );
  }
  return read;
});

const addressRange = scalar("an address or a range", (value) => {
  const [, host = "", bits] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(value) ?? [];
  const isV4 = /^\d+(\.\d+){3}$/.test(host);
  const isAddress = isV4
    ? host.split(".").every((part) => Number(part) < 256)
    : host.includes(":") && URL.canParse(`http://[${host}]/`);
  if (!isAddress || Number(bits ?? 0) > (isV4 ? 32 : 128)) {
    throw new Fault("bad_parameter", `${JSON.stringify(value)} is no address and no range; write 10.0.0.0/8`);
  }
  return value;
});

const positive = duration.refine((span) => span > 0, "wants a span of time longer than none");

const teleport = section({
  nodename: text.optional(),
  data_dir: path.optional(),
  pid_file: path.optional(),
  auth_token: secret.optional(),
  ca_pin: scalar("sha256:<64 hex digits>", (value) => (value === "" ? undefined : caPin(value))).optional(),
  auth_servers: list(address(3025)).prefault([]),
  advertise_ip: scalar("an address", advertised).optional(),
  connection_limits: section({
    max_connections: whole(1, 10_000_000).prefault("15000"),
    max_users: whole(1, 10_000_000).prefault("250"),
    rates: list(section({ period: positive, average: whole(1, 1e9), burst: whole(1, 1e9) })).prefault([]),
    max_unauthenticated: startups.prefault("1000:30:3000"),
    max_unauthenticated_per_source: whole(1, 10_000_000).prefault("500"),
    source_netblock: netblock.prefault("32:64"),
    login_grace: duration.prefault("2m"),
    max_auth_tries: whole(1, 1000).prefault("6"),
    max_channels: whole(1, 65_536).prefault("1024"),
    max_sessions: whole(1, 65_536).prefault("100"),
    max_buffered: size.prefault("128MiB"),
    max_requests: whole(1, 65_536).prefault("1024"),
    penalties: section({
      enabled: yesNo.prefault("yes"),
      refused: duration.prefault("1s"),
      late: duration.prefault("10s"),
      broken: duration.prefault("5s"),
      left: duration.prefault("1s"),
      block_from: duration.prefault("1m"),
      block_at_most: duration.prefault("10m"),
      max_sources: whole(1, 10_000_000).prefault("65536"),
      exempt: list(addressRange).prefault(["127.0.0.0/8", "::1"]),
    }).prefault({}),
  }).prefault({}),
  log: section({
    output: logOutput.prefault("stderr"),
    severity: choice(["debug", "info", "warn", "error"], { warning: "warn", err: "error" }).prefault("warn"),
    format: choice(["text", "json"]).prefault("text"),
  }).prefault({}),
  storage: storage.prefault({}),
  cache: section({ enabled: yesNo.prefault("yes"), ttl: durationOrNever.prefault("20h") }).prefault({}),
  ciphers: namesOf("cipher", ciphers).prefault(ciphers),
  kex_algos: namesOf("KEX", kexAlgorithms).prefault(kexAlgorithms),
  mac_algos: namesOf("MAC", macAlgorithms).prefault(macAlgorithms),
  ciphersuites: namesOf("cipher suite", Object.keys(cipherSuites))
    .prefault(Object.keys(cipherSuites))
    .transform((names) => names.map((name) => cipherSuites[name] as string)),
  key_type: choice(["rsa"]).optional(),
});

const authentication = section({
  type: scalar("local, github or oidc", (value) => {
    const known = (["local", "github", "oidc"] as const).find((type) => type === value.toLowerCase());
    if (known) return known;
    const hint =
      value.toLowerCase() === "saml"
        ? "SAML logins are not offered, but most SAML providers speak oidc too"
        : "use local, github or oidc";
    throw new Fault("bad_parameter", `unsupported authentication type ${JSON.stringify(value)}: ${hint}`);
  }).prefault("local"),
  second_factor: choice(["off", "otp", "webauthn"], { u2f: "webauthn", no: "off", false: "off" }).prefault(
    "otp",
  ),
  connector_name: text.optional(),
  u2f: section({
    app_id: scalar("an https:// address", (value) => {
      const { protocol, hostname } = URL.parse(value) ?? {};
      if (protocol !== "https:" || !hostname)
        throw new Fault("bad_parameter", `${JSON.stringify(value)} is not an https:// address`);
      if (/^[\d.]+$|^\[/.test(hostname))
        throw new Fault(
          "bad_parameter",
          `${JSON.stringify(value)}: browsers ask security keys for names only, not for an IP address`,
        );
      return value;
    }),
    facets: list(text).prefault([]),
  }).optional(),
  local_auth: yesNo.prefault("yes"),
}).check((context) => {
  if (context.value.second_factor !== "webauthn" || context.value.u2f) return;
  context.issues.push({
    code: "custom",
    input: context.value,
    path: ["second_factor"],
    message: "security keys need u2f.app_id, the https:// address of the proxy",
  });
});

/** A link to another cluster that is made, or switched on and off, at every start of the auth service (CFG-64). */
const trustedCluster = section({
  name: text,
  enabled: yesNo.prefault("yes"),
  token: secret,
  tunnel_addr: text.optional(),
  web_proxy_addr: text,
  role_map: list(section({ remote: text, local: list(text) })).optional(),
  roles: list(text).optional(),
});

/** Another cluster's authority by its SSH keys, as older files have it (CFG-61). */
const authority = section({
  type: choice(["user", "host"]),
  domain_name: text,
  checking_keys: list(text).prefault([]),
  checking_key_files: list(path).prefault([]),
  signing_keys: list(secret).prefault([]),
  signing_key_files: list(path).prefault([]),
  allowed_logins: list(text).prefault([]),
});
/** Where the reverse tunnels of such a cluster are. */
const reverseTunnel = section({
  domain_name: text,
  addresses: list(text).prefault([]),
  dial_addrs: list(text).prefault([]),
});

const authService = section({
  enabled: yesNo.prefault("yes"),
  cluster_name: scalar("a name", (value) => {
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/.test(value)) {
      throw new Fault(
        "bad_parameter",
        `${JSON.stringify(value)} is not a cluster name; use letters, digits, dots and dashes`,
      );
    }
    return value;
  }).optional(),
  listen_addr: listen(3025).prefault("0.0.0.0:3025"),
  public_addr: list(address(3025)).prefault([]),
  tokens: list(staticToken).prefault([]),
  authentication: authentication.prefault({}),
  session_recording: choice(["node", "proxy", "off"], { no: "off", false: "off" }).prefault("node"),
  proxy_checks_host_keys: yesNo.prefault("yes"),
  client_idle_timeout: durationOrNever.prefault("never"),
  disconnect_expired_cert: yesNo.prefault("no"),
  keep_alive_interval: duration.prefault("5m"),
  keep_alive_count_max: whole(1, 1000).prefault("3"),
  license_file: path.optional(),
  proxy_protocol: yesNo.prefault("on"),
  exec_recording_limit: size.prefault("10MiB"),
  audit_events_uri: auditEventsUri.prefault([]),
  audit_sessions_uri: auditSessionsUri.optional(),
  trusted_clusters: list(trustedCluster).prefault([]),
  authorities: list(authority).prefault([]),
  reverse_tunnels: list(reverseTunnel).prefault([]),
});

const labelName = scalar("a name", (name) => {
  if (!isLabelName(name)) {
    throw new Fault("bad_parameter", `${JSON.stringify(name)} cannot be a label's name; ${labelNames}`);
  }
  return name;
});

const variables = scalar("a variable's name", (value) => {
  if (/^[A-Za-z0-9_*?]+$/.test(value)) return value;
  throw new Fault(
    "bad_parameter",
    `${JSON.stringify(value)} is no variable's name; write DEPLOY_ENV, or DEPLOY_* for all that begin so`,
  );
});

const sshService = section({
  enabled: yesNo.prefault("yes"),
  listen_addr: listen(3022).prefault("0.0.0.0:3022"),
  public_addr: list(address(3022)).prefault([]),
  labels: z
    .preprocess(
      (value) => value ?? {},
      z
        .record(
          z.string(),
          z.preprocess((value) => value ?? "", z.string({ error: "wants a text" })),
          { error: "wants names with texts" },
        )
        .check(({ value, issues }) => {
          for (const name of Object.keys(value).filter((one) => !isLabelName(one))) {
            const message = `${JSON.stringify(name)} cannot be a label's name; ${labelNames}`;
            issues.push({ code: "custom", input: value, path: [name], message });
          }
        }),
    )
    .prefault({}),
  commands: list(
    section({
      name: labelName,
      command: list(text).refine(
        (words) => words.length > 0 && words[0] !== "",
        "wants a program and its arguments",
      ),
      period: duration.prefault("1m"),
    }),
  ).prefault([]),
  permit_user_env: yesNo.prefault("no"),
  pam: section({ enabled: yesNo.prefault("no"), service_name: text.prefault("sshd") }).prefault({}),
  accept_env: list(variables).prefault([]),
});

const proxyService = section({
  enabled: yesNo.prefault("yes"),
  listen_addr: listen(3023).prefault("0.0.0.0:3023"),
  tunnel_listen_addr: listen(3024).prefault("0.0.0.0:3024"),
  web_listen_addr: listen(3080).prefault("0.0.0.0:3080"),
  public_addr: list(address(3080)).prefault([]),
  ssh_public_addr: list(address(3023)).prefault([]),
  tunnel_public_addr: list(address(3024)).prefault([]),
  https_key_file: path.optional(),
  https_cert_file: path.optional(),
  proxy_protocol: yesNo.prefault("on"),
  kubernetes: section({
    enabled: yesNo.prefault("no"),
    listen_addr: listen(3026).prefault("0.0.0.0:3026"),
    public_addr: list(address(3026)).prefault([]),
    kubeconfig_file: path.optional(),
  }).prefault({}),
  openssh_targets: list(dialTarget).prefault(["*:22", "*:3022"]),
  processes: whole(1, 256).prefault("1"),
});

/** All that a configuration file can say, with the defaults of what it leaves out. Times are milliseconds, sizes bytes. */
export const ConfigFile = section({
  teleport: teleport.prefault({}),
  auth_service: authService.prefault({}),
  ssh_service: sshService.prefault({}),
  proxy_service: proxyService.prefault({}),
}).check((context) => {
  const { teleport, auth_service } = context.value;
  for (const key of ["audit_events_uri", "audit_sessions_uri"] as const) {
    const [here, there] = [auth_service[key] ?? [], teleport.storage[key] ?? []];
    if (here.length > 0 && there.length > 0 && String(here) !== String(there)) {
      context.issues.push({
        code: "custom",
        input: context.value,
        path: ["auth_service", key],
        message: `differs from teleport.storage.${key}; say it in one place`,
      });
    }
  }
});
export type ConfigFile = z.output<typeof ConfigFile>;

/** What a file said, and what about it the operator should change. */
export interface ParsedFile {
  readonly file: ConfigFile;
  readonly warnings: readonly string[];
}

/** Reads a configuration file's text. `name` is for the messages. Throws `bad_parameter` with every complaint and its place. */
export function parseConfigFile(text: string, name: string): ParsedFile {
  const [tree, second] = readYaml(text, name);
  if (second)
    throw new Fault(
      "bad_parameter",
      `${name}: a configuration is one YAML document, this file holds several`,
    );
  if (!tree) return { file: ConfigFile.parse({}), warnings: [] };
  const { value, at, warnings } = modernize(tree, name);
  return { file: check(ConfigFile, tree, name, { value, at }), warnings };
}
