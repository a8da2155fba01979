import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/port.ts";
import { run } from "../support/run.ts";
import { Terminal } from "../support/terminal.ts";
import { TestCluster } from "./cluster.ts";
import { say, startShouting } from "./forwarding.ts";
import type { Program } from "./program.ts";

const tsh = join(import.meta.dirname, "..", "..", "bin", "tsh");

suite("tsh ssh -f", () => {
  let cluster: TestCluster;
  /** Lets the commands that run there go on. */
  let release = (): void => {};
  let hold: Promise<void>;
  const program: Program = async ({ channel, exit }) => {
    let got = "";
    for await (const chunk of channel) got += Buffer.from(chunk).toString();
    await hold;
    await channel.write(Buffer.from(`done ${JSON.stringify(got)}\n`));
    await exit(0);
  };
  before(async () => {
    cluster = await TestCluster.start();
    await cluster.login();
    await cluster.node("db", program, { forwards: true });
    await cluster.node("plain", program, { plain: true });
  });
  after(() => cluster[Symbol.asyncDispose]());
  const env = () => ({ HOME: cluster.home, SSH_AUTH_SOCK: undefined });
  const background = (...line: string[]) => run(tsh, ["ssh", "-f", ...line], { env: env(), timeout: 30_000 });
  const held = (): void => {
    hold = new Promise((resolve) => {
      release = resolve;
    });
  };

  /** The process that has these words on its command line. */
  const pidOf = (words: string): number | undefined => {
    for (const name of readdirSync("/proc")) {
      try {
        if (/^\d+$/.test(name) && readFileSync(`/proc/${name}/cmdline`, "utf8").includes(words))
          return Number(name);
      } catch {
        // It has ended since.
      }
    }
    return undefined;
  };

  test("with -N it is over once the forwards stand, nobody waits for its output, and they go on in a session of their own", async () => {
    using there = await startShouting({ host: "127.0.0.1", port: 0 });
    const port = await freePort();
    const spec = `${port}:127.0.0.1:${there.port}`;
    const got = await background("-N", "-L", spec, "root@db");
    assert.deepEqual([got.code, got.out], [0, ""], got.err);
    const pid = pidOf(spec) as number;
    try {
      assert.equal(await say("hello", { host: "127.0.0.1", port }), "HELLO");
      const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
        .replace(/^.*\) /, "")
        .split(" ");
      assert.deepEqual(
        fields.slice(2, 4),
        [String(pid), String(pid)],
        "process group and session are its own",
      );
    } finally {
      process.kill(pid);
    }
    await eventually("its end", () => pidOf(spec) === undefined);
    await assert.rejects(say("x", { host: "127.0.0.1", port }), { code: "ECONNREFUSED" });
  });
  test("with -R 0 the port is told before it goes", async () => {
    const got = await background("-N", "-R", "0:127.0.0.1:9", "root@db");
    const [, port] = /db listens on port (\d+) for -R 0:127\.0\.0\.1:9/.exec(got.err) ?? [];
    assert.ok(port, got.err);
    process.kill(pidOf("0:127.0.0.1:9\0root@db") as number);
  });
  test("a command's output still comes, and it has no input", async () => {
    held();
    await using terminal = new Terminal(
      "sh",
      ["-c", '"$0" ssh -f root@db probe; echo "over $?"; read line', tsh],
      {
        env: env(),
      },
    );
    await terminal.sees(/over 0/);
    release();
    await terminal.sees(/done ""/);
  });
  test("what must be asked is asked before, and what fails is told with its exit code", async () => {
    held();
    await using terminal = new Terminal(
      "sh",
      ["-c", '"$0" ssh -f root@plain probe; echo "over $?"; read line', tsh],
      {
        env: env(),
      },
    );
    await terminal.sees(/Do you trust it and want to go on \(yes\/no\)\?/);
    terminal.type("yes\r");
    await terminal.sees(/over 0/);
    release();
    await terminal.sees(/done ""/);
    const failed = await background(
      "-N",
      "-o",
      "ExitOnForwardFailure=yes",
      "-L",
      "/nowhere/at/all:db:1",
      "root@db",
    );
    assert.equal(failed.code, 1);
    assert.match(failed.err, /cannot listen on \/nowhere\/at\/all/);
    const unknown = await background("root@nobody", "probe");
    assert.equal(unknown.code, 1);
    assert.match(unknown.err, /error: failed connecting to node nobody/);
  });
  test("there is nothing to go on with behind for a shell, -W, --local or a table", async () => {
    for (const line of [
      ["root@db"],
      ["-W", "db:1", "root@db"],
      ["-N", "--local", "root@db", "true"],
      ["--format=json", "root@db", "true"],
    ]) {
      const got = await cluster.tsh(["ssh", "-f", ...line]);
      assert.equal(got.code, 2, line.join(" "));
      assert.match(got.err, /-f goes to the background with a command on one host/);
    }
  });
  test("-o ForkAfterAuthentication=yes is the same", async () => {
    const got = await cluster.tsh(["ssh", "-o", "ForkAfterAuthentication=yes", "root@db"]);
    assert.match(got.err, /-f goes to the background/);
  });
});
