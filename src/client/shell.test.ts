import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { suite, test } from "node:test";
import type { Channel } from "#ssh";
import { readSessionRequest, type SessionRequest, sessionRequests } from "#ssh/session";
import { connectionPair } from "#ssh/testing";
import { type Local, type LocalTerminal, type RunOptions, run } from "./shell.ts";

/** A server whose answers to requests and behaviour once started a test decides. */
function server(started: (channel: Channel) => Promise<void>, refuses: readonly string[] = []) {
  const { client, server, ends } = connectionPair();
  const requests: SessionRequest[] = [];
  server.onOpen((open) => {
    const channel = open.accept();
    channel.onRequest((name, payload) => {
      const request = readSessionRequest(name, payload);
      if (request) requests.push(request);
      if (!request || refuses.includes(name)) return false;
      if (name === "shell" || name === "exec") void started(channel);
      return true;
    });
  });
  return { client, requests, cut: () => ends.client.cut() };
}

const end = async (channel: Channel, code = 0): Promise<void> => {
  await channel.request("exit-status", sessionRequests["exit-status"].encode({ code }), false);
  await channel.close();
};

function local(more: Partial<Local> = {}): Local & { out: () => string } {
  const stdout = new PassThrough();
  return {
    stdin: undefined,
    stdout,
    stderr: new PassThrough(),
    terminal: undefined,
    out: () => String(stdout.read() ?? ""),
    ...more,
  };
}
const options: RunOptions = { command: undefined, env: {}, forwardAgent: false };

function fakeTerminal() {
  const log: string[] = [];
  let size = { columns: 80, rows: 24 };
  let listener: (() => void) | undefined;
  const terminal: LocalTerminal = {
    name: "xterm",
    size: () => size,
    onResize(added) {
      listener = added;
      return () => {
        listener = undefined;
      };
    },
    raw() {
      log.push("raw");
      return () => void log.push("cooked");
    },
  };
  const resize = (columns: number, rows: number): void => {
    size = { columns, rows };
    listener?.();
  };
  return { terminal, log, resize, listening: () => listener !== undefined };
}

suite("a remote run", () => {
  test("the terminal is asked for in its size, taken, follows changes, and is given back", async () => {
    const { terminal, log, resize, listening } = fakeTerminal();
    const resized = Promise.withResolvers<void>();
    const { client, requests } = server(async (channel) => {
      await resized.promise;
      await end(channel, 3);
    });
    const running = run(client, local({ terminal }), { ...options, env: { LANG: "C" }, forwardAgent: true });
    while (!listening()) await new Promise(setImmediate);
    assert.deepEqual(log, ["raw"]);
    resize(100, 30);
    while (requests.length < 5) await new Promise(setImmediate);
    resized.resolve();
    assert.deepEqual(await running, { code: 3 });
    assert.deepEqual(log, ["raw", "cooked"]);
    assert.equal(listening(), false);
    assert.deepEqual(
      requests.map(({ name }) => name),
      ["env", "auth-agent-req@openssh.com", "pty-req", "shell", "window-change"],
    );
    const last = requests.at(-1);
    assert.ok(last?.name === "window-change" && last.body.columns === 100 && last.body.rows === 30);
  });
  test("a terminal that the server refuses is left alone", async () => {
    const { terminal, log } = fakeTerminal();
    const { client } = server(end, ["pty-req"]);
    assert.deepEqual(await run(client, local({ terminal }), options), { code: 0 });
    assert.deepEqual(log, []);
  });
  test("a command that is refused was not run", async () => {
    const { terminal, log } = fakeTerminal();
    const { client } = server(end, ["exec"]);
    assert.equal(await run(client, local({ terminal }), { ...options, command: "x" }), "refused");
    assert.deepEqual(log, ["raw", "cooked"]);
  });
  test("it ends with the remote side, however long input stays open", async () => {
    const stdin = new PassThrough();
    const { client } = server((channel) => end(channel, 1));
    assert.deepEqual(await run(client, local({ stdin }), options), { code: 1 });
  });
  test("a cut line is told apart from an end, and gives the terminal back", async () => {
    const { terminal, log } = fakeTerminal();
    const started = Promise.withResolvers<void>();
    const { client, cut } = server(async () => started.resolve());
    const running = run(client, local({ terminal }), options);
    await started.promise;
    cut();
    assert.equal(await running, "lost");
    assert.equal(log.at(-1) ?? "cooked", "cooked");
  });
  test("input is passed on to its end, output after it comes through", async () => {
    async function* stdin() {
      yield Buffer.from("one ");
      yield Buffer.from("two");
    }
    const { client } = server(async (channel) => {
      const parts: Uint8Array[] = [];
      for await (const part of channel) parts.push(part);
      await channel.write(Buffer.concat(parts));
      await end(channel);
    });
    const here = local({ stdin: stdin() });
    assert.deepEqual(await run(client, here, options), { code: 0 });
    assert.equal(here.out(), "one two");
  });
  test("a reader that has gone does not hold up the command", async () => {
    const stdout = new PassThrough();
    stdout.destroy();
    const { client } = server(async (channel) => {
      await channel.write(Buffer.alloc(5_000_000));
      await end(channel);
    });
    assert.deepEqual(await run(client, local({ stdout }), options), { code: 0 });
  });
});
