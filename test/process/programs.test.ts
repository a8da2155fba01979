import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { systemClock } from "#core/clock";
import { Fault } from "#core/errors";
import { type Account, Logins, Pipes, Programs, type Running, Spawner, sessionEnvironment } from "#helper";

const root = process.getuid?.() === 0;
const asOther = root ? {} : { skip: "becoming another user needs root" };

suite("programs of a login", { timeout: 60_000 }, () => {
  const dir = mkdtempSync(join(tmpdir(), "programs-"));
  const pipes = new Pipes(join(dir, "pipes"));
  const spawner = new Spawner({ pipes });
  const logins = new Logins({ size: 1 });
  const programs = new Programs({ spawner, logins, pipes, clock: systemClock, uid: process.getuid?.() ?? 0 });
  const home = join(dir, "home");
  const self: Account = {
    name: "self",
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
    groups: [process.getgid?.() ?? 0],
    home,
    shell: "/bin/sh",
  };
  // Some existing, powerless user, in two groups beside its own.
  const other: Account = { ...self, name: "games", uid: 5, gid: 60, groups: [60, 29, 44] };
  const someone = root ? other : self;
  const env = sessionEnvironment(someone, "/usr/bin:/bin", {
    client: { host: "192.0.2.1", port: 40000 },
    local: { host: "192.0.2.2", port: 3022 },
    sid: "0dd8e3c8-1ab5-4a4f-8d5f-2d5c52cd1a6b",
    user: "alice",
    hostId: "11111111-2222-4333-8444-555555555555",
    cluster: "main",
  });

  before(() => {
    chmodSync(dir, 0o711);
    mkdirSync(home, { mode: 0o700 });
    chownSync(home, someone.uid, someone.gid);
    logins.warm();
  });
  after(async () => {
    await Promise.all([spawner[Symbol.asyncDispose](), logins[Symbol.asyncDispose]()]);
    await pipes[Symbol.asyncDispose]();
    rmSync(dir, { recursive: true });
  });

  const run = async (command: string, extra: Record<string, string> = {}): Promise<Said> =>
    said(await programs.exec(someone, command, { ...env, ...extra }));

  test("runs by the shell, in the home, and tells output, errors and code apart", async () => {
    assert.deepEqual(await run("pwd; echo oops >&2; exit 3"), {
      out: `${home}\n`,
      err: "oops\n",
      exit: { code: 3 },
    });
  });

  test("tells the signal that ended it", async () => {
    assert.deepEqual((await run("kill -TERM $$")).exit, { signal: "TERM" });
  });

  for (const [way, extra] of [
    ["setpriv", {}],
    ["the helper", { ODD: "1" }],
  ] as const) {
    test(
      `S55: by ${way}, exactly the login's ids and groups, no capability, no signal ignored`,
      asOther,
      async () => {
        const status = (await run("cat /proc/self/status", extra)).out;
        const row = (key: string): string =>
          new RegExp(`^${key}:\\s*(.*?)\\s*$`, "m").exec(status)?.[1] ?? "none";
        assert.equal(row("Uid"), "5\t5\t5\t5");
        assert.equal(row("Gid"), "60\t60\t60\t60");
        assert.deepEqual(row("Groups").split(" ").sort(), ["29", "44", "60"]);
        for (const set of ["CapPrm", "CapEff", "CapAmb", "SigBlk", "SigPnd"])
          assert.match(row(set), /^0+$/, set);
        // 32 and 33 belong to the C library: nobody can set them, so they stay as whoever started the test left them.
        assert.equal(BigInt(`0x${row("SigIgn")}`) & ~(3n << 31n), 0n, "SigIgn");
      },
    );

    test(`S54: by ${way}, the environment is exactly what the session sets`, async () => {
      const { out } = await run("exec env", extra);
      const got = out.split("\n").filter((line) => line !== "" && !line.startsWith("PWD="));
      const want = Object.entries({ ...env, ...extra }).map(([name, value]) => `${name}=${value}`);
      assert.deepEqual(got.sort(), want.sort());
    });

    test(`by ${way}, a command inherits its three pipes and nothing else`, async () => {
      const { out } = await run('ls -l /proc/self/fd | sed -n "s/.* \\([0-9]* -> .*\\)/\\1/p"', extra);
      const open = out.trim().split("\n");
      // The fourth is the folder that ls reads; its own standard output is the pipe to sed.
      assert.equal(open.length, 4, out);
      assert.doesNotMatch(out, /socket|ptmx|pts/);
    });

    test(`by ${way}, standard streams can be opened again by name`, async () => {
      const got = await run("echo one > /dev/stdout; echo two > /dev/stderr", extra);
      assert.deepEqual([got.out, got.err], ["one\n", "two\n"]);
    });
  }

  test("the usual limit of open files, though Node runs with more", async () => {
    assert.ok(Number((await run("ulimit -S -n")).out) <= 1024);
  });

  test("50 MiB through cat, intact", async () => {
    const running = await programs.exec(someone, "cat", env);
    const block = new Uint8Array(1024 * 1024);
    for (let i = 0; i < block.length; i++) block[i] = (i * 7) ^ (i >> 8);
    const writing = (async () => {
      for (let i = 0; i < 50; i++) {
        block[0] = i;
        await new Promise((resolve) => running.stdin.write(block.slice(), resolve));
      }
      running.stdin.end();
    })();
    let at = 0;
    for await (const chunk of running.stdout as AsyncIterable<Uint8Array>) {
      for (let i = 0; i < chunk.length; i += 4099) {
        const inBlock = (at + i) % block.length;
        const want = inBlock === 0 ? (at + i) / block.length : ((inBlock * 7) ^ (inBlock >> 8)) & 0xff;
        if (chunk[i] !== want) assert.fail(`byte ${at + i} is ${chunk[i]}, not ${want}`);
      }
      at += chunk.length;
    }
    await writing;
    assert.equal(at, 50 * block.length);
    assert.deepEqual(await running.exit, { code: 0 });
  });

  test("a hang-up reaches everything that the command started", async () => {
    const running = await programs.exec(someone, "sleep 1000 & echo $!; wait", env);
    const [pid] = await first(running.stdout);
    running.kill("SIGHUP");
    assert.deepEqual(await running.exit, { signal: "HUP" });
    await untilGone(Number(pid));
  });

  test("a missing home is told, and the command runs", async () => {
    const got = await said(await programs.exec({ ...someone, home: join(dir, "gone") }, "pwd", env));
    assert.equal(got.out, "/\n");
    assert.match(got.err, /home directory .*gone, using \/\n/);
  });

  test("a shell that is missing is an exit code, not a broken node", async () => {
    const got = await said(await programs.exec({ ...someone, shell: "/no/such/shell" }, "true", env));
    assert.deepEqual(got.exit, { code: 127 });
  });

  test("a command reads its own environment file", async () => {
    mkdirSync(join(home, ".tsh"), { recursive: true });
    chownSync(join(home, ".tsh"), someone.uid, someone.gid);
    writeFileSync(
      join(home, ".tsh/environment"),
      "# mine\nEDITOR=vi\n\nLD_PRELOAD=/tmp/x.so\nNODE_OPTIONS=--inspect\nA=b=c\n",
    );
    assert.deepEqual(await programs.userEnvironment(someone), { EDITOR: "vi", A: "b=c" });
    rmSync(join(home, ".tsh"), { recursive: true });
    assert.deepEqual(await programs.userEnvironment(someone), {});
  });

  test("S53: an environment file that is a link to root's is not read", asOther, async () => {
    const secret = join(dir, "secret");
    writeFileSync(secret, "SECRET=1\n", { mode: 0o600 });
    mkdirSync(join(home, ".tsh"));
    symlinkSync(secret, join(home, ".tsh/environment"));
    assert.deepEqual(await programs.userEnvironment(someone), {});
    rmSync(join(home, ".tsh"), { recursive: true });
  });

  test(
    "S54: what decides which code runs never reaches a process of ours that still is root",
    asOther,
    async () => {
      const trap = join(dir, "trap.so");
      const library = { LD_PRELOAD: trap, NODE_OPTIONS: `--require=${trap}` };
      writeFileSync(trap, "not a library");
      const got = await run("true", library);
      // The loader of the user's own shell complains; that of setpriv, or Node, would have been ours.
      assert.deepEqual(got.exit, { code: 0 });
      assert.equal(got.err.split("\n").filter((line) => line.includes("trap.so")).length, 2, got.err);
    },
  );

  test("S55: scp serves files with the login's rights, and tells what it copied", asOther, async () => {
    writeFileSync(join(home, "mine"), "hello");
    writeFileSync(join(home, "roots"), "secret", { mode: 0o600 });
    chownSync(join(home, "mine"), someone.uid, someone.gid);
    const running = await programs.scp(someone, ["-f", "mine", "roots"]);
    running.stdin.end(new Uint8Array(4));
    const reports: unknown[] = [];
    const [out, exit] = await Promise.all([
      text(running.stdout),
      running.exit,
      (async () => {
        for await (const report of running.reports) reports.push(report);
      })(),
    ]);
    assert.equal(out, "C0644 5 mine\nhello\0\x01scp: roots: permission denied\n");
    assert.deepEqual(exit, { code: 1 });
    assert.deepEqual(reports, [
      { action: "read", path: join(home, "mine"), len: 5, error: "" },
      { action: "read", path: join(home, "roots"), len: 0, error: "permission denied" },
    ]);
  });

  test(
    "S55: SFTP is served by a process with exactly the login's ids and groups, and no capability",
    asOther,
    async () => {
      const running = await programs.sftp(someone);
      const status = readFileSync(`/proc/${running.pid}/status`, "utf8");
      const row = (key: string): string =>
        new RegExp(`^${key}:\\s*(.*?)\\s*$`, "m").exec(status)?.[1] ?? "none";
      assert.deepEqual([row("Uid"), row("Gid")], ["5\t5\t5\t5", "60\t60\t60\t60"]);
      assert.deepEqual(row("Groups").split(" ").sort(), ["29", "44", "60"]);
      for (const set of ["CapPrm", "CapEff", "CapAmb"]) assert.match(row(set), /^0+$/, set);
      assert.equal(readlinkSync(`/proc/${running.pid}/cwd`), home);
      assert.deepEqual((await said(running)).exit, { code: 0 });
    },
  );

  test("SFTP ends with its input and not by HUP, so that what is open is closed and told", async () => {
    const running = await programs.sftp(someone);
    const message = (...bytes: number[]): Buffer => Buffer.from([0, 0, 0, bytes.length, ...bytes]);
    // INIT of version 3, then OPEN of `f` to write and create.
    running.stdin.write(message(1, 0, 0, 0, 3));
    running.stdin.write(message(3, 0, 0, 0, 1, 0, 0, 0, 1, 0x66, 0, 0, 0, 0x0a, 0, 0, 0, 0));
    const reports = running.reports[Symbol.asyncIterator]();
    const path = join(home, "f");
    assert.deepEqual((await reports.next()).value, { opened: 1, action: "write", path });
    running.kill("SIGHUP");
    running.stdin.end();
    const error = "the client left before the file was closed";
    assert.deepEqual((await reports.next()).value, { closed: 1, len: 0, error });
    assert.deepEqual(await running.exit, { code: 0 });
  });

  test("another login than our own is refused without root", () => {
    const mine = new Programs({ spawner, logins, pipes, clock: systemClock, uid: 1000 });
    assert.throws(
      () => mine.check({ ...someone, name: "bob", uid: 1001 }),
      (err) => Fault.is(err, "access_denied") && /does not run as root.*bob/.test(err.message),
    );
    assert.doesNotThrow(() => mine.check({ ...someone, uid: 1000 }));
  });

  test("no pipe stays behind in the folder", async () => {
    await run("true");
    const left = readdirSync(join(dir, "pipes"));
    assert.equal(left.length % 3, 0);
    assert.ok(left.length < 48);
  });

  test("helpers end with the daemon, also when it is killed", async () => {
    const daemon = `
      const { Logins, Pipes, Spawner, Programs } = await import(${JSON.stringify(join(import.meta.dirname, "../../src/helper/index.ts"))});
      const { systemClock } = await import(${JSON.stringify(join(import.meta.dirname, "../../src/core/clock.ts"))});
      const pipes = new Pipes(${JSON.stringify(join(dir, "pipes2"))}), spawner = new Spawner({ pipes }), logins = new Logins({ size: 1 });
      logins.warm();
      const programs = new Programs({ spawner, logins, pipes, clock: systemClock, uid: process.getuid() });
      const r = await programs.exec(${JSON.stringify(self)}, "sleep 1000 & echo $!; wait", {});
      const { readFileSync, writeSync } = await import("node:fs");
      for await (const chunk of r.stdout) {
        writeSync(1, String(chunk).trim() + " " + readFileSync("/proc/self/task/" + process.pid + "/children"));
        process.kill(process.pid, "SIGKILL");
      }`;
    let out = "";
    try {
      out = execFileSync(process.execPath, ["--input-type=module", "-e", daemon], { encoding: "utf8" });
    } catch (err) {
      out = (err as { stdout: string }).stdout;
    }
    const pids = out.trim().split(" ").map(Number);
    // What the command started, the spawner, the waiting login.
    assert.equal(pids.length, 3, out);
    for (const pid of pids) await untilGone(pid);
  });
});

interface Said {
  readonly out: string;
  readonly err: string;
  readonly exit: unknown;
}

async function said(
  running: Pick<Running, "stdin" | "stderr" | "exit"> & { stdout: AsyncIterable<unknown> },
): Promise<Said> {
  running.stdin.end();
  const [out, err, exit] = await Promise.all([text(running.stdout), text(running.stderr), running.exit]);
  return { out, err, exit };
}

async function text(stream: AsyncIterable<unknown>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(Buffer.from(chunk as Uint8Array));
  return Buffer.concat(chunks).toString();
}

async function first(stream: AsyncIterable<unknown>): Promise<string[]> {
  for await (const chunk of stream) return String(chunk).trim().split(" ");
  return [];
}

async function untilGone(pid: number): Promise<void> {
  assert.ok(pid > 1);
  while (existsSync(`/proc/${pid}`)) await new Promise((resolve) => setImmediate(resolve));
}
