import assert from "node:assert/strict";
import { type Duplex, duplexPair } from "node:stream";
import { suite, test } from "node:test";
import { second, TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { greeted } from "./greeting.ts";

suite("a host's first word", () => {
  const clock = new TestClock();
  /** Our side of a connection to a host, and the host's. */
  function connection(): [socket: Duplex, host: Duplex] {
    const [near, far] = duplexPair();
    return [near, far];
  }
  const soon = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const rest = async (socket: Duplex): Promise<string> => Buffer.concat(await socket.toArray()).toString();

  for (const [why, parts] of [
    ["a version", ["SSH-2.0-x\r\n"]],
    ["a version in pieces", ["SS", "H-2.0-x\r\n"]],
    ["lines before it", ["welcome\r\n", "SSH-2.0-x\r\n"]],
    ["something else without end", ["x".repeat(9000)]],
  ] as const) {
    test(`${why} is left to the client, every byte`, async () => {
      const [socket, host] = connection();
      const heard = greeted(socket, clock);
      for (const part of parts) {
        host.write(part);
        await soon();
      }
      await heard;
      host.end("more");
      assert.equal(await rest(socket), `${parts.join("")}more`);
    });
  }

  for (const [why, text] of [
    ["nothing", ""],
    ["sshd's words", "Exceeded MaxStartups\r\n"],
  ] as const) {
    test(`SSH-64: an end after ${why} is a failure with a hint`, async () => {
      const [socket, host] = connection();
      host.end(text);
      await assert.rejects(
        greeted(socket, clock),
        (err) =>
          Fault.is(err, "unreachable") && /^ssh: handshake failed: EOF\n.*MaxStartups/.test(err.message),
      );
    });
  }

  test("SSH-64: an end told before anybody listens is one too", async () => {
    const [socket, host] = connection();
    host.end();
    await socket.resume().toArray();
    await assert.rejects(greeted(socket, clock), { message: /^ssh: handshake failed: EOF/ });
  });

  for (const [when, settle] of [
    ["an end after half a line", (host: Duplex) => host.end("SS")],
    ["a reset after half a line", (_: Duplex, socket: Duplex) => socket.destroy(new Error("reset"))],
  ] as const) {
    test(`SSH-64: ${when} throws nothing beside the failure`, async () => {
      const [socket, host] = connection();
      const errors: unknown[] = [];
      socket.on("error", (err) => errors.push(err.message));
      host.write("SS");
      const heard = assert.rejects(greeted(socket, clock), { message: /handshake failed/ });
      await soon();
      settle(host, socket);
      await heard;
      await soon();
      assert.deepEqual(
        errors.filter((message) => message !== "reset"),
        [],
      );
    });
  }

  test("a version that comes with the end is left to the client, and the end too", async () => {
    const [socket, host] = connection();
    const errors: unknown[] = [];
    socket.on("error", (err) => errors.push(err));
    host.end("SSH-2.0-x\r\n");
    await soon();
    await greeted(socket, clock);
    await soon();
    assert.equal(await rest(socket), "SSH-2.0-x\r\n");
    assert.deepEqual(errors, []);
  });

  test("a host that waits for the client's word has three seconds", async () => {
    const [socket, host] = connection();
    const heard = greeted(socket, clock);
    await clock.advance(3 * second);
    await heard;
    assert.deepEqual(socket.listenerCount("readable"), 0);
    host.end("late");
    await soon();
    assert.equal(await rest(socket), "late");
  });
});
