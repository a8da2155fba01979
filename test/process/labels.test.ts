import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { type Clock, systemClock } from "#core/clock";
import { Pipes, Spawner } from "#helper";
import { labelOf } from "#node";
import { eventually } from "../support/eventually.ts";
import { isAlive } from "../support/processes.ts";

suite("a label's command (SSH-50)", { timeout: 60_000 }, () => {
  const dir = mkdtempSync(join(tmpdir(), "labels-"));
  const pipes = new Pipes(join(dir, "pipes"));
  const spawner = new Spawner({ pipes });
  after(async () => {
    await spawner[Symbol.asyncDispose]();
    await pipes[Symbol.asyncDispose]();
    rmSync(dir, { recursive: true });
  });

  /** Half a minute is 0.3 s here. */
  const hasty: Clock = {
    now: () => systemClock.now(),
    uptime: () => systemClock.uptime(),
    sleep: (ms, signal, options) => systemClock.sleep(ms / 100, signal, options),
  };
  const value = (...command: string[]): Promise<string> =>
    labelOf(command, { spawner, clock: systemClock }, new AbortController().signal);
  const hurried = (...command: string[]): Promise<string> =>
    labelOf(command, { spawner, clock: hasty }, new AbortController().signal);

  test("its trimmed output is the value", async () => {
    assert.equal(await value("/bin/echo", "  a  b "), "a  b");
    assert.equal(await value("printf", "one\\ntwo\\n\\n"), "one\ntwo");
    assert.equal(await value("/bin/true"), "");
  });

  test("no shell reads it", async () => {
    assert.equal(await value("/bin/echo", "$HOME; `id` | cat > x", "*"), "$HOME; `id` | cat > x *");
  });

  test("a script with a first line is a program; a shell that is named is one too", async () => {
    const script = join(dir, "script");
    writeFileSync(script, '#!/bin/sh\necho "$1" | tr a-z A-Z\n');
    chmodSync(script, 0o755);
    assert.equal(await value(script, "x"), "X");
    assert.equal(await value("/bin/sh", "-c", "echo a b | wc -w"), "2");
  });

  test("it has the daemon's user, no input, and nothing of the daemon's environment", async () => {
    assert.equal(await value("id", "-u"), String(process.getuid?.()));
    assert.equal(await value("cat"), "");
    const names = (await value("env")).split("\n").map((line) => line.split("=")[0]);
    assert.deepEqual(names.sort(), ["LANG", "PATH"]);
  });

  test("failure is told with the output there was", async () => {
    assert.equal(await value("/bin/uname -m"), "spawn /bin/uname -m ENOENT output:");
    assert.equal(await value("/bin/sh", "-c", "echo half; exit 3"), "exit status 3 output: half");
    assert.equal(await value("/bin/sh", "-c", "kill -SEGV $$"), "ended by signal SEGV output:");
    const plain = join(dir, "plain");
    writeFileSync(plain, "text", { mode: 0o644 });
    assert.equal(await value(plain), `spawn ${plain} EACCES output:`);
  });

  test("one that hangs is killed with all it started", async () => {
    const pids = join(dir, "pids");
    const said = await hurried("/bin/sh", "-c", `sleep 600 & echo $! $$ >${pids}; echo begun; wait`);
    assert.equal(said, "it ran longer than 30 s, output: begun");
    const all = readFileSync(pids, "utf8").trim().split(" ").map(Number);
    assert.equal(all.length, 2);
    await eventually("an end of both", () => !all.some(isAlive));
  });

  test("one that ignores signals, and one that closes its output and goes on, are ended too", async () => {
    assert.match(await hurried("/bin/sh", "-c", "trap '' TERM HUP INT; sleep 600; sleep 600"), /ran longer/);
    assert.match(await hurried("/bin/sh", "-c", "exec >&- 2>&-; sleep 600"), /ran longer/);
  });

  test("one that prints without end is ended, and little of it is kept", async () => {
    const said = await value("yes");
    assert.match(said, /^it printed more than 4096 bytes, output: y\ny\n/);
    assert.ok(said.length < 1200, `${said.length}`);
    assert.match(await value("/bin/sh", "-c", "yes >&2 & sleep 0.2; kill $!; echo ok"), /^ok$/);
  });

  test("a child that it leaves behind with its output open is not waited for", async () => {
    const pidFile = join(dir, "left");
    const said = await hurried("/bin/sh", "-c", `sleep 600 & echo $! >${pidFile}; echo done`);
    assert.equal(said, "done");
    process.kill(Number(readFileSync(pidFile, "utf8")), "SIGKILL");
  });

  test("when the node stops it ends", async () => {
    const stop = new AbortController();
    const begun = join(dir, "begun");
    const done = labelOf(
      ["/bin/sh", "-c", `echo $$ >${begun}; sleep 600`],
      { spawner, clock: systemClock },
      stop.signal,
    );
    await eventually("its start", () => existsSync(begun) && readFileSync(begun, "utf8").endsWith("\n"));
    stop.abort();
    await done;
    assert.equal(isAlive(Number(readFileSync(begun, "utf8"))), false);
  });
});
