import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const sshdPath = "/usr/sbin/sshd";

/** Why OpenSSH cannot be used here, for `skip`; false when it can. */
export const withoutOpenSsh: string | false =
  existsSync(sshdPath) && existsSync("/usr/bin/ssh") ? false : "OpenSSH is not installed";

/** A folder of a test's own, gone with it. */
export async function scratch(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), "openssh-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** Writes a new key pair of OpenSSH's making: `file` and `file.pub`. */
export function sshKeygen(file: string, ...args: string[]): void {
  execFileSync("ssh-keygen", ["-q", "-N", "", "-C", "", "-f", file, ...args]);
}

/**
 * A stock sshd on 127.0.0.1 with one host key of each type (`host_ed25519`, …), or of those that `hostKeys` names, whose log is
 * kept. A function as `config` may use the keys in the folder it is given.
 */
export async function startSshd(
  options: {
    config?: string | ((folder: string) => Promise<string>);
    hostKeys?: readonly ("ed25519" | "ecdsa" | "rsa")[];
  } = {},
): Promise<AsyncDisposable & { readonly port: number; readonly log: () => string; readonly folder: string }> {
  const folder = await scratch();
  await mkdir("/run/sshd", { recursive: true, mode: 0o755 });
  const keys = (options.hostKeys ?? ["ed25519", "ecdsa", "rsa"]).map((type) =>
    join(folder.path, `host_${type}`),
  );
  for (const key of keys) sshKeygen(key, "-t", key.split("_").at(-1) as string);
  const port = await freePort();
  const config = join(folder.path, "sshd_config");
  await writeFile(
    config,
    [
      // Of two values sshd takes the first.
      typeof options.config === "function" ? await options.config(folder.path) : (options.config ?? ""),
      `Port ${port}`,
      "ListenAddress 127.0.0.1",
      ...keys.map((key) => `HostKey ${key}`),
      `PidFile ${join(folder.path, "pid")}`,
      "StrictModes no",
      "UsePAM no",
      "LogLevel DEBUG1",
    ].join("\n"),
  );
  const sshd = spawn(sshdPath, ["-D", "-e", "-f", config], { stdio: ["ignore", "ignore", "pipe"] });
  let log = "";
  await new Promise<void>((resolve, reject) => {
    sshd.stderr.on("data", (chunk: Buffer) => {
      log += chunk.toString();
      if (log.includes("Server listening")) resolve();
    });
    sshd.once("exit", (code) => reject(new Error(`sshd ended with ${code}: ${log}`)));
  });
  return {
    port,
    folder: folder.path,
    log: () => log,
    async [Symbol.asyncDispose]() {
      await ended(sshd);
      await folder[Symbol.asyncDispose]();
    },
  };
}

/** Runs stock `ssh` with no configuration but `args`; what it said, with `-vv` debugging. */
export async function runSsh(args: string[], signal: AbortSignal): Promise<string> {
  const ssh = spawn("ssh", ["-F", "none", "-vv", "-o", "BatchMode=yes", ...args], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const stop = (): void => void ssh.kill("SIGKILL");
  signal.addEventListener("abort", stop, { once: true });
  let said = "";
  for await (const chunk of ssh.stderr) said += String(chunk);
  signal.removeEventListener("abort", stop);
  return said;
}

/** A TCP server of 127.0.0.1, on a free port unless one is given, that hands out its connections. */
export async function listen(
  onSocket: (socket: Socket) => void,
  { port: wanted = 0, ...options }: { allowHalfOpen?: boolean; port?: number } = {},
): Promise<AsyncDisposable & { readonly port: number }> {
  const server = createServer(options, onSocket);
  await listening(server, wanted);
  const { port } = server.address() as { port: number };
  return { port, [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())) };
}

export const dial = (port: number): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => resolve(socket));
    socket.once("error", reject);
  });

async function freePort(): Promise<number> {
  await using probe = await listen(() => {});
  return probe.port;
}

const listening = (server: Server, port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => resolve());
  });

const ended = (child: ChildProcess): Promise<void> =>
  new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve();
    child.removeAllListeners("exit");
    child.once("exit", () => resolve());
    child.kill("SIGTERM");
  });
