import assert from "node:assert/strict";
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { suite, test } from "node:test";
import { memorySockets } from "./memory-socket.ts";

/** All that comes, to the end; unlike an iteration it leaves the other direction alone. */
async function text(stream: Duplex): Promise<string> {
  let all = "";
  stream.on("data", (chunk) => {
    all += chunk;
  });
  await once(stream, "end");
  return all;
}

suite("two sockets in memory", () => {
  test("pass bytes both ways, and each way ends by itself", async () => {
    const [a, b] = memorySockets();
    a.end("a question");
    assert.equal(await text(b), "a question");
    assert.equal(b.destroyed, false);
    b.end("an answer");
    assert.equal(await text(a), "an answer");
  });

  test("hold back a writer whose reader does not read", async () => {
    const [a, b] = memorySockets();
    let written = 0;
    const chunk = Buffer.alloc(64 * 1024);
    for (let i = 0; i < 100; i++) a.write(chunk, () => void written++);
    await new Promise((resolve) => setImmediate(resolve));
    assert.ok(written <= 2, `${written} chunks were taken`);
    a.end();
    let read = 0;
    for await (const part of b) read += (part as Buffer).length;
    assert.equal(read, 100 * chunk.length);
    assert.equal(written, 100);
  });

  test("are joined by pipeline like any others, a megabyte whole", async () => {
    const [a, b] = memorySockets();
    const [c, d] = memorySockets();
    const sent = Buffer.from(Array.from({ length: 1 << 20 }, (_, i) => i % 251));
    a.end(sent);
    const got: Buffer[] = [];
    const reading = (async () => {
      for await (const part of d) got.push(part as Buffer);
    })();
    await Promise.all([pipeline(b, c), reading]);
    assert.ok(Buffer.concat(got).equals(sent));
  });

  test("one that is destroyed ends the other's reading, and breaks its writing", async () => {
    const [a, b] = memorySockets();
    a.write("last words");
    a.destroy();
    assert.equal(await text(b), "last words");
    const broken = once(b, "error");
    b.write("too late");
    assert.equal((await broken)[0].code, "EPIPE");
  });

  test("a write that waits when the reader goes is not held for good", async () => {
    const [a, b] = memorySockets();
    a.on("error", () => {});
    for (let i = 0; i < 4; i++) a.write(Buffer.alloc(64 * 1024));
    const closed = once(a, "close");
    b.destroy();
    a.destroy();
    await closed;
  });
});
