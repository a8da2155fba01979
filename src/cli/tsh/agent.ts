import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { localAgent } from "#client";
import { systemClock } from "#core/clock";
import { Fault } from "#core/errors";
import type { Io } from "../io.ts";
import { shellWord } from "../shell.ts";
import type { FlagsOf } from "./commands.ts";
import type { TshContext } from "./globals.ts";
import { agentSocket, openHome } from "./home.ts";
import { refuseIdentity } from "./identity.ts";

/** `tsh agent`: an SSH agent for who does not want logins among the other keys. Used as `ssh-agent` is. */
export async function agent(context: TshContext & FlagsOf<"agent">): Promise<number> {
  const { flags, args, io } = context;
  const [word] = args;
  refuseIdentity(context);
  if (word !== undefined && word !== "stop")
    throw new Fault("bad_parameter", `tsh agent knows the word stop, not ${JSON.stringify(word)}`);
  if (flags.sh && flags.csh) throw new Fault("bad_parameter", "choose one of --sh and --csh");
  const path = flags.socket === undefined ? agentSocket(io) : resolve(flags.socket);
  if (/\p{Cc}/u.test(path) || Buffer.byteLength(path) > longestPath) {
    throw new Fault(
      "bad_parameter",
      `${JSON.stringify(path)} cannot be a socket: at most ${longestPath} bytes, and no control characters; name another with --socket`,
    );
  }
  const shell = (flags.csh ?? (!flags.sh && /csh$/.test(io.env.SHELL ?? ""))) ? csh : sh;
  if (flags.kill || word === "stop") return stop(io, path, shell);
  if (flags.foreground) return serve(context, path, shell);
  const pid = (await (await localAgent()).agentAnswers(path)) ? await pidOf(io, path) : await start(io, path);
  for (const line of shell.started(path, pid)) io.out(line);
  return 0;
}

/** As Linux has it: 108 bytes with a zero behind. */
const longestPath = 107;
const pidFile = (path: string): string => `${path}.pid`;

async function serve({ io, signal }: TshContext, path: string, shell: Shell): Promise<number> {
  const { LoginKeys, serveAgentAt } = await localAgent();
  if (path === agentSocket(io)) await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  // The socket must not be anybody's for the moment before its mode is set.
  const umask = process.umask(0o077);
  const keys = new LoginKeys(openHome(io), systemClock);
  const ready = async (): Promise<void> => {
    await rm(pidFile(path), { force: true });
    await writeFile(pidFile(path), `${process.pid}\n`, { flag: "wx" });
    process.umask(umask);
    // At once: who started it in the background listens no longer than for the first words.
    io.out(shell.started(path, process.pid).join("\n"));
  };
  try {
    await serveAgentAt(path, { keys, clock: systemClock }, ready, signal);
  } finally {
    process.umask(umask);
    if ((await pidOf(io, path).catch(() => 0)) === process.pid) await rm(pidFile(path), { force: true });
  }
  return 0;
}

/** Starts one in the background and waits until it serves; its process id. */
async function start(io: Io, path: string): Promise<number> {
  const child = spawn(
    process.execPath,
    [...process.execArgv, process.argv[1] ?? "", "agent", "--foreground", "--sh", "--socket", path],
    {
      // Neither a folder that it would keep busy nor an output that its starter's reader would wait for.
      cwd: "/",
      detached: true,
      env: { ...io.env, HOME: resolve(io.machine.home) },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  const said = await firstWords(child);
  child.unref();
  if (!said.started) throw new Fault("unreachable", `the agent did not start: ${said.text}`);
  return child.pid as number;
}

function firstWords(child: ChildProcess): Promise<{ started: boolean; text: string }> {
  const { stdout, stderr } = child;
  return new Promise((settle, reject) => {
    let complaint = "";
    stderr?.on("data", (chunk: Buffer) => {
      complaint += chunk.toString();
    });
    stdout?.once("data", () => {
      stdout.destroy();
      stderr?.destroy();
      settle({ started: true, text: "" });
    });
    child.once("close", () => settle({ started: false, text: complaint.trim().replace(/^error: /, "") }));
    child.once("error", reject);
  });
}

async function stop(io: Io, path: string, shell: Shell): Promise<number> {
  const { agentAnswers } = await localAgent();
  if (!(await agentAnswers(path))) throw new Fault("not_found", `no agent listens on ${path}`);
  const pid = await pidOf(io, path);
  process.kill(pid, "SIGTERM");
  for (const line of shell.stopped(pid)) io.out(line);
  return 0;
}

/** Whom the file beside the socket names, if its owner is ours: somebody else's could name any process. */
async function pidOf({ machine }: Io, path: string): Promise<number> {
  const file = pidFile(path);
  const [text, owner] = await Promise.all([
    readFile(file, "utf8").catch(() => ""),
    stat(file).then(
      ({ uid }) => uid,
      () => -1,
    ),
  ]);
  const pid = Number(/^(\d+)\n$/.exec(text)?.[1] ?? 0);
  if (pid > 1 && owner === machine.uid) return pid;
  throw new Fault("not_found", `what listens on ${path} is no agent that tsh started for you`);
}

/** The commands that put an agent into a shell's environment, and out of it. */
interface Shell {
  started(path: string, pid: number): readonly string[];
  stopped(pid: number): readonly string[];
}

const sh: Shell = {
  started: (path, pid) => [
    `SSH_AUTH_SOCK=${shellWord(path)}; export SSH_AUTH_SOCK;`,
    `SSH_AGENT_PID=${pid}; export SSH_AGENT_PID;`,
    `echo Agent pid ${pid};`,
  ],
  stopped: (pid) => ["unset SSH_AUTH_SOCK;", "unset SSH_AGENT_PID;", `echo Agent pid ${pid} killed;`],
};

const csh: Shell = {
  started: (path, pid) => [
    // csh reads an exclamation mark in single quotes too.
    `setenv SSH_AUTH_SOCK ${shellWord(path).replaceAll("!", "\\!")};`,
    `setenv SSH_AGENT_PID ${pid};`,
    `echo Agent pid ${pid};`,
  ],
  stopped: (pid) => ["unsetenv SSH_AUTH_SOCK;", "unsetenv SSH_AGENT_PID;", `echo Agent pid ${pid} killed;`],
};
