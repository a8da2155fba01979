import { escapes, type Forward, forwarding } from "#client";
import { Fault } from "#core/errors";
import type { Io } from "../io.ts";
import type { FlagsOf } from "./commands.ts";
import type { TshContext } from "./globals.ts";
import { inHome, type LineSettings, lineSettingsOf } from "./line-settings.ts";
import type { RequestTty, SshOptions } from "./ssh-options.ts";

export type SshContext = TshContext & FlagsOf<"ssh">;

/** What `tsh ssh` is to do beside its command: flags and `-o` taken together, where flags win. */
export interface Settings extends LineSettings {
  readonly forwards: readonly Forward[];
  readonly exitOnForwardFailure: boolean;
  readonly gatewayPorts: boolean;
  readonly unlink: boolean;
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
  /** Whether the command gets any input. */
  readonly input: boolean;
  /** Whether it goes on in the background once all is open (`-f`). */
  readonly background: boolean;
}

/** Reads flags and options. Throws `bad_parameter`. */
export async function settingsOf(context: Pick<SshContext, "flags" | "io">): Promise<Settings> {
  const { flags, io } = context;
  const { line, options } = await lineSettingsOf(context);
  const gatewayPorts = options.gatewayPorts ?? false;
  const background = flags.background ?? options.forkAfterAuthentication ?? false;
  const asked = flags.withoutAgent ? false : (flags.forwardAgent ?? options.forwardAgent);
  const agent = agentOf(asked, io);
  return {
    ...line,
    warnings:
      agent === undefined && asked !== undefined && !line.quiet ? [...line.warnings, noAgent] : line.warnings,
    forwards: await forwardsOf(flags, options, gatewayPorts),
    exitOnForwardFailure: options.exitOnForwardFailure ?? false,
    gatewayPorts,
    unlink: options.streamLocalBindUnlink ?? false,
    tty: ttyOf(flags) ?? options.requestTty ?? "auto",
    escape: await escapeOf(flags.escapeChar ?? options.escapeChar),
    agent: asked === undefined ? undefined : (agent ?? false),
    env: environment(io.env, options),
    stdio: flags.stdioForward === undefined ? undefined : await stdioOf(flags.stdioForward),
    session: !flags.forwardOnly && flags.stdioForward === undefined && (options.session ?? true),
    remoteCommand: options.remoteCommand,
    input: !background && !(flags.withoutInput ?? options.stdinNull ?? false),
    background,
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

const noAgent = "WARNING: no SSH agent is running here (SSH_AUTH_SOCK), so none is forwarded";

/** Undefined: the one that was asked for is not there. */
function agentOf(asked: boolean | string | undefined, io: Io): string | false | undefined {
  if (asked === undefined || asked === false) return false;
  if (typeof asked === "string" && !asked.startsWith("$")) return inHome(asked, io);
  return io.env[typeof asked === "string" ? asked.slice(1) : "SSH_AUTH_SOCK"] || undefined;
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
