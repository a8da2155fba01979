import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { stat, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { suite, test } from "node:test";
import { skipUnless } from "./installed.ts";
import { freePort } from "./port.ts";
import { Program } from "./program.ts";
import { mustRun, run } from "./run.ts";
import { startSshd } from "./sshd.ts";
import { tempDir } from "./temp-dir.ts";

suite("a temporary folder", () => {
  test("is its owner's alone, and gone afterwards", async () => {
    let path: string;
    {
      await using dir = await tempDir();
      path = dir.path;
      await writeFile(dir.at("file"), "x");
      assert.equal((await stat(path)).mode & 0o777, 0o700);
    }
    assert.equal(existsSync(path), false);
  });
});

test("nothing listens on a free port", async () => {
  const socket = connect(await freePort(), "127.0.0.1");
  await assert.rejects(
    new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject)),
    { code: "ECONNREFUSED" },
  );
});

suite("running a program", () => {
  test("gives it environment and input, and collects what it says", async () => {
    const ran = await run("sh", ["-c", 'cat; echo "$WORD" >&2; exit 7'], {
      env: { WORD: "hi" },
      input: "text",
    });
    assert.deepEqual(ran, { code: 7, signal: null, out: "text", err: "hi\n" });
  });

  test("ends one that takes too long", async () => {
    assert.equal((await run("sleep", ["60"], { timeout: 50 })).signal, "SIGKILL");
    const started = performance.now();
    const { signal } = await run("sh", ["-c", "sleep 10; true"], { timeout: 50 });
    assert.equal(signal, "SIGKILL");
    assert.ok(performance.now() - started < 8000);
  });

  test("says what a step that had to work said when it failed", async () => {
    await assert.rejects(mustRun("sh", ["-c", "echo because >&2; exit 3"]), /ended with 3\nbecause/);
  });

  test("rejects for a program that is not there", async () => {
    await assert.rejects(run("/nowhere/program", []), { code: "ENOENT" });
    await assert.rejects(Program.start("/nowhere/program", []), { code: "ENOENT" });
  });
});

suite("a program in the background", () => {
  test("is waited for by what it says, talked to, and gone afterwards", async () => {
    let pid: number;
    {
      await using cat = await Program.start("cat", []);
      pid = cat.pid;
      cat.write("port=42 \n");
      assert.equal((await cat.line(/port=(\d+) /))[1], "42");
    }
    assert.throws(() => process.kill(pid, 0), { code: "ESRCH" });
  });

  test("that ends without saying it is an error with what it said", async () => {
    await using program = await Program.start("sh", ["-c", "echo no luck; exit 4"]);
    await assert.rejects(program.line(/ready/), /ended without \/ready\/; it said:\nno luck/);
    assert.equal(await program.ended(), 4);
  });

  test("that never says it is an error too", async () => {
    await using program = await Program.start("sleep", ["60"]);
    await assert.rejects(program.line(/ready/, 50), /went on for 50 ms/);
  });

  test("does not have to be waited for because of a child that outlives it", async () => {
    await using program = await Program.start("sh", ["-c", "sleep 20 & echo $! .; exec cat"]);
    const [, child] = await program.line(/(\d+) \./);
    await program[Symbol.asyncDispose]();
    process.kill(Number(child), "SIGKILL");
  });
});

test("a program that is missing is a reason to skip", () => {
  assert.equal(skipUnless("sh"), false);
  assert.equal(skipUnless("sh", "no-such-program"), "not installed: no-such-program");
});

test("a stock sshd lets its user in by certificates alone", { skip: skipUnless("ssh", "sshd") }, async () => {
  await using sshd = await startSshd();
  const there = await run("ssh", [...sshd.clientOptions, `${sshd.login}@127.0.0.1`, "echo $((6 * 7))"]);
  assert.deepEqual([there.code, there.out], [0, "42\n"], there.err + sshd.log());
  assert.equal((await run("ssh", [...sshd.clientOptions, "stranger@127.0.0.1", "true"])).code, 255);
});
