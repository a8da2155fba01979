import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { Fault } from "#core/errors";
import type { Channel } from "../connection/channel.ts";
import { connectionPair } from "../testing/index.ts";
import { openSession, type Session } from "./client.ts";
import { decodeModes, encodeModes } from "./modes.ts";
import { readSessionRequest, type SessionRequest, sessionRequests } from "./requests.ts";
import { sendExit } from "./server.ts";

suite("session requests", () => {
  for (const [name, hex, body] of [
    [
      "pty-req",
      "00000005787465726d0000005000000018000002800000018f0000000b0100000003350000000100",
      {
        term: "xterm",
        columns: 80,
        rows: 24,
        widthPixels: 640,
        heightPixels: 399,
        modes: new Map([
          [1, 3], // VINTR
          [53, 1], // ECHO
        ]),
      },
    ],
    ["exec", "000000026c73", { command: "ls" }],
    ["env", "000000044c414e4700000001" + "43", { name: "LANG", value: "C" }],
    [
      "window-change",
      "00000001000000020000000300000004",
      { columns: 1, rows: 2, widthPixels: 3, heightPixels: 4 },
    ],
    ["exit-status", "000000ff", { code: 255 }],
    [
      "exit-signal",
      "000000045445524d010000000000000000",
      { signal: "TERM", coreDumped: true, message: "", language: "" },
    ],
    ["shell", "", {}],
    ["auth-agent-req@openssh.com", "", {}],
  ] as const) {
    test(`${name} is read and written as RFC 4254 §6 lays it out`, () => {
      const read = readSessionRequest(name, Buffer.from(hex, "hex"));
      assert.deepEqual(read, { name, body });
      assert.equal(Buffer.from(sessionRequests[name].encode(body as never)).toString("hex"), hex);
    });
  }

  test("an unknown name is no session request, names of Object included", () => {
    assert.equal(readSessionRequest("x11-req", new Uint8Array(0)), undefined);
    assert.equal(readSessionRequest("constructor", new Uint8Array(0)), undefined);
  });

  for (const [why, name, hex] of [
    ["a short exit-status", "exit-status", "0000"],
    ["bytes after exec", "exec", "00000001610000"],
    ["a payload on shell", "shell", "00"],
    ["terminal modes cut off", "pty-req", `${"00000000".repeat(5)}00000003350000`],
  ] as const)
    test(`refuses ${why}`, () => {
      assert.throws(
        () => readSessionRequest(name, Buffer.from(hex, "hex")),
        (err) => Fault.is(err, "protocol"),
      );
    });
});

suite("terminal modes", () => {
  test("reading stops at the end mark or an opcode without a defined argument", () => {
    assert.deepEqual([...decodeModes(Uint8Array.of(53, 0, 0, 0, 1, 0, 9, 9))], [[53, 1]]);
    assert.deepEqual([...decodeModes(Uint8Array.of(53, 0, 0, 0, 1, 160, 9))], [[53, 1]]);
    assert.deepEqual([...decodeModes(new Uint8Array(0))], []);
  });
  test("unknown modes below that are kept", () => {
    const modes = new Map([[99, 7]]);
    assert.deepEqual(decodeModes(encodeModes(modes)), modes);
  });
});

suite("a client's session", () => {
  async function session(serve: (channel: Channel) => void): Promise<{ session: Session; cut: () => void }> {
    const { client, server, ends } = connectionPair();
    server.onOpen((request) => serve(request.accept()));
    return {
      session: await openSession(client),
      cut: () => ends.client.cut(),
    };
  }
  test("its requests arrive in order, typed, and their answers come back", async () => {
    const seen: (SessionRequest | undefined)[] = [];
    const { session: own } = await session((channel) =>
      channel.onRequest((name, payload) => {
        seen.push(readSessionRequest(name, payload));
        return name !== "env";
      }),
    );
    const size = { columns: 80, rows: 24, widthPixels: 0, heightPixels: 0 };
    const answers = await Promise.all([
      own.pty({ term: "xterm", ...size, modes: new Map() }),
      own.env("LANG", "C"),
      own.forwardAgent(),
      own.resize(size),
      own.exec("id"),
      own.signal("INT"),
    ]);
    assert.deepEqual(answers, [true, false, true, undefined, true, undefined]);
    assert.deepEqual(
      seen.map((request) => request?.name),
      ["pty-req", "env", "auth-agent-req@openssh.com", "window-change", "exec", "signal"],
    );
  });

  test("exit tells the code, or the signal, or nothing", async () => {
    for (const exit of [{ code: 3 }, { signal: "KILL", core: false, message: "oom" }]) {
      const { session: own } = await session((channel) =>
        channel.onRequest(() => {
          void sendExit(channel, exit).then(() => channel.close());
          return true;
        }),
      );
      assert.equal(await own.exec("x"), true);
      assert.deepEqual(await own.exit, exit);
    }

    const three = await session(() => {});
    three.cut();
    assert.equal(await three.session.exit, undefined);

    const short = await session((channel) =>
      channel.onRequest(() => {
        void channel.request("exit-status", new Uint8Array(2), false).then(() => channel.close());
        return true;
      }),
    );
    await short.session.subsystem("sftp");
    assert.equal(await short.session.exit, undefined);
  });
});
