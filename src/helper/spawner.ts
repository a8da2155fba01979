/**
 * A process that the daemon starts early and that starts commands for it. It holds no terminals, keys or connections
 * that a command could inherit, it is small, so that forking is quick, and it ends what it started when the daemon dies.
 * Speaks lines of JSON on descriptor 3, see `spawn.ts`.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, constants, fchownSync, openSync } from "node:fs";
import { Socket } from "node:net";
import { second, systemClock } from "#core/clock";
import { closeInherited } from "./inherited.ts";
import { lines } from "./lines.ts";
import type { SpawnerAnswer, SpawnerRequest } from "./spawn.ts";

type Start = Extract<SpawnerRequest, { start: unknown }>["start"];

closeInherited(3);
process.umask(0o022);
const daemon = new Socket({ fd: 3, readable: true, writable: true });
const running = new Map<number, ChildProcess>();

for await (const line of lines(daemon)) {
  const request = JSON.parse(line) as SpawnerRequest;
  if ("signal" in request) signalGroup(running.get(request.id), request.signal);
  else start(request.id, request.start);
}
for (const child of running.values()) signalGroup(child, "SIGHUP");
const patience = systemClock.sleep(2 * second, undefined, { background: true });
await Promise.race([patience, Promise.all([...running.values()].map((child) => once(child, "exit")))]);
for (const child of running.values()) signalGroup(child, "SIGKILL");
process.exit(0);

function start(id: number, what: Start): void {
  const open: number[] = [];
  try {
    for (const [path, flags] of [
      [what.stdin, constants.O_RDONLY],
      [what.stdout, constants.O_WRONLY],
      [what.stderr, constants.O_WRONLY],
    ] as const) {
      const fd = openSync(path, flags);
      open.push(fd);
      // So that the login may open /dev/stdin and the like.
      if (what.owner !== null) fchownSync(fd, what.owner.uid, what.owner.gid);
    }
    const child = spawn(what.file, what.args, { stdio: open, env: what.env, cwd: "/", detached: true });
    child.once("error", (err) => answer({ id, error: err.message }));
    if (child.pid === undefined) return;
    running.set(id, child);
    child.once("exit", (code, signal) => {
      running.delete(id);
      answer({ id, code, signal });
    });
    answer({ id, pid: child.pid });
  } catch (err) {
    answer({ id, error: err instanceof Error ? err.message : String(err) });
  } finally {
    for (const fd of open) closeSync(fd);
  }
}

/** The whole session that the command leads: it was started with setsid. */
function signalGroup(child: ChildProcess | undefined, signal: NodeJS.Signals): void {
  if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // Gone in the meantime.
  }
}

function answer(message: SpawnerAnswer): void {
  daemon.write(`${JSON.stringify(message)}\n`);
}
