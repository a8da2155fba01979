import type { Account } from "./account.ts";

export type Variables = Readonly<Record<string, string>>;

/** What the environment of a session tells about how it came to be (SSH-13). */
export interface Origin {
  readonly client: { readonly host: string; readonly port: number };
  readonly local: { readonly host: string; readonly port: number };
  readonly sid: string;
  readonly user: string;
  readonly hostId: string;
  readonly cluster: string;
  /** Public address of a proxy, when one is known. */
  readonly webProxy?: string;
  /** With a terminal: its type and its device. */
  readonly terminal?: { readonly type: string; readonly device: string };
  readonly agentSocket?: { readonly path: string; readonly pid: number };
}

/**
 * The whole environment of a session: later lists win, except that nobody overrides what the daemon says about the
 * session. `requested` is what the client asked for and was accepted, `own` the login's `~/.tsh/environment`.
 */
export function sessionEnvironment(
  account: Account,
  path: string,
  origin: Origin,
  requested: Variables = {},
  own: Variables = {},
): Record<string, string> {
  const { client, local, terminal, agentSocket } = origin;
  return {
    LANG: "en_US.UTF-8",
    PATH: path,
    ...requested,
    HOME: account.home,
    ...own,
    USER: account.name,
    LOGNAME: account.name,
    SHELL: account.shell,
    SSH_CLIENT: `${client.host} ${client.port} ${local.port}`,
    SSH_CONNECTION: `${client.host} ${client.port} ${local.host} ${local.port}`,
    SSH_SESSION_ID: origin.sid,
    SSH_TELEPORT_USER: origin.user,
    SSH_TELEPORT_HOST_UUID: origin.hostId,
    SSH_TELEPORT_CLUSTER_NAME: origin.cluster,
    ...(origin.webProxy !== undefined && { SSH_SESSION_WEBPROXY_ADDR: origin.webProxy }),
    ...(terminal && { TERM: terminal.type, SSH_TTY: terminal.device }),
    ...(agentSocket && { SSH_AUTH_SOCK: agentSocket.path, SSH_AGENT_PID: String(agentSocket.pid) }),
  };
}

/** Whether a client may set this variable (SSH-13); `accept` is the operator's list (CFG-78). */
export function mayRequest(name: string, accept: readonly string[]): boolean {
  if (!isName(name) || choosesCode(name) || name === "PATH") return false;
  return (
    ["LANG", "COLORTERM", "TELEPORT_SESSION"].includes(name) ||
    name.startsWith("LC_") ||
    accept.some((pattern) => fits(name, pattern))
  );
}

/** Whether a name fits a pattern of sshd's `AcceptEnv`: `*` is any text, `?` any character. */
const fits = (name: string, pattern: string): boolean =>
  new RegExp(
    `^${pattern
      .replace(/[^A-Za-z0-9_*?]/g, "\\$&")
      .replaceAll("*", ".*")
      .replaceAll("?", ".")}$`,
  ).test(name);

/** The lines `KEY=VALUE` of `~/.tsh/environment` (SSH-14); what is not one is skipped, as is all after 1000 lines. */
export function parseUserEnvironment(text: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const raw of text.split("\n", 1000)) {
    const line = raw.trim();
    const at = line.indexOf("=");
    const name = line.slice(0, at).trim();
    if (line.startsWith("#") || at < 1 || !isName(name) || choosesCode(name) || line.includes("\0")) continue;
    found[name] = line.slice(at + 1);
  }
  return found;
}

/**
 * Whether a program that still runs as root may be started with this environment: only names that we set or that
 * programs take for text. Anything else waits until the login's own rights are in force.
 */
export function isHarmless(env: Variables): boolean {
  return Object.entries(env).every(([name, value]) => {
    if (name === "LANG" || name.startsWith("LC_")) return /^[A-Za-z0-9_.@-]{0,64}$/.test(value);
    return name === "COLORTERM" || name === "TELEPORT_SESSION" || ours.has(name);
  });
}

const ours = new Set([
  "PATH",
  "HOME",
  "USER",
  "LOGNAME",
  "SHELL",
  "SSH_CLIENT",
  "SSH_CONNECTION",
  "SSH_SESSION_ID",
  "SSH_TELEPORT_USER",
  "SSH_TELEPORT_HOST_UUID",
  "SSH_TELEPORT_CLUSTER_NAME",
  "SSH_SESSION_WEBPROXY_ADDR",
  "SSH_TTY",
  "SSH_AUTH_SOCK",
  "SSH_AGENT_PID",
]);

/** Of login.defs(5), the PATH for root or for others (SSH-13). */
export function loginPath(loginDefs: string, root: boolean): string {
  const key = root ? "ENV_SUPATH" : "ENV_PATH";
  for (const line of loginDefs.split("\n")) {
    const [name, value] = line.trim().split(/\s+/, 2);
    if (name === key && value) return value.replace(/^PATH=/, "");
  }
  return "/bin:/usr/bin:/usr/local/bin:/sbin";
}

const isName = (name: string): boolean => /^[A-Za-z_][A-Za-z0-9_]*$/.test(name);
/** The dynamic loader and Node take these for orders about which code to run. */
const choosesCode = (name: string): boolean => /^(LD|DYLD|NODE)_|^GLIBC_TUNABLES$/.test(name);
