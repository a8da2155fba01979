import assert from "node:assert/strict";
import { chmodSync, chownSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { systemClock } from "#core/clock";
import { type Account, type LoggedIn, Logins, Pipes, Programs, Spawner } from "#helper";
import { openPty, type Pty } from "../../src/node/pty.ts";

const root = process.getuid?.() === 0;
const asOther = root ? {} : { skip: "becoming another user needs root" };

suite("a shell on a terminal", { timeout: 60_000 }, () => {
  const dir = mkdtempSync(join(tmpdir(), "terminal-"));
  const pipes = new Pipes(join(dir, "pipes"));
  const spawner = new Spawner({ pipes });
  const logins = new Logins({ size: 2 });
  const programs = new Programs({ spawner, logins, pipes, clock: systemClock, uid: process.getuid?.() ?? 0 });
  const self: Account = {
    name: "self",
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
    groups: [process.getgid?.() ?? 0],
    home: dir,
    shell: "/bin/sh",
  };
  const someone: Account = root ? { ...self, name: "games", uid: 5, gid: 60, groups: [60, 29] } : self;
  const env = { PATH: "/usr/bin:/bin", TERM: "vt100", PS1: "$ " };
  const open: Pty[] = [];

  before(() => {
    chmodSync(dir, 0o755);
    chownSync(dir, someone.uid, someone.gid);
    logins.warm();
  });
  after(async () => {
    for (const pty of open) pty.close();
    await Promise.all([spawner[Symbol.asyncDispose](), logins[Symbol.asyncDispose]()]);
    rmSync(dir, { recursive: true });
  });

  async function shell(
    command?: string,
    { modes = [] as string[], size = { columns: 132, rows: 43 } } = {},
  ): Promise<{
    pty: Pty;
    login: LoggedIn;
    said: () => Promise<string>;
    seen: () => string;
    until: (text: string | RegExp) => Promise<void>;
  }> {
    const pty = openPty(size);
    open.push(pty);
    const login = await programs.onTerminal(someone, { path: pty.path, modes, group: 5 }, env, command);
    pty.release();
    let seen = "";
    let tell: () => void = () => {};
    const reading = (async () => {
      for await (const chunk of pty.output) {
        seen += new TextDecoder().decode(chunk);
        tell();
      }
      return seen;
    })();
    return {
      pty,
      login,
      said: () => reading,
      seen: () => seen,
      async until(text) {
        while (seen.search(text) < 0) await new Promise<void>((resolve) => (tell = resolve));
      },
    };
  }
  const type = (pty: Pty, text: string): Promise<void> => pty.write(new TextEncoder().encode(text));

  test("has the size that was asked for, shows what is typed, and follows a change of size", async () => {
    const { pty, login, until, said } = await shell();
    await type(pty, "stty size\n");
    await until("43 132");
    pty.resize({ columns: 80, rows: 24 });
    await type(pty, "stty size; exit 7\n");
    assert.match(await said(), /stty size; exit 7\r\n(\$ )?24 80/);
    assert.deepEqual(await login.exit, { code: 7 });
  });

  test("is a login shell that leads its session, on a controlling terminal", async () => {
    const { pty, said } = await shell();
    await type(pty, "echo name=$0; tty; ps -o pid=,pgid=,sid=,tpgid= -p $$ | sed 's/^ */ids /'; exit\n");
    const text = await said();
    assert.match(text, /name=-sh/);
    assert.match(text, new RegExp(pty.path));
    const [, pid, pgid, sid] = /ids (\d+) +(\d+) +(\d+)/.exec(text) ?? [];
    assert.ok(pid !== undefined && pid === pgid && pid === sid, text);
  });

  test("has job control: an interrupt ends the program in front, not the shell", async () => {
    const { pty, login, until, said } = await shell();
    await type(pty, "echo rea''dy; sleep 1000\n");
    await until("ready");
    await busy(login);
    await type(pty, "\x03");
    // A shell that is interrupted throws away what was typed ahead.
    await until(/\^C\s+\$ /);
    await type(pty, "echo sur''vived; exit\n");
    assert.match(await said(), /survived/);
  });

  test(
    "S55: is the login's with its groups; no capability, no signal ignored or blocked",
    asOther,
    async () => {
      const { said, pty, until } = await shell("cat /proc/self/status; read x");
      await until("voluntary_ctxt");
      const owner = statSync(pty.path);
      await type(pty, "\n");
      const status = (await said()).replaceAll("\r", "");
      const row = (key: string): string =>
        new RegExp(`^${key}:\\s*(.*?)\\s*$`, "m").exec(status)?.[1] ?? "none";
      assert.equal(row("Uid"), "5\t5\t5\t5");
      assert.equal(row("Gid"), "60\t60\t60\t60");
      assert.deepEqual(row("Groups").split(" ").sort(), ["29", "60"]);
      for (const set of ["CapPrm", "CapEff", "CapAmb", "SigBlk", "SigPnd"])
        assert.match(row(set), /^0+$/, set);
      // 32 and 33 belong to the C library: nobody can set them, so they stay as whoever started the test left them.
      assert.equal(BigInt(`0x${row("SigIgn")}`) & ~(3n << 31n), 0n, "SigIgn");
      assert.deepEqual([owner.uid, owner.gid, owner.mode & 0o777], [5, 5, 0o620]);
    },
  );

  test("S55: holds no terminal of another session, nor anything else of the daemon's", async () => {
    const before = await shell("read x");
    const { said } = await shell("ls -l /proc/self/fd");
    const targets = [...(await said()).matchAll(/\d+ -> (\S+)/g)].map((match) => match[1]);
    // The last is the folder that ls reads.
    assert.deepEqual(
      targets.slice(0, 3).map((t) => t?.startsWith("/dev/pts/")),
      [true, true, true],
    );
    assert.equal(targets.length, 4, targets.join());
    await type(before.pty, "\n");
    await before.login.exit;
  });

  test("has the modes that were asked for", async () => {
    const { said } = await shell("stty -a", { modes: ["erase", "0x8", "-echo", "iutf8", "intr", "undef"] });
    const text = await said();
    for (const want of ["erase = ^H", " -echo ", " iutf8", "intr = <undef>"])
      assert.ok(text.includes(want), `${want}: ${text}`);
  });

  test("gets its whole environment from the session", async () => {
    const { said } = await shell("exec env");
    const got = (await said()).split("\r\n").filter((line) => line !== "" && !line.startsWith("PWD="));
    assert.deepEqual(
      got.sort(),
      Object.entries(env)
        .map(([k, v]) => `${k}=${v}`)
        .sort(),
    );
  });

  test("a hang-up ends it", async () => {
    const { pty, login, until } = await shell();
    await type(pty, "echo rea''dy\n");
    await until("ready");
    pty.close();
    assert.deepEqual(await login.exit, { signal: "HUP" });
  });

  test("output that nobody reads for a while is not lost when the program has ended", async () => {
    const pty = openPty({ columns: 80, rows: 25 });
    open.push(pty);
    const login = await programs.onTerminal(
      someone,
      { path: pty.path, modes: ["-opost"], group: 5 },
      env,
      "seq 1 500; echo end",
    );
    pty.release();
    await login.exit;
    let text = "";
    for await (const chunk of pty.output) text += new TextDecoder().decode(chunk);
    assert.equal(text, `${Array.from({ length: 500 }, (_, i) => i + 1).join("\n")}\nend\n`);
  });

  test("a shell that is missing refuses the session and nothing else", async () => {
    const pty = openPty({ columns: 80, rows: 25 });
    open.push(pty);
    await assert.rejects(
      programs.onTerminal(
        { ...someone, shell: "/no/such/shell" },
        { path: pty.path, modes: [], group: 5 },
        env,
      ),
      /no\/such\/shell/,
    );
  });

  test("a signal goes to the program in front, with the login's own rights", async () => {
    const { pty, login, until, said } = await shell();
    await type(pty, "echo rea''dy; sleep 1000\n");
    await until("ready");
    await busy(login);
    await programs.signal(someone, inFront(login), "TERM");
    await type(pty, "echo code=$?; exit\n");
    assert.match(await said(), /code=143/);
    assert.deepEqual(await login.exit, { code: 0 });
  });
});

/** The process group in front on the terminal of a session (proc(5), `tpgid`). */
const inFront = ({ pid }: LoggedIn): number =>
  Number(
    readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/^.*\) /s, "")
      .split(" ")[5],
  );

/** Until the shell has put a program in front: a key typed before is the shell's own. */
async function busy(login: LoggedIn): Promise<void> {
  while (inFront(login) === login.pid) await new Promise((resolve) => setImmediate(resolve));
}
