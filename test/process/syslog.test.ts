import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { suite, test } from "node:test";
import { minute, TestClock } from "#core/clock";
import { openSyslog } from "../../src/cli/teleport/syslog.ts";
import { eventually } from "../support/eventually.ts";
import { skipUnless } from "../support/installed.ts";
import { tempDir } from "../support/temp-dir.ts";

/** A system log: prints each datagram on a line of its own. */
async function systemLog(path: string) {
  const code = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print("bound", flush=True)
while True: print(repr(s.recv(65536)), flush=True)`;
  const child = spawn("python3", ["-c", code, path], { stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => {
    said += chunk.toString();
  });
  const seen = (what: RegExp) => eventually(String(what), () => what.test(said));
  await seen(/^bound/);
  return {
    seen,
    async [Symbol.asyncDispose]() {
      child.kill();
      await once(child, "exit");
    },
  };
}

function setUp() {
  const [told, instead]: [string[], string[]] = [[], []];
  const clock = new TestClock();
  const sink = {
    write: (line: string) => void instead.push(line),
    stampsItself: false,
    [Symbol.asyncDispose]: async () => {},
  };
  return {
    told,
    instead,
    clock,
    options: { instead: sink, err: (line: string) => void told.push(line), clock },
  };
}

suite("the system log (CFG-20)", { skip: skipUnless("logger", "python3") }, () => {
  test("gets each line with its severity, the program's name and id, long ones too", async () => {
    await using folder = await tempDir();
    const socket = folder.at("log");
    await using log = await systemLog(socket);
    const { told, instead, options } = setUp();
    {
      await using sink = await openSyslog({ ...options, socket });
      assert.equal(sink.stampsItself, true);
      sink.write("[AUTH] went wrong\n", "error");
      sink.write("<8>who says so\n", "info");
      sink.write(`${"x".repeat(8000)}!\n`, "debug");
    }
    await log.seen(new RegExp(`'<27>.* teleport\\[${process.pid}\\]: \\[AUTH\\] went wrong'`));
    await log.seen(/'<30>.*: <8>who says so'/);
    await log.seen(/'<31>.*: x{8000}!'/);
    assert.deepEqual([told, instead], [[], []]);
  });

  test("where there is none, the operator is told once, the lines go elsewhere, and it is tried again", async () => {
    await using folder = await tempDir();
    const socket = folder.at("log");
    const { told, instead, clock, options } = setUp();
    await using sink = await openSyslog({ ...options, socket });
    sink.write("one\n", "info");
    assert.match(told.join(), /^error: the system log cannot be reached: there is no .*log.*standard error$/);
    assert.deepEqual(instead, ["one\n"]);
    await using log = await systemLog(socket);
    await clock.advance(minute);
    sink.write("two\n", "info");
    sink.write("three\n", "info");
    await log.seen(/three/);
    assert.deepEqual(instead, ["one\n", "two\n"]);
    assert.equal(told.length, 1);
  });
});
