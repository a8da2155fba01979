import { promises as fs } from "node:fs";
import { loginPath, mayRequest, sessionEnvironment, type Variables } from "#helper";
import { type Exit, tell } from "#session";
import type { Channel } from "#ssh";
import { readSessionRequest, type SessionRequest, sendExit } from "#ssh/session";
import { type AgentSocket, serveAgent } from "./agent.ts";
import { runExec } from "./exec.ts";
import type { SessionKind } from "./meter.ts";
import { openPty, type Size } from "./pty.ts";
import { isScp, runScp } from "./scp.ts";
import { runSftp } from "./sftp.ts";
import { runShell, type TerminalRequest } from "./shell.ts";
import type { Host, Visit } from "./visit.ts";

/** What a client may set before it starts something. */
const maxVariables = 256;
const maxVariableLength = 64 * 1024;

/** What runs on the channel, once it does. */
export interface Started {
  /** Resolves when it is over and told. */
  readonly over: Promise<Exit>;
  resize?(size: Size): void;
  signal?(name: string): Promise<void>;
  /** A break on the line, where there is one. */
  break?(): Promise<void>;
}

/** Everything that a start needs to know of the channel. */
export interface Setting {
  readonly host: Host;
  readonly visit: Visit;
  readonly channel: Channel;
  readonly sid: string;
  readonly env: Variables;
  readonly terminal: TerminalRequest | undefined;
}

/** Serves a `session` channel (SSH-06): sets it up, starts one thing, reports how it ended. */
export function serveSession(channel: Channel, visit: Visit, host: Host): void {
  const requested: Record<string, string> = {};
  const sid = host.random.uuid();
  let terminal: TerminalRequest | undefined;
  let wantsAgent = false;
  let started: Started | "starting" | undefined;

  channel.onRequest((name, payload) => {
    const request = readSessionRequest(name, payload);
    if (request === undefined) return false;
    switch (request.name) {
      case "env":
        return started === undefined && setVariable(request.body);
      case "pty-req":
        return started === undefined && terminal === undefined && openTerminal(request.body);
      case "auth-agent-req@openssh.com":
        return started === undefined && forwardAgent();
      case "window-change":
        if (terminal) terminal = { ...terminal, size: sizeOf(request.body) };
        if (typeof started === "object") started.resize?.(sizeOf(request.body));
        else if (terminal) terminal.pty.resize(terminal.size);
        return terminal !== undefined;
      case "signal":
        return signal(request.body.signal);
      case "break":
        return sendBreak();
      case "shell":
        return start();
      case "exec":
        return start(request.body.command);
      case "subsystem":
        return request.body.name === "sftp" ? start(runSftp) : refuseSubsystem(request.body.name);
      case "eow@openssh.com":
        return true;
      case "exit-status":
      case "exit-signal":
        return false;
    }
  });
  void channel.closed.then(() => {
    if (started === undefined) terminal?.pty.close();
  });

  function setVariable({ name, value }: { name: string; value: string }): boolean {
    if (!mayRequest(name, host.acceptEnv) || value.includes("\0") || value.length > maxVariableLength)
      return false;
    if (Object.keys(requested).length >= maxVariables) return false;
    requested[name] = value;
    return true;
  }

  function openTerminal(body: Body<"pty-req">): boolean {
    const size = sizeOf(body);
    terminal = { pty: openPty(size), size, type: termOf(body.term), modes: body.modes };
    return true;
  }

  /** Refusing does not fail the session (SSH-25). */
  function forwardAgent(): boolean {
    const { allowed, reason } = visit.person.access.agent(visit.account.name);
    wantsAgent = allowed;
    if (allowed) tell({ code: "T4120I", ...visit.who, success: true }, host.telling);
    else {
      const error = `agent forwarding not allowed: ${reason}`;
      host.log.debug("an agent is not forwarded", { user: visit.person.user, error });
      tell({ code: "T4120W", ...visit.who, success: false, error }, host.telling);
    }
    return allowed;
  }

  async function signal(name: string): Promise<boolean> {
    if (typeof started !== "object" || !signals.has(name)) return false;
    await started.signal?.(name);
    return started.signal !== undefined;
  }

  /** Only a terminal has a line (RFC 4335 §3). */
  async function sendBreak(): Promise<boolean> {
    if (typeof started !== "object" || started.break === undefined) return false;
    await started.break();
    return true;
  }

  function refuseSubsystem(name: string): boolean {
    tell({ code: "T3001E", ...visit.who, name, exitError: "there is no such subsystem" }, host.telling);
    return false;
  }

  /** Clients show what a command says, and swallow why a request was refused: so a failed start says yes, and why not. */
  async function explain(err: Error): Promise<Exit> {
    await channel.writeStderr(Buffer.from(`${err.message}\r\n`));
    return { code: 255 };
  }

  /** A command, a subsystem by what serves it, or the shell. */
  async function start(what?: string | ((setting: Setting) => Promise<Started>)): Promise<boolean> {
    if (started !== undefined) return false;
    started = "starting";
    const disposables = new DisposableStack();
    try {
      if (requested.TELEPORT_SESSION !== undefined && what === undefined) {
        throw new Error("joining a session is not possible on this node yet");
      }
      const agent = wantsAgent ? await agentSocket() : undefined;
      if (agent) disposables.use(agent);
      const env = await environment(agent);
      const setting: Setting = { host, visit, channel, sid, env, terminal };
      const kind = kindOf(what);
      const ended = host.sessions?.began(kind);
      if (ended) disposables.defer(ended);
      if (typeof what === "function") {
        terminal?.pty.close();
        started = await what(setting);
      } else if (what !== undefined && kind === "scp") started = await runScp(what, setting);
      else if (terminal) started = await runShell(what, { ...setting, terminal });
      else started = await runExec(what, setting);
    } catch (err) {
      terminal?.pty.close();
      host.log.warn("a session could not be started", { ...visit.who, error: (err as Error).message });
      started = { over: explain(err as Error) };
    }
    watch(started, disposables);
    return true;
  }

  function kindOf(what: string | ((setting: Setting) => Promise<Started>) | undefined): SessionKind {
    if (typeof what === "function") return "sftp";
    if (terminal) return "terminal";
    return what !== undefined && isScp(what) ? "scp" : "exec";
  }

  function watch({ over }: Started, disposables: DisposableStack): void {
    const done = over
      .then((exit) => finish(channel, exit))
      .catch((err: unknown) => host.log.debug("a session broke off", { sid, error: (err as Error).message }))
      .finally(() => {
        disposables.dispose();
        visit.running.delete(done);
        void channel.close();
      });
    visit.running.add(done);
  }

  async function agentSocket(): Promise<AgentSocket | undefined> {
    try {
      return await serveAgent(
        visit.connection,
        process.getuid?.() === 0 ? visit.account : undefined,
        host.log,
      );
    } catch (err) {
      host.log.warn("the agent's socket could not be made", { error: (err as Error).message });
      return undefined;
    }
  }

  async function environment(agent: AgentSocket | undefined): Promise<Variables> {
    const { account, client, local, person } = visit;
    const [defs, own] = await Promise.all([
      fs.readFile("/etc/login.defs", "utf8").catch(() => ""),
      host.permitUserEnv ? host.programs.userEnvironment(account) : {},
    ]);
    const webProxy = host.view.proxies().find((proxy) => proxy.spec.public_addr)?.spec.public_addr;
    return sessionEnvironment(
      account,
      loginPath(defs, account.uid === 0),
      {
        client,
        local,
        sid,
        user: person.user,
        hostId: host.hostId,
        cluster: host.view.config().cluster_name,
        ...(webProxy !== undefined && { webProxy }),
        ...(terminal && { terminal: { type: terminal.type, device: terminal.pty.path } }),
        ...(agent && { agentSocket: agent }),
      },
      requested,
      own,
    );
  }
}

/** RFC 4254 §6.10, then nothing more. */
async function finish(channel: Channel, exit: Exit): Promise<void> {
  await channel.end();
  if ("code" in exit) return sendExit(channel, exit);
  // A name that the RFC does not have must be somebody's: OpenSSH's, which knows what to make of it.
  const signal = endings.has(exit.signal) ? exit.signal : `${exit.signal}@openssh.com`;
  // Whether it left a core file Node does not say.
  await sendExit(channel, { signal, core: false, message: "" });
}

type Body<N extends SessionRequest["name"]> = Extract<SessionRequest, { name: N }>["body"];

/** 0 is "you choose"; the kernel keeps 16 bits. */
function sizeOf({ columns, rows }: { columns: number; rows: number }): Size {
  return { columns: Math.min(columns || 80, 65_535), rows: Math.min(rows || 25, 65_535) };
}

const termOf = (term: string): string => (/^[\x21-\x7e]{1,128}$/.test(term) ? term : "xterm");

/** RFC 4254 §6.10, less those that only debuggers send. */
const signals = new Set(["ABRT", "ALRM", "HUP", "INT", "KILL", "PIPE", "QUIT", "TERM", "USR1", "USR2"]);
const endings = new Set([...signals, "FPE", "ILL", "SEGV"]);
