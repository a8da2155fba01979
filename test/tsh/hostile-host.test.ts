import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, readdir } from "node:fs/promises";
import { connect as connectTcp, createServer } from "node:net";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { Fault } from "#core/errors";
import { ForwardedTcpip } from "../../src/ssh/forward/requests.ts";
import { freePort } from "../support/port.ts";
import { TestCluster } from "./cluster.ts";
import type { Program, ServedSession } from "./program.ts";

/** What a terminal would act on. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
const driving = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/;
const evil = "\u001b]52;c;ZXZpbA==\u0007\u001b[2J\u009b31m\rerror: nothing\u0008";

suite("tsh and a host that means it no good", { timeout: 120_000 }, () => {
  let cluster: TestCluster;
  let act: (session: ServedSession) => Promise<unknown>;
  const program: Program = async (session) => {
    await act(session);
  };
  before(async () => {
    cluster = await TestCluster.start();
    await cluster.login();
    await cluster.node("db", program, { forwards: true });
  });
  after(() => cluster[Symbol.asyncDispose]());
  const ssh = (...line: string[]) => cluster.tsh(["ssh", ...line]);

  /** The texts with which the client refused what the host opened. */
  const refusals = async (
    { connection }: ServedSession,
    opens: readonly (readonly [string, Uint8Array?])[],
  ): Promise<string[]> =>
    Promise.all(
      opens.map(([kind, extra]) =>
        connection.open(kind, extra).then(
          () => `opened ${kind}`,
          (err: Error) => (Fault.is(err, "unreachable") ? "refused" : String(err)),
        ),
      ),
    );

  test("S60: channels that nobody asked for are refused: display, agent, shell, forwards of another place; the command goes on", async () => {
    let reached = 0;
    const inner = createServer(() => reached++).listen(0, "127.0.0.1");
    await once(inner, "listening");
    const { port } = inner.address() as { port: number };
    const there = await freePort();
    const visitor = (listening: number): Uint8Array =>
      ForwardedTcpip.encode({ host: "localhost", port: listening, originatorHost: "::1", originatorPort: 1 });
    const direct = ForwardedTcpip.encode({
      host: "127.0.0.1",
      port,
      originatorHost: "::1",
      originatorPort: 1,
    });
    let got: string[] = [];
    act = async (session) => {
      got = await refusals(session, [
        ["x11", Buffer.alloc(12)],
        ["auth-agent@openssh.com"],
        ["session"],
        ["direct-tcpip", direct],
        ["direct-streamlocal@openssh.com", Buffer.alloc(12)],
        ["forwarded-streamlocal@openssh.com", Buffer.alloc(8)],
        ["forwarded-tcpip", Buffer.alloc(0)],
        ["forwarded-tcpip", visitor(there + 1)],
        ["tun@openssh.com", Buffer.alloc(8)],
        [evil],
      ]);
      await session.channel.write(Buffer.from("still here"));
      await session.exit(0);
    };
    try {
      const agent = join(cluster.home, "no-agent");
      for (const flags of [[], ["-R", `${there}:127.0.0.1:${port}`]]) {
        const went = await cluster.tsh(["ssh", ...flags, "root@db", "x"], { env: { SSH_AUTH_SOCK: agent } });
        assert.deepEqual([went.code, went.out], [0, "still here"], went.err);
        assert.deepEqual(got, Array(10).fill("refused"));
        assert.doesNotMatch(went.err, driving);
      }
      assert.equal(reached, 0);
    } finally {
      inner.close();
    }
  });
  test("S10: a flood of global requests with and without answers is answered or ends the connection, in bounded memory", async () => {
    act = async ({ connection, channel, exit }) => {
      const asked = Array.from({ length: 5000 }, (_, i) =>
        connection.request(
          i % 2 ? "keepalive@openssh.com" : "hostkeys-00@openssh.com",
          Buffer.alloc(100),
          i % 2 > 0,
        ),
      );
      await Promise.allSettled(asked);
      await channel.write(Buffer.from("after"));
      await exit(0);
    };
    const before = process.memoryUsage().rss;
    const got = await ssh("root@db", "x");
    if (got.code === 0) assert.equal(got.out, "after");
    else assert.match(got.err, /lost the connection/);
    assert.doesNotMatch(got.err, driving);
    assert.ok(process.memoryUsage().rss - before < 200 << 20);
    act = ({ exit }) => exit(0);
    assert.equal((await ssh("root@db", "x")).code, 0);
  });
  for (const [what, name, payload, code] of [
    ["a status beyond all", "exit-status", Buffer.from("ffffffff", "hex"), [0xffffffff, 255]],
    ["a status cut short", "exit-status", Buffer.from("0000", "hex"), [1, 255]],
    ["a status with more behind it", "exit-status", Buffer.alloc(9), [1, 255, 0]],
    ["a signal that is none", "exit-signal", signalOf("constructor"), [255]],
    ["a signal that drives terminals", "exit-signal", signalOf(evil), [255]],
    ["a signal cut short", "exit-signal", Buffer.from("000000ff41", "hex"), [1, 255]],
  ] as const) {
    test(`S66: ${what} is an exit code or a lost connection, and nothing else`, async () => {
      act = async ({ channel }) => {
        await channel.request(name, payload, false);
        await channel.end();
        await channel.close();
      };
      const got = await ssh("root@db", "x");
      assert.ok((code as readonly number[]).includes(got.code), `${got.code} ${got.err}`);
      assert.doesNotMatch(got.err, driving);
    });
  }
  test("S66: the text with which it disconnects, or refuses a channel, cannot drive the terminal", async () => {
    act = async ({ connection }) => connection.disconnect(evil);
    const cut = await ssh("root@db", "x");
    assert.equal(cut.code, 1);
    assert.doesNotMatch(cut.err, driving);
    const port = await freePort();
    act = async ({ exit }) => {
      const socket = connectTcp(port, "127.0.0.1").on("error", () => {});
      await once(socket.resume(), "close");
      await exit(0);
    };
    // Its words are "nobody is there" and a sequence that clears the screen.
    const refused = await ssh("-L", `${port}:127.0.0.1:1`, "root@db", "x");
    assert.match(refused.err, /WARNING: .*nobody is there/);
    assert.doesNotMatch(refused.err, driving);
  });
  test("S56: scp writes no name that it did not ask for, wherever the name leads", async () => {
    const folder = join(cluster.home, "target");
    await mkdir(folder);
    const names = ["../climb", "/tmp/absolute", "..", ".", "", "a/b", "x\u0000y", `${evil}x`, "other"];
    for (const name of names) {
      for (const line of [`C0644 1 ${name}\n`, `D0755 0 ${name}\n`, `T1 0 1 0\nC0644 1 ${name}\n`]) {
        act = async ({ channel, exit }) => {
          // It answers our refusal with nothing: what matters is what lies in the folder afterwards.
          const reading = channel[Symbol.asyncIterator]();
          await reading.next();
          await channel.write(Buffer.from(line));
          await reading.next();
          await channel.write(Buffer.from("x\0E\n"));
          await exit(0);
        };
        const got = await cluster.tsh(["scp", "-r", "root@db:wanted", folder]);
        assert.notEqual(got.code, 0, JSON.stringify(line));
        assert.doesNotMatch(got.err, driving);
        assert.deepEqual(await readdir(folder), [], JSON.stringify(line));
      }
    }
    assert.ok(!(await readdir(cluster.home)).includes("climb"));
  });
});

function signalOf(signal: string): Uint8Array {
  const name = Buffer.from(signal);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(name.length);
  // No core, and an empty message in no language.
  return Buffer.concat([length, name, Buffer.alloc(9)]);
}
