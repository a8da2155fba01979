import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import { suite, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { Fault } from "#core/errors";
import { memoryLog } from "#core/log";
import { Feed } from "./feed.ts";

/** A feed to a reader of HTTP. */
async function feeding() {
  const log = memoryLog();
  const asked = Promise.withResolvers<ServerResponse>();
  const server = createServer((_request, response) => asked.resolve(response)).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const sent = request({ port, host: "127.0.0.1" });
  const answer = once(sent, "response") as Promise<[IncomingMessage]>;
  sent.on("error", () => {});
  sent.end();
  const response = await asked.promise;
  return {
    log,
    response,
    feed: new Feed(response, log),
    answer: async () => (await answer)[0],
    lines: async () => {
      let text = "";
      for await (const part of (await answer)[0]) text += String(part);
      return text.trimEnd().split("\n");
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

suite("a feed's answer", () => {
  test("is a line for each value, and one that says that it was all", async () => {
    await using t = await feeding();
    t.feed.push(1);
    assert.equal(t.response.headersSent, false, "nothing before it is open");
    t.feed.open();
    t.feed.push({ two: 2 });
    t.feed.end();
    t.feed.push("after the end");
    t.feed.end(new Fault("internal", "twice"));
    assert.deepEqual(await t.lines(), ['{"value":1}', '{"value":{"two":2}}', '{"end":true}']);
  });

  test("S72: tells a fault as it is; of anything else the log alone learns", async () => {
    for (const [error, said] of [
      [new Fault("limit_exceeded", "too far behind"), /"too far behind"/],
      [new Error("secret detail"), /"the auth server failed to answer/],
    ] as const) {
      await using t = await feeding();
      t.feed.open();
      t.feed.end(error);
      const [line = ""] = await t.lines();
      assert.match(line, /^\{"fault":/);
      assert.match(line, said);
      assert.ok(!line.includes("secret"));
      assert.equal(t.log.lines.length, error instanceof Fault ? 0 : 1);
    }
  });

  test("holds back what a reader does not take, says how much, and loses none of it", async () => {
    await using t = await feeding();
    t.feed.open();
    const answer = await t.answer();
    answer.pause();
    const value = "x".repeat(100_000);
    for (let i = 0; i < 500; i++) t.feed.push(value);
    await turn();
    assert.ok(t.feed.size > 100, `${t.feed.size} wait`);
    t.feed.end();
    const lines = await t.lines();
    assert.equal(lines.length, 501);
    assert.equal(t.feed.size, 0);
    assert.equal(lines.at(-1), '{"end":true}');
  });

  test("is nobody's when the reader has gone", async () => {
    await using t = await feeding();
    t.feed.open();
    t.response.destroy();
    t.feed.push(1);
    t.feed.end();
    await turn();
    assert.equal(t.feed.size, 0);
  });
});
