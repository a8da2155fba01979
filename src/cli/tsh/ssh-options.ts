// OpenSSH's options as `-o Name=value` takes them (TSH-23).
import type { ForwardFlag } from "#client";
import type { Millis } from "#core/clock";
import { closest } from "#core/closest";
import { parseDuration } from "#core/duration";
import { Fault } from "#core/errors";

export type HostKeyChecking = "ask" | "yes" | "accept-new" | "no";
export type RequestTty = "auto" | "no" | "yes" | "force";

/** What options say; what none of them says is absent. */
export interface SshOptions {
  addKeysToAgent?: boolean;
  batchMode?: boolean;
  clearAllForwardings?: boolean;
  connectTimeout?: Millis;
  /** As `-e` takes it. */
  escapeChar?: string;
  exitOnForwardFailure?: boolean;
  forkAfterAuthentication?: boolean;
  /** A text is the path of an agent's socket. */
  forwardAgent?: boolean | string;
  readonly forwards: { flag: ForwardFlag; text: string }[];
  gatewayPorts?: boolean;
  port?: number;
  proxyJump?: string;
  /** No banners, no warnings. */
  quiet?: boolean;
  remoteCommand?: string;
  requestTty?: RequestTty;
  /** Patterns of names of variables. */
  readonly sendEnv: string[];
  serverAliveCountMax?: number;
  /** 0: never ask. */
  serverAliveInterval?: Millis;
  /** False: no command and no shell. */
  session?: boolean;
  stdinNull?: boolean;
  readonly setEnv: [name: string, value: string][];
  strictHostKeyChecking?: HostKeyChecking;
  streamLocalBindUnlink?: boolean;
  user?: string;
  userKnownHostsFile?: string;
}

/** Reads options in order; of two values the first counts, as in OpenSSH. Unknown names and bad values throw `bad_parameter`. */
export function readOptions(given: readonly string[]): { options: SshOptions; warnings: string[] } {
  const options: SshOptions = { forwards: [], sendEnv: [], setEnv: [] };
  const warnings: string[] = [];
  for (const text of given) {
    const [, key = "", rest = ""] = /^\s*([^\s=]*)(?:\s*=\s*|\s+|$)(.*)$/s.exec(text) ?? [];
    const value = rest.trim().replace(/^"(.*)"$/s, "$1");
    const option = byName.get(key.toLowerCase());
    if (!option) throw new Fault("bad_parameter", `-o: ${unknown(key)}`);
    if (value === "")
      throw new Fault("bad_parameter", `-o ${option.name}: the value is missing, as in -o ${option.name}=…`);
    if (option.set) {
      try {
        option.set(options, value);
      } catch (err) {
        if (!Fault.is(err, "bad_parameter")) throw err;
        throw new Fault("bad_parameter", `-o ${option.name}: ${err.message}`, { cause: err });
      }
    } else if (!option.same?.includes(value.toLowerCase())) {
      warnings.push(`WARNING: Option '${option.name}' is not supported.`);
    }
  }
  return { options, warnings };
}

function unknown(key: string): string {
  const near = closest(
    key,
    [...byName.values()].map(({ name }) => name),
  );
  const hint = near ? `did you mean ${near}?` : "`tsh help ssh` lists those that act";
  return `OpenSSH has no option ${JSON.stringify(key)}; ${hint}`;
}

interface Option {
  readonly name: string;
  /** Absent: nothing here can be changed by it. */
  readonly set?: (options: SshOptions, value: string) => void;
  /** Values that say what is the case anyway. */
  readonly same?: readonly string[];
}

const wrong = (value: string, wanted: string): Fault =>
  new Fault("bad_parameter", `${JSON.stringify(value)} is not ${wanted}`);

/** Keeps the first value of an option that has one. */
const one =
  <K extends keyof SshOptions>(key: K, read: (value: string) => SshOptions[K]) =>
  (options: SshOptions, value: string): void => {
    const got = read(value);
    options[key] ??= got;
  };

const words =
  <T>(table: Readonly<Record<string, T>>) =>
  (value: string): T => {
    const key = value.toLowerCase();
    if (!Object.hasOwn(table, key)) throw wrong(value, `one of ${Object.keys(table).join(", ")}`);
    return table[key] as T;
  };
const yesNo = words({ yes: true, no: false, true: true, false: false });

/** Seconds, or with units as sshd_config(5) writes them. */
const seconds = (value: string): Millis => {
  if (/^\d{1,7}$/.test(value)) return Number(value) * 1000;
  return parseDuration(value.toLowerCase());
};
const count = (value: string): number => {
  if (!/^\d{1,6}$/.test(value)) throw wrong(value, "a number");
  return Number(value);
};
const port = (value: string): number => {
  const number = /^\d{1,5}$/.test(value) ? Number(value) : 0;
  if (number < 1 || number > 65_535) throw wrong(value, "a port (1 to 65535)");
  return number;
};
/** In a file the two sides are two words. */
const forward =
  (flag: ForwardFlag) =>
  (options: SshOptions, value: string): void =>
    void options.forwards.push({ flag, text: value.replace(/\s+/, ":") });

/** Those that do something here. */
const acting: readonly Option[] = [
  { name: "AddKeysToAgent", set: one("addKeysToAgent", yesNo) },
  { name: "BatchMode", set: one("batchMode", yesNo) },
  { name: "ClearAllForwardings", set: one("clearAllForwardings", yesNo) },
  {
    name: "ConnectTimeout",
    set: one("connectTimeout", (value) => {
      const timeout = value === "none" ? 0 : seconds(value);
      if (timeout <= 0) throw wrong(value, "a number of seconds from 1 up");
      return timeout;
    }),
  },
  { name: "DynamicForward", set: forward("D") },
  { name: "EscapeChar", set: one("escapeChar", (value) => value) },
  { name: "ExitOnForwardFailure", set: one("exitOnForwardFailure", yesNo) },
  { name: "ForkAfterAuthentication", set: one("forkAfterAuthentication", yesNo) },
  {
    name: "ForwardAgent",
    set: one("forwardAgent", (value) => (/^[/~$]/.test(value) ? value : yesNo(value))),
  },
  { name: "GatewayPorts", set: one("gatewayPorts", yesNo) },
  { name: "LocalForward", set: forward("L") },
  {
    name: "LogLevel",
    set: one(
      "quiet",
      words({
        quiet: true,
        fatal: true,
        error: true,
        info: false,
        verbose: false,
        debug: false,
        debug1: false,
        debug2: false,
        debug3: false,
      }),
    ),
  },
  { name: "Port", set: one("port", port) },
  { name: "ProxyJump", set: one("proxyJump", (value) => value) },
  { name: "RemoteCommand", set: one("remoteCommand", (value) => value) },
  { name: "RemoteForward", set: forward("R") },
  {
    name: "RequestTTY",
    set: one("requestTty", words({ auto: "auto", no: "no", yes: "yes", force: "force" })),
  },
  {
    name: "SendEnv",
    set: (options, value) => {
      options.sendEnv.push(...value.split(/\s+/));
    },
  },
  { name: "ServerAliveCountMax", set: one("serverAliveCountMax", count) },
  { name: "ServerAliveInterval", set: one("serverAliveInterval", seconds) },
  { name: "SessionType", set: one("session", words({ none: false, default: true })) },
  {
    name: "SetEnv",
    set: (options, value) => {
      const [, name, text = ""] = /^([A-Za-z_][A-Za-z0-9_]*)=([^\0]*)$/.exec(value) ?? [];
      if (name === undefined) throw wrong(value, "NAME=value");
      options.setEnv.push([name, text.replace(/^"(.*)"$/s, "$1")]);
    },
  },
  { name: "StdinNull", set: one("stdinNull", yesNo) },
  {
    name: "StrictHostKeyChecking",
    set: one(
      "strictHostKeyChecking",
      words({ ask: "ask", yes: "yes", "accept-new": "accept-new", no: "no", off: "no" }),
    ),
  },
  { name: "StreamLocalBindUnlink", set: one("streamLocalBindUnlink", yesNo) },
  { name: "User", set: one("user", (value) => value) },
  { name: "UserKnownHostsFile", set: one("userKnownHostsFile", (value) => value.split(/\s+/)[0] as string) },
];

/** The names of those that act, for the help text and its test. */
export const actingOptions = acting.map(({ name }) => name);

/** Options of which one value is what we do, and no other is served. */
const fixed: Readonly<Record<string, readonly string[]>> = {
  CanonicalizeHostname: ["no"],
  CheckHostIP: ["no"],
  Compression: ["no"],
  ControlMaster: ["no"],
  ControlPath: ["none"],
  ControlPersist: ["no"],
  EnableSSHKeysign: ["no"],
  ForwardX11: ["no"],
  GSSAPIAuthentication: ["no"],
  GSSAPIDelegateCredentials: ["no"],
  HashKnownHosts: ["no"],
  HostbasedAuthentication: ["no"],
  IdentitiesOnly: ["yes"],
  KbdInteractiveAuthentication: ["no"],
  NoHostAuthenticationForLocalhost: ["no"],
  PasswordAuthentication: ["no"],
  PermitLocalCommand: ["no"],
  PreferredAuthentications: ["publickey"],
  ProxyCommand: ["none"],
  PubkeyAuthentication: ["yes"],
  TCPKeepAlive: ["yes"],
  Tunnel: ["no"],
  UpdateHostKeys: ["no"],
  VerifyHostKeyDNS: ["no"],
  VisualHostKey: ["no"],
};

/** The other options of ssh_config(5). */
const others =
  `AddressFamily BindAddress BindInterface CASignatureAlgorithms CanonicalDomains CanonicalizeFallbackLocal
  CanonicalizeMaxDots CanonicalizePermittedCNAMEs CertificateFile ChannelTimeout Ciphers ConnectionAttempts
  EnableEscapeCommandline FingerprintHash ForwardX11Timeout ForwardX11Trusted GlobalKnownHostsFile HostKeyAlgorithms HostKeyAlias
  Hostname HostbasedAcceptedAlgorithms IPQoS IdentityAgent IdentityFile IgnoreUnknown Include KexAlgorithms KnownHostsCommand
  LocalCommand LogVerbose MACs NumberOfPasswordPrompts ObscureKeystrokeTiming PKCS11Provider PermitRemoteOpen ProxyUseFdpass
  PubkeyAcceptedAlgorithms RekeyLimit RequiredRSASize RevokedHostKeys SecurityKeyProvider StreamLocalBindMask SyslogFacility Tag
  TunnelDevice XAuthLocation`.split(/\s+/);

const byName: ReadonlyMap<string, Option> = new Map(
  [
    ...acting,
    ...Object.entries(fixed).map(([name, same]): Option => ({ name, same })),
    ...others.map((name): Option => ({ name })),
  ].map((option) => [option.name.toLowerCase(), option]),
);
