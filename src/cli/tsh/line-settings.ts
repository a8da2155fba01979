// How a connection to hosts is made and whom it believes: the part of OpenSSH's flags and options that `tsh ssh` and `tsh scp` share.
import { type HostKey, type Jump, knownHostsFile, parseJumps } from "#client";
import type { Millis } from "#core/clock";
import { second } from "#core/clock";
import type { Io } from "../io.ts";
import { printable } from "../text.ts";
import type { TshContext } from "./globals.ts";
import type { Home } from "./home.ts";
import { askAboutHost, type Wishes } from "./reach.ts";
import type { HostKeyChecking, SshOptions } from "./ssh-options.ts";

/** Flags and `-o` taken together, where flags win. */
export interface LineSettings {
  readonly jumps: readonly Jump[];
  readonly login: string | undefined;
  /** 0 is whatever the host registered. */
  readonly port: number;
  readonly batch: boolean;
  readonly addKeys: boolean;
  readonly hostKeys: HostKeyChecking;
  readonly knownHosts: string | undefined;
  readonly timeout: Millis | undefined;
  readonly keepAlive: { readonly every: Millis; readonly count: number } | false | undefined;
  /** Show no banners and warnings. */
  readonly quiet: boolean;
  /** What has no effect. */
  readonly warnings: readonly string[];
}

interface LineContext extends Pick<TshContext, "io"> {
  readonly flags: Pick<TshContext["flags"], "login"> & {
    readonly option: readonly string[];
    readonly jumphost: string | undefined;
    readonly port: number | undefined;
    readonly quiet: boolean | undefined;
  };
}

const nothing: SshOptions = { forwards: [], sendEnv: [], setEnv: [] };

/** Reads flags and options; the options come along for what else they say. Throws `bad_parameter`. */
export async function lineSettingsOf({
  flags,
  io,
}: LineContext): Promise<{ line: LineSettings; options: SshOptions }> {
  const { options, warnings } =
    flags.option.length > 0
      ? (await import("./ssh-options.ts")).readOptions(flags.option)
      : { options: nothing, warnings: [] };
  const quiet = flags.quiet ?? options.quiet ?? false;
  const line: LineSettings = {
    jumps: parseJumps(flags.jumphost ?? options.proxyJump ?? "none"),
    login: flags.login ?? options.user,
    port: flags.port ?? options.port ?? 0,
    batch: options.batchMode ?? false,
    addKeys: options.addKeysToAgent ?? true,
    hostKeys: options.strictHostKeyChecking ?? "ask",
    knownHosts: options.userKnownHostsFile && inHome(options.userKnownHostsFile, io),
    timeout: options.connectTimeout,
    keepAlive: keepAliveOf(options),
    quiet,
    warnings: quiet ? [] : warnings,
  };
  return { line, options };
}

/** A path as the user writes it in an option. */
export const inHome = (path: string, { machine }: Io): string =>
  path.replace(/^~(?=\/|$)/, () => machine.home);

/** OpenSSH's default asks three times; 0 seconds never. */
function keepAliveOf({ serverAliveInterval, serverAliveCountMax }: SshOptions): LineSettings["keepAlive"] {
  if (serverAliveInterval === undefined && serverAliveCountMax === undefined) return undefined;
  const every = serverAliveInterval ?? 60 * second;
  return every > 0 && { every, count: serverAliveCountMax ?? 3 };
}

/** What of the settings the connection to the proxy is made by; `login` is for the hosts to jump over. */
export async function wishesOf(
  { jumps, timeout, keepAlive, quiet, knownHosts: file }: LineSettings,
  login: string,
): Promise<Wishes> {
  return {
    jumps,
    login,
    quiet,
    ...(timeout !== undefined && { timeout }),
    ...(keepAlive !== undefined && { keepAlive }),
    ...(file && { knownHosts: await knownHosts(file) }),
  };
}

/** The context in which people are asked: with `BatchMode` nobody is there; the agent gets keys unless that is unwanted. */
export function personOf<C extends TshContext>(context: C, { batch, addKeys }: LineSettings): C {
  const { io } = context;
  if (!batch && addKeys) return context;
  const env = addKeys ? io.env : { ...io.env, SSH_AUTH_SOCK: undefined };
  const terminal = batch ? { ...io.terminal, stdin: false } : io.terminal;
  return { ...context, io: { ...io, env, terminal } };
}

/** Where a file stands for "remember nothing". */
const isNowhere = (path: string): boolean => path === "none" || path === "/dev/null";

const knownHosts = async (path: string) =>
  isNowhere(path) ? [] : (await knownHostsFile()).readKnownHosts(path);

/** What becomes of a host that has no certificate and whose key is not known (TSH-25, `StrictHostKeyChecking`). */
export function trust(
  { io, signal }: Pick<TshContext, "io" | "signal">,
  home: Home,
  { hostKeys, knownHosts: file, quiet }: LineSettings,
): (host: HostKey) => Promise<void> {
  const remember = async (host: HostKey): Promise<void> => {
    if (file === undefined) await home.keystore.trust(host);
    else if (!isNowhere(file)) await (await knownHostsFile()).addKnownHost(file, host);
  };
  if (hostKeys === "yes") {
    const nobody = { ...io, terminal: { ...io.terminal, stdin: false } };
    return askAboutHost({ io: nobody, signal }, home, remember);
  }
  if (hostKeys === "ask") return askAboutHost({ io, signal }, home, remember);
  return async (host) => {
    if (!quiet) io.err(`WARNING: nobody verified the key of ${printable(host.host)} (StrictHostKeyChecking)`);
    await remember(host);
  };
}
