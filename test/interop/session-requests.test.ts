import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import type { Channel } from "#ssh";
import { openSession, type Session, sessionRequests } from "#ssh/session";
import { type ANode, startNode } from "./a-node.ts";
import { withoutOpenSsh } from "./openssh.ts";

suite("what reaches a program beside its input", { timeout: 60_000 }, () => {
  let node: ANode;
  before(async () => {
    node = await startNode();
  });
  after(() => node[Symbol.asyncDispose]());

  /** A command, on a terminal or not, once it has said `ready`. */
  async function started(command: string, { terminal = false } = {}) {
    const connection = await node.connect();
    const session = await openSession(connection);
    if (terminal) await session.pty({ term: "vt100", ...size, modes: new Map() });
    const said = reader(session.channel);
    assert.equal(await session.exec(command), true);
    await said.until("ready");
    return { session, connection, ...said };
  }

  for (const terminal of [false, true]) {
    const where = terminal ? "on a terminal" : "over pipes";
    test(`a signal, ${where}`, async () => {
      const command = "trap 'echo got it; exit 9' USR1; echo ready; while :; do sleep 0.05; done";
      const { session, until, connection } = await started(command, { terminal });
      await session.signal("USR1");
      await until("got it");
      assert.deepEqual(await session.exit, { code: 9 });
      connection.disconnect();
    });

    test(`and its end by one is told, ${where}`, async () => {
      const { session, connection } = await started("echo ready; kill -KILL $$; sleep 60", { terminal });
      assert.deepEqual(await session.exit, { signal: "KILL", core: false, message: "" });
      connection.disconnect();
    });
  }

  test("an end by a signal that the RFC does not name has a name of somebody's", async () => {
    const { session, connection } = await started("echo ready; ulimit -c 0; kill -BUS $$; sleep 60");
    assert.deepEqual(await session.exit, { signal: "BUS@openssh.com", core: false, message: "" });
    connection.disconnect();
  });

  test("no signal that is none, none before there is a program, and no break without a terminal", async () => {
    const { session, connection } = await started("echo ready; cat");
    const ask = (name: string) =>
      session.channel.request("signal", sessionRequests.signal.encode({ signal: name }), true);
    for (const name of ["SEGV", "STOP", "USR1; id", "0", ""]) assert.equal(await ask(name), false, name);
    assert.equal(await sendBreak(session), false);
    const early = await openSession(connection);
    const usr1 = sessionRequests.signal.encode({ signal: "USR1" });
    assert.equal(await early.channel.request("signal", usr1, true), false);
    connection.disconnect();
  });

  test("a break is what the terminal's modes make of it: an interrupt, a null character, or nothing", async () => {
    for (const [modes, expected] of [
      ["-ignbrk brkint", /interrupted/],
      ["-ignbrk -brkint", /\\0 +x/],
      ["ignbrk brkint", /^\s*ready\s*0000000 +x/],
    ] as const) {
      const command = `stty raw -echo; stty ${modes}; trap 'echo interrupted; exit' INT; echo ready; head -c ${expected.source.includes("0 ") && !modes.startsWith("ig") ? 2 : 1} | od -c`;
      const { session, until, connection, seen } = await started(command, { terminal: true });
      assert.equal(await sendBreak(session), true);
      if (!expected.source.includes("interrupted")) await session.channel.write(Buffer.from("x"));
      await until(expected);
      assert.match(seen(), expected);
      connection.disconnect();
    }
  });

  test("~B of stock ssh", { skip: withoutOpenSsh }, async () => {
    const child = node.start([
      ...["-tt", "-e", "~", node.target],
      "stty -icanon -echo brkint; trap 'echo interrupted; exit 3' INT; echo ready; read x",
    ]);
    let seen = "";
    for await (const chunk of child.stdout as AsyncIterable<Uint8Array>) {
      seen += String(chunk);
      if (seen.endsWith("ready\r\n")) child.stdin?.write("~B");
    }
    assert.match(seen, /interrupted/);
  });

  test("no further session once the client has promised so, forwards all the same", async () => {
    const connection = await node.connect();
    await openSession(connection);
    await connection.request("no-more-sessions@openssh.com", new Uint8Array(0), false);
    await assert.rejects(openSession(connection), /no more sessions/);
    await assert.rejects(connection.open("direct-tcpip", new Uint8Array(0)), /no address/);
    assert.notEqual(await connection.request("keepalive@openssh.com", new Uint8Array(0), true), undefined);
    connection.disconnect();
  });
});

const size = { columns: 80, rows: 24, widthPixels: 0, heightPixels: 0 };

const sendBreak = ({ channel }: Session): Promise<boolean> =>
  channel.request("break", sessionRequests.break.encode({ length: 500 }), true);

/** Reads what comes, and waits for a part of it. */
function reader(channel: Channel) {
  let seen = "";
  let heard = (): void => {};
  void (async () => {
    for await (const chunk of channel) {
      seen += Buffer.from(chunk).toString();
      heard();
    }
  })().catch(() => {});
  return {
    seen: () => seen,
    async until(what: string | RegExp) {
      while (seen.search(what) < 0) await new Promise<void>((resolve) => (heard = resolve));
    },
  };
}
