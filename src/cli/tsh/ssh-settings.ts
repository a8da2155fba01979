import { escapes, type Forward, forwarding, type Jump, parseJumps } from "#client";
import type { Millis } from "#core/clock";
import { second } from "#core/clock";
import { Fault } from "#core/errors";
import type { Io } from "../io.ts";
import type { FlagsOf } from "./commands.ts";
import type { TshContext } from "./globals.ts";
import type { HostKeyChecking, RequestTty, SshOptions } from "./ssh-options.ts";

export type SshContext = TshContext & FlagsOf<"ssh">;

/** What `tsh ssh` is to do beside its command: flags and `-o` taken together, where flags win. */
export interface Settings {
  readonly forwards: readonly Forward[];
  readonly exitOnForwardFailure: boolean;
  readonly gatewayPorts: boolean;
  readonly unlink: boolean;
  readonly jumps: readonly Jump[];
  readonly login: string | undefined;
  /** 0 is whatever the host registered. */
  readonly port: number;
  readonly tty: RequestTty;
  /** The byte that begins an escape. */
  readonly escape: number | "none";
  /** The agent to lend: a path, none, or nothing said. */
  readonly agent: string | false | undefined;
  readonly env: Readonly<Record<string, string>>;
  /** Where standard input and output go in place of a session (`-W`). */
  readonly stdio: { readonly host: string; readonly port: number } | undefined;
  /** False: neither a command nor a shell (`-N`). */
  readonly session: boolean;
  readonly remoteCommand: string | undefined;
  readonly batch: boolean;
  readonly addKeys: boolean;
  readonly hostKeys: HostKeyChecking;
  readonly knownHosts: string | undefined;
  readonly timeout: Millis | undefined;
  readonly keepAlive: { readonly every: Millis; readonly count: number } | false | undefined;
  readonly quiet: boolean;
}

const nothing: SshOptions = { forwards: [], sendEnv: [], setEnv: [] };

/** Reads flags and options. Throws `bad_parameter`; says what has no effect. */
export async function settingsOf({ flags, io }: Pick<SshContext, "flags" | "io">): Promise<Settings> {
  const { options, warnings } =
    flags.option.length > 0
      ? (await import("./ssh-options.ts")).readOptions(flags.option)
      : { options: nothing, warnings: [] };
  const quiet = flags.quiet ?? options.quiet ?? false;
  if (!quiet) for (const warning of warnings) io.err(warning);
  const gatewayPorts = options.gatewayPorts ?? false;
  return {
    forwards: await forwardsOf(flags, options, gatewayPorts),
    exitOnForwardFailure: options.exitOnForwardFailure ?? false,
    gatewayPorts,
    unlink: options.streamLocalBindUnlink ?? false,
    jumps: parseJumps(flags.jumphost ?? options.proxyJump ?? "none"),
    login: flags.login ?? options.user,
    port: flags.port ?? options.port ?? 0,
    tty: ttyOf(flags) ?? options.requestTty ?? "auto",
    escape: await escapeOf(flags.escapeChar ?? options.escapeChar),
    agent: agentOf(flags.withoutAgent ? false : (flags.forwardAgent ?? options.forwardAgent), io, quiet),
    env: environment(io.env, options),
    stdio: flags.stdioForward === undefined ? undefined : await stdioOf(flags.stdioForward),
    session: !flags.forwardOnly && flags.stdioForward === undefined && (options.session ?? true),
    remoteCommand: options.remoteCommand,
    batch: options.batchMode ?? false,
    addKeys: options.addKeysToAgent ?? true,
    hostKeys: options.strictHostKeyChecking ?? "ask",
    knownHosts: options.userKnownHostsFile && inHome(options.userKnownHostsFile, io),
    timeout: options.connectTimeout,
    keepAlive: keepAliveOf(options),
    quiet,
  };
}

async function forwardsOf(
  { forward, remoteForward, dynamicForward }: SshContext["flags"],
  options: SshOptions,
  gatewayPorts: boolean,
): Promise<Forward[]> {
  const asked = [
    ...forward.map((text) => ({ flag: "L" as const, text })),
    ...remoteForward.map((text) => ({ flag: "R" as const, text })),
    ...dynamicForward.map((text) => ({ flag: "D" as const, text })),
    ...options.forwards,
  ];
  if (asked.length === 0 || options.clearAllForwardings) return [];
  const { parseForward } = await forwarding();
  return asked.map(({ flag, text }) => parseForward(flag, text, { gatewayPorts }));
}

async function stdioOf(text: string): Promise<Settings["stdio"]> {
  const { parseForward } = await forwarding();
  // Read as the target of a forward, which it is.
  const { to } = parseForward("L", `1:${text}`);
  if (to !== "socks" && to.kind === "tcp") return to;
  throw new Fault("bad_parameter", `${JSON.stringify(text)} is not host:port, which -W connects to`);
}

function ttyOf({ tty, disableTty }: SshContext["flags"]): RequestTty | undefined {
  if (disableTty) return "no";
  return tty === undefined ? undefined : tty ? "yes" : "no";
}

async function escapeOf(text: string | undefined): Promise<number | "none"> {
  if (text === undefined) return "~".charCodeAt(0);
  const byte = (await escapes()).parseEscape(text);
  if (byte !== undefined) return byte;
  throw new Fault(
    "bad_parameter",
    `${JSON.stringify(text)} cannot be the escape character; give one character, ^ and a letter, or none`,
  );
}

function agentOf(asked: boolean | string | undefined, io: Io, quiet: boolean): string | false | undefined {
  if (asked === undefined || asked === false) return asked;
  if (typeof asked === "string" && !asked.startsWith("$")) return inHome(asked, io);
  const agent = io.env[typeof asked === "string" ? asked.slice(1) : "SSH_AUTH_SOCK"];
  if (agent) return agent;
  if (!quiet) io.err("WARNING: no SSH agent is running here (SSH_AUTH_SOCK), so none is forwarded");
  return false;
}

const inHome = (path: string, { machine }: Io): string => path.replace(/^~(?=\/|$)/, () => machine.home);

/** OpenSSH's default asks three times; 0 seconds never. */
function keepAliveOf({ serverAliveInterval, serverAliveCountMax }: SshOptions): Settings["keepAlive"] {
  if (serverAliveInterval === undefined && serverAliveCountMax === undefined) return undefined;
  const every = serverAliveInterval ?? 60 * second;
  return every > 0 && { every, count: serverAliveCountMax ?? 3 };
}

/** What of the user's environment is sent along: language and colours, which change nothing of what programs do, and what was asked for. */
function environment(env: Io["env"], { sendEnv, setEnv }: SshOptions): Record<string, string> {
  const usual = ["LANG", "LC_*", "COLORTERM"];
  const wanted = [...usual, ...sendEnv.filter((one) => !one.startsWith("-"))].map(pattern);
  const unwanted = sendEnv.filter((one) => one.startsWith("-")).map((one) => pattern(one.slice(1)));
  const sent = Object.entries(env).filter(
    (pair): pair is [string, string] =>
      Boolean(pair[1]) &&
      wanted.some((one) => one.test(pair[0])) &&
      !unwanted.some((one) => one.test(pair[0])),
  );
  // Of two values the first counts, as in OpenSSH.
  return Object.fromEntries([...sent, ...setEnv.toReversed()]);
}

/** A shell pattern with `*` and `?`. Of names that OpenSSH would send as `LC_*` only those that are locales are taken. */
const pattern = (text: string): RegExp => {
  if (text === "LC_*") return /^LC_[A-Z]+$/;
  const source = text.replaceAll(/./gs, (c) =>
    c === "*" ? ".*" : c === "?" ? "." : `\\u{${c.charCodeAt(0).toString(16)}}`,
  );
  return new RegExp(`^${source}$`, "u");
};
