import assert from "node:assert/strict";
import { mkdir, readdir, readFile, readlink, rename, stat, symlink, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { suite, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { eventually } from "../support/eventually.ts";
import { descendants, isAlive } from "../support/processes.ts";
import { tempDir } from "../support/temp-dir.ts";
import { Terminal } from "../support/terminal.ts";
import { type Cluster, type ClusterOptions, startCluster } from "./cluster.ts";
import { programs, quiet, startHost as startFarHost } from "./daemon.ts";

const root = join(import.meta.dirname, "../..");

suite("a daemon that is told by signals", { concurrency: 2 }, () => {
  test("ACC-75: HUP: a new process serves, the old one goes on with its sessions and ends after the last", async () => {
    await using host = await startHost();
    const { cluster, first } = host;
    await using session = await open(cluster);
    await using stream = steadily(cluster);

    process.kill(first, "SIGHUP");
    const second = await host.nextAfter(first);
    assert.equal(await answerOf(session, "still here"), "still here");
    await using other = await open(cluster);
    assert.ok(descendants(second).includes(other.shell), "the new session is not the new process's");
    assert.ok(descendants(first).includes(session.shell), "the session was not the old process's");
    assert.ok(isAlive(first));
    assert.match(await cluster.mustTctl("nodes", "ls"), /^testnode /m);
    // S54: what one process hands to the next is not for the people on it.
    assert.doesNotMatch(
      await cluster.mustTsh(["ssh", "testnode", "env"]),
      /TELEPORT_(INHERITED|COMMAND)|NODE_CHANNEL/,
    );
    for (const shell of [other.shell, session.shell])
      assert.doesNotMatch((await openFiles(shell)).join(" "), /socket:/);

    await end(session);
    await eventually("an end of the old process", () => !isAlive(first));
    assert.equal(await answerOf(other, "and here"), "and here");
    // What the old one had on disk for its commands is not the new one's.
    assert.equal(await cluster.mustTsh(["ssh", "testnode", "echo a command"]), "a command\n");
    assert.match(await cluster.mustTctl("nodes", "ls"), /^testnode /m);

    // And once more, by the process that came so.
    process.kill(second, "SIGHUP");
    const third = await host.nextAfter(second);
    assert.equal(await answerOf(other, "again"), "again");
    await end(other);
    await eventually("an end of the second process", () => !isAlive(second));
    assert.equal((await cluster.daemon.diag("/readyz")).status, 200);
    assert.deepEqual(await stream.failures(), []);
    assert.equal(Number(await readFile(host.pidFile, "utf8")), third);

    // Nothing of a session is lost, or told twice, between the processes.
    for (const shell of [session.shell, other.shell]) {
      const sid = await eventually("the recording", () => recordingOf(cluster, `shell ${shell}`));
      const told = (await cluster.events()).filter((event) => event.sid === sid);
      const count = (name: string): number => told.filter(({ event }) => event === name).length;
      assert.deepEqual([count("session.start"), count("session.end")], [1, 1], JSON.stringify(told));
    }
  });

  test("HUP: when the new process cannot start the old one goes on, and says why", async () => {
    await using host = await startHost();
    const { cluster, first } = host;
    const good = await readFile(cluster.config, "utf8");
    await writeFile(cluster.config, `${good}\nnonsense: yes\n`);
    process.kill(first, "SIGHUP");
    await cluster.daemon.program.line(/WARN .*the new process did not start, this one goes on/);
    assert.equal((await cluster.web("/webapi/ping")).status, 200);
    await cluster.mustTsh(["ssh", "testnode", "true"]);
    assert.equal(Number(await readFile(host.pidFile, "utf8")), first);
    await writeFile(cluster.config, good);
    process.kill(first, "SIGHUP");
    await host.nextAfter(first);
    await eventually("an end of the old process", () => !isAlive(first));
    await cluster.mustTsh(["ssh", "testnode", "true"]);
  });

  test("HUP: a newer version that was put in its place by then takes over, and hosts elsewhere go on with it", async () => {
    await using folder = await tempDir();
    // The program at its usual path is a link into the version's folder.
    const put = async (version: string, head: string): Promise<void> => {
      await mkdir(folder.at(version, "bin"), { recursive: true });
      for (const part of ["src", "node_modules", "package.json", "web"])
        await symlink(join(root, part), folder.at(version, part));
      const launcher = await readFile(programs.teleport, "utf8");
      const path = folder.at(version, "bin", "teleport");
      await writeFile(path, launcher.replace("#!/bin/sh\n", `#!/bin/sh\n${head}\n`), { mode: 0o755 });
      await symlink(path, folder.at("new"));
      await rename(folder.at("new"), folder.at("teleport"));
    };
    await put("one", "export THIS_IS=one");
    await using host = await startHost({ command: [folder.at("teleport")] });
    const { cluster, first } = host;
    const invitation = await cluster.mustTctl("nodes", "add");
    await using far = await startFarHost({
      name: "far",
      role: "node",
      folder: cluster.folder.at("far"),
      authPort: cluster.ports.auth,
      flags: [`--token=${/^The invite token: ([0-9a-f]{32})$/m.exec(invitation)?.[1]}`],
    });
    await far.ready();
    await using session = await open(cluster, "far");

    await put("two", "export THIS_IS=two");
    process.kill(first, "SIGHUP");
    const second = await host.nextAfter(first);
    assert.match(await readFile(`/proc/${second}/environ`, "latin1"), /\0THIS_IS=two\0/);
    await cluster.mustTsh(["ssh", "far", "true"]);
    assert.equal(await answerOf(session, "still here"), "still here");
    await end(session);
    await eventually("an end of the old process", () => !isAlive(first));
    await cluster.mustTsh(["ssh", "far", "true"]);
    // What the far node tells arrives by the auth service of the new process.
    await eventually("both commands", async () => {
      const told = (await cluster.events()).filter(
        ({ event, command }) => event === "exec" && command === "true",
      );
      return told.length === 2;
    });
    await eventually("both nodes", async () =>
      /^far [\s\S]*^testnode /m.test(await cluster.mustTctl("nodes", "ls")),
    );
  });

  test("ACC-74: USR2: a new process serves, the old one keeps its sessions and stays until it is told to end", async () => {
    await using host = await startHost();
    const { cluster, first } = host;
    await using session = await open(cluster);
    process.kill(first, "SIGUSR2");
    const second = await host.nextAfter(first);
    await using other = await open(cluster);
    assert.ok(descendants(second).includes(other.shell));
    assert.equal(await answerOf(session, "still here"), "still here");
    await end(session);
    await cluster.mustTsh(["ssh", "testnode", "true"]);
    assert.ok(isAlive(first));
    process.kill(first, "SIGQUIT");
    await eventually("an end of the old process", () => !isAlive(first));
    assert.equal(await answerOf(other, "untouched"), "untouched");
    assert.match(await cluster.mustTctl("nodes", "ls"), /^testnode /m);
  });

  test("QUIT: takes nothing new, and ends after the last session", async () => {
    await using host = await startHost();
    const { cluster, first } = host;
    await using session = await open(cluster);
    process.kill(first, "SIGQUIT");
    await eventually("a closed door", () => refused(cluster.ports.proxy));
    assert.equal(await answerOf(session, "still here"), "still here");
    await end(session);
    await eventually("its end", () => cluster.daemon.program.hasEnded);
    assert.equal(await cluster.daemon.program.ended(), 0);
    await assert.rejects(stat(host.pidFile), { code: "ENOENT" });
  });

  test("ACC-72: USR1: facts about the process are in the log, and it goes on", async () => {
    await using host = await startHost({ config: { teleport: { log: { severity: "error" } } } });
    const { cluster, first } = host;
    process.kill(first, "SIGUSR1");
    const [line] = await cluster.daemon.program.line(/.* diagnostics .*\n/);
    for (const fact of [
      `pid=${first}`,
      "event_loop_utilization=",
      "rss=",
      "TCPServerWrap",
      "version=",
      "node=",
    ])
      assert.ok(line.includes(fact), line);
    await cluster.mustTsh(["ssh", "testnode", "true"]);
    assert.equal(Number(await readFile(host.pidFile, "utf8")), first);
  });
});

/** A cluster with somebody logged in, whose daemon is followed by its pid file. */
async function startHost(options: ClusterOptions = {}) {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempDir());
  const pidFile = folder.at("teleport.pid");
  const cluster = stack.use(await startCluster({ ...options, flags: [`--pid-file=${pidFile}`] }));
  const pid = async (): Promise<number> => Number(await readFile(pidFile, "utf8").catch(() => ""));
  stack.defer(async () => {
    const last = await pid();
    if (last === 0 || last === cluster.daemon.program.pid) return;
    process.kill(last, "SIGTERM");
    await eventually("an end of the last process", () => !isAlive(last));
  });
  await cluster.makeUser("joe");
  await cluster.logIn("joe");
  const first = await pid();
  const open = stack.move();
  return {
    cluster,
    pidFile,
    first,
    /** The process that took the place of another, when that has handed over. */
    async nextAfter(before: number): Promise<number> {
      const next = await eventually(
        "another process",
        async () => {
          const now = await pid();
          return now !== 0 && now !== before && now;
        },
        { timeout: 60_000 },
      );
      await cluster.daemon.program.line(new RegExp(`a new process serves.* pid=${next}\\n`));
      return next;
    },
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}

interface Session extends AsyncDisposable {
  readonly terminal: Terminal;
  /** The pid of the shell at the node. */
  readonly shell: number;
}

async function open(cluster: Cluster, node = "testnode"): Promise<Session> {
  const terminal = new Terminal(programs.tsh, ["ssh", node], { env: { ...quiet, HOME: cluster.home } });
  terminal.type('echo "shell" $$\r');
  const [, shell] = await terminal.sees(/shell (\d+)\r/);
  return { terminal, shell: Number(shell), [Symbol.asyncDispose]: () => terminal[Symbol.asyncDispose]() };
}

async function answerOf({ terminal }: Session, text: string): Promise<string | undefined> {
  // What is typed is shown too, so the answer has to look otherwise.
  terminal.type(`echo "<""${text}"">"\r`);
  return (await terminal.sees(new RegExp(`<(${text})>`)))[1];
}

async function end({ terminal }: Session): Promise<void> {
  terminal.type("exit\r");
  assert.equal(await terminal.ended(), 0, terminal.shown);
}

async function openFiles(pid: number): Promise<string[]> {
  const folder = `/proc/${pid}/fd`;
  return Promise.all((await readdir(folder)).map((fd) => readlink(join(folder, fd)).catch(() => "")));
}

/** The session whose recording has this in it. */
async function recordingOf(cluster: Cluster, text: string): Promise<string | undefined> {
  for (const { event, sid } of await cluster.events()) {
    if (event !== "session.end" || typeof sid !== "string") continue;
    const path = join(cluster.dataDir, "log/sessions/default", `${sid}.session.bytes`);
    if ((await readFile(path, "utf8").catch(() => "")).includes(text)) return sid;
  }
  return undefined;
}

/** Connects to each door in turn, under 20 times a second, until it is asked what went wrong. */
function steadily(cluster: Cluster): AsyncDisposable & { failures(): Promise<string[]> } {
  const { auth, proxy, node } = cluster.ports;
  const doors: readonly [string, () => Promise<void>][] = [
    ["proxy", () => greeted(proxy)],
    ["node", () => greeted(node)],
    ["web", async () => assert.equal((await cluster.web("/webapi/ping")).status, 200)],
    ["auth", () => shakenHands(auth)],
    ["diagnostics", async () => assert.equal((await cluster.daemon.diag("/readyz")).status, 200)],
  ];
  const stop = new AbortController();
  const failed: string[] = [];
  const done = (async () => {
    for (let i = 0; !stop.signal.aborted; i++) {
      const [name, visit] = doors[i % doors.length] as (typeof doors)[number];
      await Promise.all([
        visit().catch((err: Error) => failed.push(`${name}, visit ${i}: ${err.message}`)),
        sleep(55),
      ]);
    }
  })();
  const finish = async (): Promise<void> => {
    stop.abort();
    await done;
  };
  return {
    async failures() {
      await finish();
      return failed;
    },
    [Symbol.asyncDispose]: finish,
  };
}

/** Reads the version line of an SSH server. */
async function greeted(port: number): Promise<void> {
  const socket = connect(port, "127.0.0.1");
  try {
    for await (const chunk of socket) {
      assert.match(String(chunk), /^SSH-2\.0-/);
      return;
    }
    assert.fail("closed without a word");
  } finally {
    socket.destroy();
  }
}

function shakenHands(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false }, () => {
      socket.destroy();
      resolve();
    });
    socket.once("error", reject);
    socket.once("end", () => reject(new Error("closed without a word")));
  });
}

async function refused(port: number): Promise<boolean> {
  return greeted(port).then(
    () => false,
    (err: NodeJS.ErrnoException) => err.code === "ECONNREFUSED",
  );
}
