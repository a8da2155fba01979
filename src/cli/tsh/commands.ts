// What `tsh` can be asked for. Each command loads its own file when it runs: start-up pays for none of them.
import { flag, type Parsed } from "../command.ts";
import { formatFlag } from "../format.ts";
import { command } from "./globals.ts";

/** For commands that act on one cluster (TSH-12). */
const cluster = flag.text("The cluster; by default the one that was logged in to", {
  value: "NAME",
  env: "TELEPORT_SITE",
});
const format = formatFlag;

/** Those by which `ssh` and `scp` make their connections. */
const jumphost = flag.text("Go through this proxy or node, or several, in place of your proxy", {
  short: "J",
  value: "[LOGIN@]HOST[:PORT],...",
});
const lineOptions = [
  "AddKeysToAgent",
  "BatchMode",
  "ConnectTimeout",
  "LogLevel",
  "Port",
  "ProxyJump",
  "ServerAliveCountMax",
  "ServerAliveInterval",
  "StrictHostKeyChecking",
  "User",
  "UserKnownHostsFile",
];
const option = (more: readonly string[]) =>
  flag.many(
    `An option of OpenSSH's: ${[...lineOptions, ...more].sort().join(", ")}; the others do nothing here`,
    { short: "o", value: "NAME=VALUE" },
  );

const flagsOf = {
  login: {
    out: flag.text("Write what the login brings to this file, for programs, and log in nobody here", {
      short: "o",
      value: "FILE",
    }),
    format: flag.choice("With --out: file is for tsh -i, openssh a key with FILE-cert.pub", [
      "file",
      "openssh",
    ]),
    overwrite: flag.yes("With --out: replace files that are there already"),
  },
  status: { format },
  ls: { cluster, verbose: flag.yes("Show all labels, however long", { short: "v" }), format },
  clusters: { quiet: flag.yes("Print no header", { short: "q" }), format },
  ssh: {
    cluster,
    port: flag.port("Port of the SSH server on the host", { short: "p" }),
    tty: flag.yes("Have a terminal for a command too", { short: "t" }),
    disableTty: flag.yes("Have no terminal", { short: "T" }),
    forwardAgent: flag.yes("Let the host use your SSH agent", { short: "A" }),
    forward: flag.many(
      "Bring a port or socket of the host's side here: [bind:]port:host:hostport, or paths",
      {
        short: "L",
        value: "SPEC",
      },
    ),
    remoteForward: flag.many("Bring a port or socket of this side to the host; a port alone serves SOCKS", {
      short: "R",
      value: "SPEC",
    }),
    dynamicForward: flag.many("Serve SOCKS here, to reach what the host reaches: [bind:]port", {
      short: "D",
      value: "SPEC",
    }),
    withoutAgent: flag.yes("Do not let the host use your SSH agent", { short: "a", hidden: true }),
    stdioForward: flag.text("Connect standard input and output to this on the host's side, and run nothing", {
      short: "W",
      value: "HOST:PORT",
    }),
    withoutInput: flag.yes("Give the command no input", { short: "n" }),
    background: flag.yes("Go to the background once logged in and all forwards are open", { short: "f" }),
    forwardOnly: flag.yes("Run neither command nor shell, only forward", { short: "N" }),
    local: flag.yes("Run the command here while the forwards stand"),
    jumphost,
    escapeChar: flag.text(
      "Escape character of a terminal session, or none (~); ~? there tells what it does",
      {
        short: "e",
        value: "CHAR",
      },
    ),
    quiet: flag.yes("Show no banners and warnings", { short: "q" }),
    option: option([
      "ClearAllForwardings",
      "DynamicForward",
      "EscapeChar",
      "ExitOnForwardFailure",
      "ForkAfterAuthentication",
      "ForwardAgent",
      "GatewayPorts",
      "LocalForward",
      "RemoteCommand",
      "RemoteForward",
      "RequestTTY",
      "SendEnv",
      "SessionType",
      "SetEnv",
      "StdinNull",
      "StreamLocalBindUnlink",
    ]),
    compress: flag.yes("Accepted, without effect", { short: "C", hidden: true }),
    verbose: flag.yes("Accepted, without effect", { short: "v", hidden: true }),
    withoutX11: flag.yes("Accepted, without effect", { short: "x", hidden: true }),
    parallel: flag.count("Run on so many hosts at a time when labels name several (10)", 1000),
    format,
  },
  scp: {
    cluster,
    recursive: flag.yes("Copy folders with all that is in them", { short: "r" }),
    port: flag.port("Port of the SSH server on the host", { short: "P" }),
    preserve: flag.yes("Keep times and modes", { short: "p" }),
    jumphost,
    quiet: flag.yes("Print no line for each file, no banners and warnings", { short: "q" }),
    option: option([]),
  },
  config: {
    cluster,
    port: flag.port("Port of the SSH servers on the hosts (3022)", { short: "p" }),
    agent: flag.yes("Have OpenSSH use the agent that `tsh agent` starts"),
  },
  agent: {
    socket: flag.text("Where it listens (~/.tsh/agent.sock)", { short: "a", value: "PATH" }),
    foreground: flag.yes("Stay in the foreground", { short: "D" }),
    kill: flag.yes("Stop the one that runs, as `tsh agent stop` does", { short: "k" }),
    sh: flag.yes("Print commands for a Bourne shell", { short: "s" }),
    csh: flag.yes("Print commands for csh; that is the default where $SHELL is one", { short: "c" }),
  },
  play: {
    cluster,
    speed: flag.choice("How fast, times the original", ["0.25", "0.5", "1", "2", "4", "8", "16"]),
  },
};

/** The flags of a command as its `run` gets them. */
export type FlagsOf<C extends keyof typeof flagsOf> = {
  readonly flags: Parsed<(typeof flagsOf)[C]>;
};

export const commands = [
  command({
    name: "login",
    about: "Log in to a cluster, and choose the one that commands act on",
    args: ["[cluster]"],
    flags: flagsOf.login,
    run: async (context) => (await import("./login.ts")).login(context),
  }),
  command({
    name: "logout",
    about: "Delete the keys and certificates of your logins, all or one",
    flags: {},
    run: async (context) => (await import("./logout.ts")).logout(context),
  }),
  command({
    name: "status",
    about: "Show where you are logged in, as whom and until when",
    flags: flagsOf.status,
    run: async (context) => (await import("./status.ts")).status(context),
  }),
  command({
    name: "ls",
    about: "List the hosts that you may see, all or by label",
    args: ["[label=value,...]"],
    flags: flagsOf.ls,
    run: async (context) => (await import("./ls.ts")).ls(context),
  }),
  command({
    name: "clusters",
    about: "List the clusters behind the proxy",
    flags: flagsOf.clusters,
    run: async (context) => (await import("./clusters.ts")).clusters(context),
  }),
  command({
    name: "ssh",
    about: "Run a shell or a command on a host, or a command on all hosts with some labels",
    args: ["<[login@]host|label=value>", "[command...]"],
    passThrough: true,
    flags: flagsOf.ssh,
    run: async (context) => (await import("./ssh.ts")).ssh(context),
  }),
  command({
    name: "scp",
    about: "Copy files to or from a host; a place there is [login@]host:path",
    args: ["<source...>"],
    flags: flagsOf.scp,
    run: async (context) => (await import("./scp.ts")).scp(context),
  }),
  command({
    name: "config",
    about: "Print what ~/.ssh/config needs for plain ssh, scp, sftp, rsync, git and Ansible",
    flags: flagsOf.config,
    run: async (context) => (await import("./config.ts")).config(context),
  }),
  command({
    name: "agent",
    about: 'Run an SSH agent that holds your logins and nothing else: eval "$(tsh agent)"',
    args: ["[stop]"],
    flags: flagsOf.agent,
    run: async (context) => (await import("./agent.ts")).agent(context),
  }),
  command({
    name: "play",
    about: "Show a recorded session as it went",
    args: ["<session>"],
    flags: flagsOf.play,
    run: async (context) => (await import("./play.ts")).play(context),
  }),
];
