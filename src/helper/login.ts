/**
 * Waits, already started, for one session; then becomes the login and its shell (SSH-10, SSH-15). The daemon writes one
 * `LoginOrder` as a line of JSON to descriptor 3. Descriptor 3 closing without an error line on it means that the shell
 * runs. Everything here is synchronous: the process has one thing to do, and must not have read a byte of the user's.
 */
import { spawnSync } from "node:child_process";
import {
  accessSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  openSync,
  readSync,
  writeSync,
} from "node:fs";
import { become } from "./become.ts";
import { closeInherited } from "./inherited.ts";
import type { LoginOrder } from "./logins.ts";

closeInherited(3);
// Handlers go when the shell is executed; a signal that Node merely ignores would stay ignored.
for (const signal of ["SIGPIPE", "SIGXFSZ"] as const) process.on(signal, () => {});
// Node lifts the soft limit to the hard one, which programs that loop over all descriptors pay for.
spawnSync("prlimit", ["--pid", String(process.pid), "--nofile=1024:"], { stdio: "ignore" });

try {
  await obey(JSON.parse(readLine()) as LoginOrder);
} catch (err) {
  writeSync(3, `${JSON.stringify({ error: err instanceof Error ? err.message : String(err) })}\n`);
  process.exit(255);
}

async function obey(order: LoginOrder): Promise<void> {
  const { account, stdio } = order;
  // As root still: the terminal is root's, and so is the folder of the pipes.
  for (const fd of [0, 1, 2]) closeSync(fd);
  if ("tty" in stdio) {
    // The first becomes the controlling terminal, since we lead a session that has none.
    for (const _ of [0, 1, 2]) openSync(stdio.tty, "r+");
    if (order.become) {
      fchownSync(0, account.uid, stdio.ttyGroup ?? account.gid);
      fchmodSync(0, stdio.ttyGroup === null ? 0o600 : 0o620);
    }
  } else {
    openSync(stdio.stdin, "r");
    for (const path of [stdio.stdout, stdio.stderr]) openSync(path, "w");
    if (order.become) for (const fd of [0, 1, 2]) fchownSync(fd, account.uid, account.gid);
  }
  // Loaded as root too: the login may not be able to read this program.
  const serve = await served(order);

  if (order.become) become(account);
  process.umask(0o022);
  try {
    process.chdir(account.home);
  } catch {
    process.chdir("/");
    writeSync(2, `Could not change to the home directory ${JSON.stringify(account.home)}, using /\n`);
  }
  if ("tty" in stdio && stdio.modes.length > 0) {
    spawnSync("stty", [...stdio.modes], { stdio: [0, "ignore", "ignore"] });
  }
  if (serve !== undefined) {
    writeSync(3, "{}\n");
    process.exit(await serve((report) => writeSync(3, `${JSON.stringify(report)}\n`)));
  }
  // Node aborts when the execution itself fails.
  accessSync(order.file, constants.X_OK);
  process.execve?.(order.file, [...order.args], { ...order.env });
}

type Report = (report: object) => void;

/** What this process does itself as the login; undefined when it is to execute a program. */
async function served({
  run,
  args,
  account,
}: LoginOrder): Promise<((report: Report) => Promise<number>) | undefined> {
  if (run === "program") return undefined;
  if (run === "scp") {
    const { serveScp } = await import("./scp.ts");
    return (report) => serveScp(args, report);
  }
  const { serveFiles } = await import("./sftp/serve.ts");
  return (report) => serveFiles(account.home, report);
}

/** Blocks until the daemon wrote a line; ends this process when the daemon is gone. */
function readLine(): string {
  const chunks: Uint8Array[] = [];
  const buffer = new Uint8Array(64 * 1024);
  while (true) {
    const count = readSync(3, buffer);
    if (count === 0) process.exit(0);
    chunks.push(buffer.slice(0, count));
    if (buffer[count - 1] === 0x0a) return new TextDecoder().decode(Buffer.concat(chunks));
  }
}
