import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { suite, test } from "node:test";
import { Fault } from "#core/errors";
import { debugging, report } from "../../src/cli/errors.ts";
import { makeIo } from "../../src/cli/io.ts";
import { collector } from "../../src/cli/testing.ts";

/** A process whose one command, `do`, runs `body`. */
function tool(body: string) {
  const url = (file: string): string => JSON.stringify(join(import.meta.dirname, "../../src/cli", file));
  const code = `
    import { main } from ${url("process.ts")};
    import { Fault } from ${url("../core/errors.ts")};
    await main({ name: "t", about: "", globals: {}, commands: [
      { name: "do", about: "", flags: {}, async run({ io, signal }) { ${body} } },
    ] });`;
  // Read from standard input, so that the arguments are a program's own.
  const child = spawn(process.execPath, ["--input-type=module", "-", "do"]);
  child.stdin.end(code);
  return child;
}
const ended = async (child: ReturnType<typeof tool>) => {
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "exit")]);
  return { code, out, err };
};

/** Waits for output; a child that ends without any fails the test instead of holding it up. */
const spoken = async (child: ReturnType<typeof tool>): Promise<void> => {
  const done = new AbortController();
  const died = once(child, "exit", { signal: done.signal }).then(() =>
    assert.fail("it ended without a word"),
  );
  died.catch(() => {});
  await Promise.race([once(child.stdout, "data"), died]);
  done.abort();
};

suite("a tool's process", () => {
  test("ends with the command's exit code, all output written, whatever still runs", async () => {
    const child = tool(`setInterval(() => {}, 1e6); io.out("x".repeat(1e6)); return 7;`);
    const { code, out } = await ended(child);
    assert.deepEqual([code, out.length], [7, 1_000_001]);
  });
  test("tells a fault in one line, with the exit code of its kind", async () => {
    assert.deepEqual(await ended(tool(`throw new Fault("bad_parameter", "no such thing");`)), {
      code: 2,
      out: "",
      err: "error: no such thing\n",
    });
    assert.equal((await ended(tool(`throw new Error("boom");`))).code, 1);
  });
  for (const [signal, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const) {
    test(`${signal} aborts the command, and the exit code says so`, async () => {
      const child = tool(
        `const p = new Promise((_, no) => signal.addEventListener("abort", () => no(signal.reason))); const t = setInterval(() => {}, 1e6); io.out("up"); await p;`,
      );
      await spoken(child);
      child.kill(signal);
      assert.deepEqual(await ended(child), { code, out: "", err: "" });
    });
  }
  test("a command that ends well when told to stop ends with its own code", async () => {
    const child = tool(
      `const t = setInterval(() => {}, 1e6); const p = new Promise((ok) => signal.addEventListener("abort", ok)); io.out("up"); await p; return 0;`,
    );
    await spoken(child);
    child.kill("SIGTERM");
    assert.equal((await ended(child)).code, 0);
  });
  test("a second signal does not wait", async () => {
    const child = tool(
      `const t = setInterval(() => {}, 1e6); signal.addEventListener("abort", () => io.out("busy")); io.out("up"); await new Promise(() => {});`,
    );
    await spoken(child);
    child.kill("SIGINT");
    await spoken(child);
    child.kill("SIGINT");
    assert.equal((await ended(child)).code, 130);
  });
  test("a reader that has seen enough is no failure", async () => {
    const child = tool(`for (;;) { io.out("y".repeat(1000)); await new Promise(setImmediate); }`);
    await spoken(child);
    child.stdout.destroy();
    const [[code], err] = await Promise.all([once(child, "exit"), text(child.stderr)]);
    assert.deepEqual([code, err], [0, ""]);
  });
});

suite("errors", () => {
  const told = (err: unknown, debug: boolean) => {
    const stderr = collector();
    const stream = collector().stream;
    const io = makeIo({
      stdin: process.stdin,
      stdout: stream,
      stderr: stderr.stream,
      env: {},
      machine: { uid: 0, home: "/", hostname: "h", user: "u" },
      openTerminal: () => Promise.reject(new Error("none")),
    });
    return { code: report(err, io, debug), err: stderr.text() };
  };
  test("stacks only for those who debug (CFG-163), causes too", () => {
    const err = new Fault("internal", "it broke", { cause: new TypeError("deeper") });
    assert.deepEqual(told(err, false), { code: 1, err: "error: it broke\n" });
    const { err: long } = told(err, true);
    assert.match(long, /^error: it broke\nFault: it broke\n\s+at [\s\S]*TypeError: deeper\n\s+at /);
  });
  test("what is no error object is told as well", () => {
    assert.equal(told("words", false).err, "error: words\n");
    assert.equal(told(new AggregateError([new Error("first")]), false).err, "error: first\n");
  });
  for (const [line, env, want] of [
    ["start -d", {}, true],
    ["-d start", {}, true],
    ["--debug ls", {}, true],
    ["ls", { TELEPORT_DEBUG: "1" }, true],
    ["ls", { TELEPORT_DEBUG: "0" }, false],
    ["ssh host ls -d", {}, false],
    ["ls", {}, false],
  ] as const) {
    test(`${line} ${JSON.stringify(env)} ${want ? "debugs" : "does not debug"}`, () => {
      assert.equal(debugging(line.split(" "), env), want);
    });
  }
});
