import { accessSync, constants } from "node:fs";
import { basename, join } from "node:path";
import type { Clock, Millis } from "#core/clock";
import { second } from "#core/clock";
import { Fault } from "#core/errors";
import { type Account, trustedEnv } from "./account.ts";
import { isHarmless, parseUserEnvironment, type Variables } from "./environment.ts";
import type { LoggedIn, LoginOrder, Logins } from "./logins.ts";
import type { Output } from "./output.ts";
import type { Pipes, Stdio } from "./pipes.ts";
import type { Running, Spawner } from "./spawn.ts";

/** A terminal that the daemon opened for a session. */
export interface TerminalDevice {
  /** E.g. `/dev/pts/3`. */
  readonly path: string;
  /** Arguments of stty(1), see `sttyArguments`. */
  readonly modes: readonly string[];
  /** Group `tty` of this machine, if there is one. */
  readonly group: number | undefined;
}

/** Starts what runs as a login: with its user id, exactly its groups, no more of what the daemon has. */
export class Programs {
  readonly #spawner: Spawner;
  readonly #logins: Logins;
  readonly #pipes: Pipes;
  readonly #clock: Clock;
  readonly #uid: number;
  readonly #setpriv: string | undefined;

  /** `uid` is the daemon's own. */
  constructor(parts: { spawner: Spawner; logins: Logins; pipes: Pipes; clock: Clock; uid: number }) {
    this.#spawner = parts.spawner;
    this.#logins = parts.logins;
    this.#pipes = parts.pipes;
    this.#clock = parts.clock;
    this.#uid = parts.uid;
    this.#setpriv = findProgram("setpriv");
  }

  /** Throws `access_denied` when this daemon cannot become that login. */
  check(account: Account): void {
    if (this.#uid === 0 || this.#uid === account.uid) return;
    throw new Fault(
      "access_denied",
      `this node does not run as root, so it cannot start sessions of ${account.name}: only of the OS user it runs as`,
      { details: { login: account.name } },
    );
  }

  /** Runs `command` by the login's shell, over pipes (SSH-10); without one, the shell, which reads commands from there. */
  async exec(account: Account, command: string | undefined, env: Variables): Promise<Running> {
    this.check(account);
    const { shell } = account;
    if (command === undefined) return this.#program(account, shell, [`-${basename(shell)}`], env);
    const { file, args } = inHome(account, command);
    if (this.#uid === 0 && (this.#setpriv === undefined || !isHarmless(env))) {
      return this.#program(account, file, [basename(file), ...args], env);
    }
    return this.#plain(account, file, args, env);
  }

  /** Serves scp as the login (SSH-20), `args` without the program's name. */
  async scp(account: Account, args: readonly string[]): Promise<Serving> {
    this.check(account);
    return this.#overPipes(account, await this.#pipes.takeForBulk(), { run: "scp", file: "", args, env: {} });
  }

  /** Serves SFTP as the login; `reports` are `SftpReport`s. It ends with its input, not by HUP. */
  async sftp(account: Account): Promise<Serving> {
    this.check(account);
    return this.#overPipes(account, await this.#pipes.takeForBulk(), {
      run: "sftp",
      file: "",
      args: [],
      env: {},
    });
  }

  /** The login's shell on a terminal: interactive without `command`, else running that (SSH-12). */
  async onTerminal(
    account: Account,
    terminal: TerminalDevice,
    env: Variables,
    command?: string,
  ): Promise<LoggedIn> {
    this.check(account);
    const name = basename(account.shell);
    return this.#logins.start({
      account,
      become: this.#uid === 0,
      stdio: { tty: terminal.path, modes: terminal.modes, ttyGroup: terminal.group ?? null },
      run: "program",
      file: account.shell,
      args: command === undefined ? [`-${name}`] : [name, "-c", command],
      env,
    });
  }

  /**
   * Sends a signal (a name of RFC 4254, checked by the caller) to a process group with the login's rights, not ours: it
   * may hold programs of other users.
   */
  async signal(account: Account, group: number, name: string): Promise<void> {
    const running = await this.#plain(account, "/bin/sh", ["-c", `kill -s ${name} -- -${group}`], trustedEnv);
    running.stdin.end();
    running.stdout.resume();
    running.stderr.resume();
    await running.exit;
  }

  /** What a break on this terminal is for whoever reads from it (termios(3), IGNBRK and BRKINT): Linux makes nothing of it. */
  async breakMeans(account: Account, tty: string): Promise<"nothing" | "interrupt" | "null"> {
    const running = await this.#plain(
      account,
      "/bin/sh",
      ["-c", 'exec stty -a <"$1"', "sh", tty],
      trustedEnv,
    );
    running.stdin.end();
    running.stderr.resume();
    let said = "";
    for await (const chunk of running.stdout) said += String(chunk);
    await running.exit;
    const modes = new Set(said.split(/\s+/));
    if (modes.has("ignbrk")) return "nothing";
    return modes.has("brkint") ? "interrupt" : "null";
  }

  /** The login's `~/.tsh/environment`, read with its own rights, so that no link of its makes us read more (SSH-14). */
  async userEnvironment(account: Account): Promise<Record<string, string>> {
    const path = join(account.home, ".tsh/environment");
    const running = await this.#plain(
      account,
      "/usr/bin/head",
      ["-c", String(256 * 1024), "--", path],
      trustedEnv,
    );
    running.stdin.end();
    running.stderr.resume();
    const done = new AbortController();
    // It may be a pipe that nobody writes to.
    const limit: Millis = 5 * second;
    const killed = this.#clock.sleep(limit, done.signal).then(
      () => running.kill("SIGKILL"),
      () => {},
    );
    const chunks: Uint8Array[] = [];
    for await (const chunk of running.stdout) chunks.push(chunk as Uint8Array);
    done.abort();
    await Promise.all([killed, running.exit]);
    return parseUserEnvironment(new TextDecoder().decode(Buffer.concat(chunks)));
  }

  async #plain(account: Account, file: string, args: readonly string[], env: Variables): Promise<Running> {
    if (this.#uid !== 0) return this.#spawner.start(file, args, env, undefined);
    if (this.#setpriv === undefined)
      throw new Fault("internal", "setpriv (util-linux) is not installed here");
    const { uid, gid, groups } = account;
    const drop = ["--reuid", String(uid), "--regid", String(gid), "--groups", groups.join(","), "--"];
    return this.#spawner.start(this.#setpriv, [...drop, file, ...args], env, account);
  }

  async #program(account: Account, file: string, args: readonly string[], env: Variables): Promise<Running> {
    return this.#overPipes(account, await this.#pipes.take(), { run: "program", file, args, env });
  }

  async #overPipes<Out extends Output>(
    account: Account,
    { paths, opened, stdin, stdout, stderr }: Stdio<Out>,
    what: Pick<LoginOrder, "run" | "file" | "args" | "env">,
  ): Promise<Running<Out> & Pick<LoggedIn, "reports">> {
    try {
      const order = { account, become: this.#uid === 0, stdio: paths, ...what };
      const { pid, exit, kill, reports } = await this.#logins.start(order);
      return { pid, exit, kill, reports, stdin, stdout, stderr };
    } catch (err) {
      for (const stream of [stdin, stdout, stderr]) stream.destroy();
      throw err;
    } finally {
      opened();
    }
  }
}

/** A server of ours that runs as a login; a chunk of its output is good until the next is asked for. */
type Serving = Running<Output> & Pick<LoggedIn, "reports">;

/**
 * The login's shell with the command, in the home. It goes there with the login's rights, since the home may be closed
 * to root (NFS), and takes the usual limit of descriptors: Node raises it to the most there is.
 */
function inHome({ home, shell }: Account, command: string): { file: string; args: string[] } {
  const script = [
    `cd -- "$1" 2>/dev/null || { echo "Could not change to the home directory $1, using /" >&2; cd /; }`,
    "unset OLDPWD",
    "ulimit -S -n 1024 2>/dev/null",
    "umask 022",
    `exec "$2" -c "$3"`,
  ].join("\n");
  return { file: "/bin/sh", args: ["-c", script, "sh", home, shell, command] };
}

function findProgram(name: string): string | undefined {
  return ["/usr/bin", "/bin", "/usr/sbin", "/sbin"]
    .map((dir) => join(dir, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}
