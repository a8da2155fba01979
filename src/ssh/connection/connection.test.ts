import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { finished } from "node:stream/promises";
import { suite, test } from "node:test";
import { TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { silentLog } from "#core/log";
import { type ConnectionPair, connectionPair } from "../testing/index.ts";
import { packetPair, settle } from "../testing/packet-pair.ts";
import type { Channel, ChannelRequest } from "./channel.ts";
import { duplex, OpenFailure } from "./channel.ts";
import { openConnection } from "./connection.ts";

const clock = new TestClock();

async function channels({ client, server }: ConnectionPair): Promise<{ near: Channel; far: Channel }> {
  const far = Promise.withResolvers<Channel>();
  server.onOpen((request) => far.resolve(request.accept()));
  const { channel: near } = await client.open("session");
  return { near, far: await far.promise };
}

async function collect(from: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of from) parts.push(part);
  return Buffer.concat(parts);
}
const text = (s: string): Uint8Array => Buffer.from(s);

suite("channels", () => {
  test("data goes both ways, each way ends by itself, and the channel closes when both have closed", async () => {
    const { near, far } = await channels(connectionPair());
    await near.write(text("question"));
    await near.end();
    assert.equal((await collect(far)).toString(), "question");
    await far.write(text("answer"));
    await far.writeStderr(text("warning"));
    await far.end();
    assert.equal((await collect(near)).toString(), "answer");
    assert.equal((await collect(near.stderr)).toString(), "warning");
    await Promise.all([near.close(), far.close()]);
    await Promise.all([near.closed, far.closed]);
  });

  test("many windows of data arrive whole, in packets no larger than allowed", async () => {
    const both = connectionPair();
    const { near, far } = await channels(both);
    const sent = randomBytes(9 * 1024 * 1024 + 17);
    const reading = collect(far);
    await near.write(sent);
    await near.end();
    assert.ok((await reading).equals(sent));
    assert.ok(both.ends.server.received.every((payload) => payload.length <= 9 + 64 * 1024));
  });

  test("concurrent writes arrive in the order they were made", async () => {
    const { near, far } = await channels(connectionPair());
    const parts = Array.from({ length: 40 }, (_, i) => Buffer.alloc(150_000, i));
    const writing = Promise.all(parts.map((part) => near.write(part))).then(() => near.end());
    const got = await collect(far);
    await writing;
    assert.ok(got.equals(Buffer.concat(parts)));
  });

  test("a channel nobody reads holds one window and no more; reading lets the writer go on", async () => {
    const both = connectionPair();
    const { near, far } = await channels(both);
    let done = false;
    const writing = near.write(new Uint8Array(3 * 1024 * 1024)).then(() => {
      done = true;
    });
    await settle();
    assert.equal(done, false);
    const arrived = both.ends.server.received
      .filter((payload) => payload[0] === 94)
      .reduce((sum, payload) => sum + payload.length - 9, 0);
    assert.equal(arrived, 2 * 1024 * 1024 - 1);
    const reading = collect(far);
    await writing;
    await near.end();
    assert.equal((await reading).length, 3 * 1024 * 1024);
  });

  test("stderr spends the same window", async () => {
    const { near, far } = await channels(connectionPair());
    await near.writeStderr(new Uint8Array(2 * 1024 * 1024 - 1));
    let done = false;
    void near.write(text("x")).then(() => {
      done = true;
    });
    await settle();
    assert.equal(done, false);
    const errors = collect(far.stderr);
    await settle();
    assert.equal(done, true);
    await near.end();
    await errors;
  });

  test("a writer waits while the transport is congested", async () => {
    const both = connectionPair();
    const { near } = await channels(both);
    both.ends.client.congested = true;
    let done = false;
    const writing = near.write(new Uint8Array(200_000)).then(() => {
      done = true;
    });
    await settle();
    assert.equal(done, false);
    both.ends.client.congested = false;
    await writing;
  });

  test("a write fails when the peer closes while it waits for credit", async () => {
    const { near, far } = await channels(connectionPair());
    const writing = near.write(new Uint8Array(3 * 1024 * 1024));
    const refused = assert.rejects(writing, (err) => Fault.is(err, "unreachable"));
    await far.close();
    await refused;
  });

  test("closing waits for writes; with discard it gives up those that have no credit", async () => {
    const both = connectionPair();
    const { near } = await channels(both);
    const failed = assert.rejects(near.write(new Uint8Array(3 * 1024 * 1024)), /closed/);
    const closing = near.close();
    await settle();
    assert.ok(!both.ends.server.received.some((payload) => payload[0] === 97));
    const discarding = near.close({ discard: true });
    await failed;
    await settle();
    assert.ok(both.ends.server.received.some((payload) => payload[0] === 97));
    await Promise.all([closing, discarding]);
  });

  test("small chunks that wait are joined, so that a window of single bytes stays small", async () => {
    const { near, far } = await channels(connectionPair());
    for (let i = 0; i < 50_000; i++) await near.write(Uint8Array.of(i % 251));
    await near.end();
    await settle();
    let count = 0;
    let bytes = 0;
    for await (const chunk of far) {
      for (const value of chunk) assert.equal(value, bytes++ % 251);
      count++;
    }
    assert.equal(bytes, 50_000);
    assert.ok(count < 10, `${count} chunks`);
  });

  test("requests are answered in order, also when the first answer takes longest", async () => {
    const { near, far } = await channels(connectionPair());
    const slow = Promise.withResolvers<boolean>();
    const seen: string[] = [];
    far.onRequest((name) => {
      seen.push(name);
      if (name === "slow") return slow.promise;
      if (name === "bad") throw new Error("no");
      return name === "good";
    });
    const answers = Promise.all(["slow", "good", "bad", "other"].map((n) => near.request(n, text(""), true)));
    await settle();
    assert.deepEqual(seen, ["slow"]);
    slow.resolve(true);
    assert.deepEqual(await answers, [true, true, false, false]);
  });

  test("requests that came before the handler, even before close, are delivered to it", async () => {
    const { near, far } = await channels(connectionPair());
    await near.request("exit-status", Uint8Array.of(0, 0, 0, 3), false);
    await Promise.all([near.close(), far.closed]);
    const seen: string[] = [];
    far.onRequest((name) => seen.push(name) > 0);
    assert.deepEqual(seen, ["exit-status"]);
  });

  test("keepalive on a channel is answered without a handler", async () => {
    const { near } = await channels(connectionPair());
    assert.equal(await near.request("keepalive@openssh.com", text(""), true), false);
  });

  test("losing the connection fails reads, writes and requests", async () => {
    const both = connectionPair();
    const { near } = await channels(both);
    const asked = assert.rejects(near.request("x", text(""), true), (err) => Fault.is(err, "unreachable"));
    const reading = assert.rejects(collect(near), (err) => Fault.is(err, "unreachable"));
    both.ends.client.cut();
    await Promise.all([asked, reading, near.closed]);
    await assert.rejects(near.write(text("x")), (err) => Fault.is(err, "unreachable"));
    await assert.rejects(both.client.open("session"), (err) => Fault.is(err, "unreachable"));
    await near.close();
  });

  test("a duplex that is destroyed is gone at once, though the peer neither reads nor closes", async () => {
    const both = connectionPair();
    const { near } = await channels(both);
    const stream = duplex(near);
    stream.write(new Uint8Array(3 * 1024 * 1024));
    await settle();
    both.ends.server.receive(() => {});
    stream.destroy(new Error("reset"));
    await assert.rejects(finished(stream), /reset/);
    await settle();
    assert.ok(both.ends.server.received.some((payload) => payload[0] === 97));
  });

  test("a duplex keeps half-close and closes the channel when it is destroyed", async () => {
    const { near, far } = await channels(connectionPair());
    const stream = duplex(near);
    stream.end("in");
    assert.equal((await collect(far)).toString(), "in");
    await far.write(text("out"));
    await far.end();
    assert.equal((await collect(stream)).toString(), "out");
    stream.destroy();
    await far.closed;
  });
});

suite("opening channels", () => {
  test("the extra bytes of both sides arrive", async () => {
    const { client, server } = connectionPair();
    const asked = Promise.withResolvers<ChannelRequest>();
    server.onOpen(async (request) => {
      asked.resolve(request);
      await settle();
      request.accept(text("welcome"));
    });
    const { channel, extra } = await client.open("direct-tcpip", text("to"));
    const request = await asked.promise;
    assert.equal(request.kind, "direct-tcpip");
    assert.equal(Buffer.from(request.extra).toString(), "to");
    assert.equal(Buffer.from(extra).toString(), "welcome");
    assert.equal(channel.kind, "direct-tcpip");
  });

  test("a refusal carries the peer's words", async () => {
    const { client, server } = connectionPair();
    server.onOpen((request) => request.reject(OpenFailure.connectFailed, "db is down"));
    await assert.rejects(client.open("direct-tcpip"), (err: Fault) => {
      assert.ok(Fault.is(err, "unreachable"));
      assert.equal(err.message, "db is down");
      assert.deepEqual(err.details, { reason: "db is down", code: 2 });
      return true;
    });
  });

  for (const [why, handler] of [
    ["leaves it unanswered", () => {}],
    ["throws", () => Promise.reject(new Error("broken"))],
  ] as const) {
    test(`a kind is refused when the handler ${why}`, async () => {
      const { client, server } = connectionPair();
      server.onOpen(handler);
      await assert.rejects(client.open("x11"), (err) => Fault.is(err, "unreachable"));
    });
  }

  test("what arrives with the end of authentication waits for the handler; later it is refused", async () => {
    const ends = packetPair();
    const server = openConnection(ends.server, { clock, log: silentLog });
    const opening = server.open("teleport-heartbeat");
    const asking = server.request("x-teleport-version", text(""), true);
    await Promise.resolve();
    const client = openConnection(ends.client, { clock, log: silentLog });
    await Promise.resolve();
    client.onOpen((request) => void request.accept());
    client.onRequest(() => text("5.0"));
    assert.equal((await opening).channel.kind, "teleport-heartbeat");
    assert.equal(Buffer.from((await asking) ?? []).toString(), "5.0");

    const late = connectionPair();
    await settle();
    await assert.rejects(late.server.open("teleport-heartbeat"), (err) => Fault.is(err, "unreachable"));
    assert.equal(await late.server.request("x-teleport-version", text(""), true), undefined);
  });

  test("a peer has a limit of open channels, and gets its places back", async () => {
    const { client, server } = connectionPair({ limits: { maxChannels: 2 } });
    const accepted: Channel[] = [];
    server.onOpen((request) => void accepted.push(request.accept()));
    await client.open("session");
    await client.open("session");
    await assert.rejects(client.open("session"), /too many/);
    await accepted[0]?.close();
    await client.open("session");
  });

  test("undecided channels count too", async () => {
    const { client, server } = connectionPair({ limits: { maxChannels: 3 } });
    server.onOpen(() => new Promise(() => {}));
    const waiting = [1, 2, 3].map(() => client.open("session"));
    await assert.rejects(client.open("session"), /too many/);
    client.disconnect();
    for (const open of waiting) await assert.rejects(open, (err) => Fault.is(err, "unreachable"));
  });

  test("no more sessions are opened after the client said so", async () => {
    const { client, server } = connectionPair();
    server.onOpen((request) => void request.accept());
    await client.open("session");
    await client.request("no-more-sessions@openssh.com", text(""), false);
    await assert.rejects(client.open("session"), /no more sessions/);
    await client.open("direct-tcpip");
  });

  test("a channel accepted after the connection is gone is closed", async () => {
    const { client, server, ends } = connectionPair();
    const asked = Promise.withResolvers<ChannelRequest>();
    server.onOpen((request) => {
      asked.resolve(request);
      return new Promise(() => {});
    });
    const opening = assert.rejects(client.open("session"));
    const request = await asked.promise;
    ends.server.cut();
    await opening;
    await settle();
    await request.accept().closed;
  });
});

suite("global requests and keep-alive", () => {
  test("replies go to their requests in order", async () => {
    const { client, server } = connectionPair();
    server.onRequest(async (name) => {
      if (name === "port") return Uint8Array.of(0, 0, 0, 80);
      return name === "yes";
    });
    const [port, yes, no] = await Promise.all(
      ["port", "yes", "no"].map((n) => client.request(n, text(""), true)),
    );
    assert.deepEqual(
      [port, yes, no].map((r) => r && Buffer.from(r).toString("hex")),
      ["00000050", "", undefined],
    );
  });

  test("a silent peer is dropped after `count` unanswered keep-alives", async () => {
    const own = new TestClock();
    const ends = packetPair();
    const connection = openConnection(ends.server, {
      clock: own,
      log: silentLog,
      keepAlive: { every: 1000, count: 3 },
    });
    for (let i = 0; i < 3; i++) await own.advance(1000);
    assert.equal(ends.client.received.filter((payload) => payload[0] === 80).length, 3);
    assert.ok(!ends.server.disconnected);
    await own.advance(1000);
    const over = await connection.closed;
    assert.match(over?.message ?? "", /keep-alive/);
    assert.equal(own.sleeping, 0);
  });

  test("a peer that answers keep-alives stays", async () => {
    const own = new TestClock();
    const { client } = connectionPair({ clock: own, keepAlive: { every: 1000, count: 1 } });
    let over = false;
    void client.closed.then(() => {
      over = true;
    });
    for (let i = 0; i < 20; i++) await own.advance(1000);
    assert.equal(over, false);
  });

  test("disposing disconnects by application", async () => {
    const both = connectionPair();
    await both.client[Symbol.asyncDispose]();
    assert.equal(both.ends.client.disconnected?.reason, 11);
    assert.equal(await both.server.closed, undefined);
  });
});
