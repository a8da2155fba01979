import {
  type Destination,
  type HostKey,
  knownHostsFile,
  type ProxyConnection,
  parseDestination,
} from "#client";
import { Fault } from "#core/errors";
import { printable } from "../text.ts";
import { type Home, type Login, openHome } from "./home.ts";
import { needLogin } from "./log-in.ts";
import { askAboutHost, loginFor, nodesOf, openProxy } from "./reach.ts";
import { onHost } from "./ssh-session.ts";
import { type Settings, type SshContext, settingsOf } from "./ssh-settings.ts";

/** One host. `id` is what we ask for, `name` what we show. */
export interface Host {
  readonly id: string;
  readonly name: string;
}

/** What is to happen on each host. */
export interface Remote {
  readonly words: readonly string[];
  /** Absent: a shell. */
  readonly command: string | undefined;
  readonly login: string;
  readonly cluster: string;
  readonly acceptPlain: (host: HostKey) => Promise<void>;
}

/** `tsh ssh` (TSH-20). Resolves to the exit code of what ran (TSH-24). */
export async function ssh(context: SshContext): Promise<number> {
  const { io, flags } = context;
  const [where = "", ...words] = context.args;
  const destination = parseDestination(where);
  const settings = await settingsOf(context);
  if (!settings.session && words.length > 0) {
    throw new Fault("bad_parameter", "with -N and -W nothing is run; leave either these or the command out");
  }
  if (flags.local && words.length === 0) {
    throw new Fault("bad_parameter", "--local runs a command here while the forwards stand; say which");
  }
  const hasCommand = settings.session && (words.length > 0 || settings.remoteCommand !== undefined);
  if (flags.format !== undefined && !(hasCommand && !flags.local)) {
    throw new Fault(
      "bad_parameter",
      "--format is for the table of how a command went on hosts; name a command",
    );
  }
  const home = openHome(io);
  const asking = personOf(context, settings);
  const login = await needLogin(asking, home);
  const user = loginFor(destination.login ?? settings.login, login, io.machine);
  const { jumps, timeout, keepAlive, quiet } = settings;
  await using proxy = await openProxy(context, login, {
    jumps,
    login: user,
    quiet,
    ...(timeout !== undefined && { timeout }),
    ...(keepAlive !== undefined && { keepAlive }),
    ...(settings.knownHosts && { knownHosts: await knownHosts(settings.knownHosts) }),
  });
  const cluster = flags.cluster ?? login.profile.cluster;
  const hosts = await hostsOf(context, proxy, login, cluster, destination);
  const remote: Remote = {
    words,
    command: words.length > 0 ? words.join(" ") : settings.remoteCommand,
    login: user,
    cluster,
    acceptPlain: trust(asking, home, settings),
  };
  const isMany = hosts.length > 1 || flags.format !== undefined;
  if (!isMany) return await onHost(context, proxy, hosts[0] as Host, remote, settings);
  checkMany(hosts, remote, settings, flags.local ?? false);
  const { onHosts } = await import("./ssh-many.ts");
  return await onHosts(context, proxy, hosts, remote, settings);
}

/** The context in which people are asked: with `BatchMode` nobody is there; the agent gets keys unless that is unwanted. */
function personOf(context: SshContext, { batch, addKeys }: Settings): SshContext {
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
function trust(
  { io, signal }: SshContext,
  home: Home,
  { hostKeys, knownHosts: file, quiet }: Settings,
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

/** One host as it was named, or the nodes that a label selector finds. Never empty. */
async function hostsOf(
  context: SshContext,
  proxy: ProxyConnection,
  { credentials }: Login,
  cluster: string,
  destination: Destination,
): Promise<readonly Host[]> {
  if (destination.kind === "host") return [{ id: destination.host, name: destination.host }];
  const nodes = await nodesOf(context, proxy, credentials, cluster, destination.labels);
  if (nodes.length === 0)
    throw new Fault("not_found", "no nodes match these labels; `tsh ls` lists what there is");
  return nodes.map(({ metadata, spec }) => ({ id: metadata.name, name: spec.hostname }));
}

/** Several hosts can be given a command, and nothing that there is one of: a terminal, input, ports. */
function checkMany(
  hosts: readonly Host[],
  { command }: Remote,
  { forwards, session }: Settings,
  local: boolean,
): void {
  if (command !== undefined && session && forwards.length === 0 && !local) return;
  const names = hosts.slice(0, 12).map(({ name }) => printable(name));
  const more = hosts.length > names.length ? ` and ${hosts.length - names.length} more` : "";
  const what = command === undefined || !session ? "a shell needs one of them" : "forwards need one of them";
  throw new Fault(
    "bad_parameter",
    `${hosts.length} nodes match, and ${session ? what : "forwards need one of them"}: ${names.join(", ")}${more}; a command would run on all`,
  );
}
