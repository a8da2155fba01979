import { type Destination, type HostKey, type ProxyConnection, parseDestination } from "#client";
import { Fault } from "#core/errors";
import { printable } from "../text.ts";
import { type Login, openHome } from "./home.ts";
import { personOf, trust, wishesOf } from "./line-settings.ts";
import { needLoginTo } from "./other-cluster.ts";
import { loginFor, nodesOf, openProxy } from "./reach.ts";
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
  /** Called when we are logged in and the forwards are open. */
  readonly onOpen: () => void;
}

/** `tsh ssh` (TSH-20). Resolves to the exit code of what ran (TSH-24). */
export async function ssh(context: SshContext): Promise<number> {
  const settings = await settingsOf(context);
  if (!settings.background) return await connect(context, settings, () => {});
  checkBehind(context, settings);
  const { front, goBehind } = await import("./ssh-background.ts");
  const inFront = front(context);
  if (!inFront) return await goBehind(context, settings);
  return await connect({ ...context, io: inFront.io }, settings, inFront.leave);
}

async function connect(context: SshContext, settings: Settings, onOpen: () => void): Promise<number> {
  const { io, flags } = context;
  for (const warning of settings.warnings) io.err(warning);
  const [where = "", ...words] = context.args;
  const destination = parseDestination(where);
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
  const { login, cluster } = await needLoginTo(asking, home);
  const user = loginFor(destination.login ?? settings.login, login, io.machine);
  await using proxy = await openProxy(context, login, { ...(await wishesOf(settings, user)), cluster });
  const hosts = await hostsOf(context, proxy, login, cluster, destination);
  const remote: Remote = {
    words,
    command: words.length > 0 ? words.join(" ") : settings.remoteCommand,
    login: user,
    cluster,
    acceptPlain: trust(asking, home, settings),
    onOpen,
  };
  const isMany = hosts.length > 1 || flags.format !== undefined;
  if (!isMany) return await onHost(context, proxy, hosts[0] as Host, remote, settings);
  checkMany(hosts, remote, settings, flags.local ?? false);
  const { onHosts } = await import("./ssh-many.ts");
  return await onHosts(context, proxy, hosts, remote, settings);
}

/** What goes on behind has nobody at its input, and nobody who waits for a table. */
function checkBehind({ args, flags }: SshContext, { session, stdio, remoteCommand }: Settings): void {
  const hasCommand = args.length > 1 || remoteCommand !== undefined;
  const isFit = session ? hasCommand : stdio === undefined;
  if (isFit && !flags.local && flags.format === undefined) return;
  throw new Fault(
    "bad_parameter",
    "-f goes to the background with a command on one host, or with -N and forwards; not with a shell, -W, --local or --format",
  );
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
  { forwards, session, background }: Settings,
  local: boolean,
): void {
  if (command !== undefined && session && forwards.length === 0 && !local && !background) return;
  const names = hosts.slice(0, 12).map(({ name }) => printable(name));
  const more = hosts.length > names.length ? ` and ${hosts.length - names.length} more` : "";
  const single = !session
    ? "forwards need"
    : command === undefined
      ? "a shell needs"
      : background
        ? "-f needs"
        : "forwards need";
  throw new Fault(
    "bad_parameter",
    `${hosts.length} nodes match, and ${single} one of them: ${names.join(", ")}${more}; a command would run on all`,
  );
}
