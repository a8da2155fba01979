import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { silentLog } from "#core/log";
import { packetPair, settle } from "../testing/packet-pair.ts";
import * as wire from "../wire/connection.ts";
import type { Channel } from "./channel.ts";
import { openConnection } from "./connection.ts";
import { type ConnectionLimit, type ConnectionLimits, maxPacket, WindowBudget } from "./limits.ts";

const none = new Uint8Array(0);
const MiB = 1024 * 1024;
const open = (senderChannel: number): Uint8Array =>
  wire.ChannelOpen.encode({
    channelType: "session",
    senderChannel,
    initialWindow: 1,
    maxPacket: 1000,
    open: none,
  });

/** A server, and a peer whose every payload the test sends. */
function facing(limits: ConnectionLimits) {
  const ends = packetPair();
  const server = openConnection(ends.server, { limits, clock: new TestClock(), log: silentLog });
  return { server, ends };
}

suite("what one connection may hold", () => {
  test("all windows together stay below the limit, and every channel that may be open has one to flow with", () => {
    const budget = new WindowBudget({ maxBuffered: 128 * MiB, maxChannels: 1024 });
    const windows = Array.from({ length: 1024 }, () => budget.grant() ?? 0);
    assert.equal(windows[0], 2 * MiB - 1);
    assert.equal(windows[19], 2 * MiB - 1);
    assert.ok(windows.every((window) => window >= maxPacket && window <= 2 * MiB));
    assert.ok(windows.reduce((sum, window) => sum + window, 0) <= 128 * MiB);
    for (const window of windows) budget.giveBack(window);
    assert.equal(budget.grant(), 2 * MiB - 1);
  });

  test("with less than a packet each, the last ones get none", () => {
    const budget = new WindowBudget({ maxBuffered: 3 * maxPacket, maxChannels: 1024 });
    const windows = Array.from({ length: 4 }, () => budget.grant());
    assert.deepEqual(windows, [maxPacket, maxPacket, maxPacket, undefined]);
  });

  test("S65: a peer that fills channels nobody reads holds at most the limit, and is told when there is no more", async () => {
    const reached: ConnectionLimit[] = [];
    const limits = { maxBuffered: MiB, maxChannels: 100, onLimit: (l: ConnectionLimit) => reached.push(l) };
    const { server, ends } = facing(limits);
    const unread: Channel[] = [];
    server.onOpen((request) => void unread.push(request.accept()));
    for (let i = 0; i < 50; i++) ends.client.send(open(i));
    await settle();
    const confirmed = ends.client.received
      .filter((payload) => payload[0] === wire.ChannelOpenConfirmation.id)
      .map((payload) => wire.ChannelOpenConfirmation.decode(payload).initialWindow);
    assert.ok(confirmed.reduce((sum, window) => sum + window, 0) <= MiB);
    assert.equal(confirmed.length, unread.length);
    assert.equal(reached.length, 50 - unread.length);
    assert.ok(reached.length > 0 && reached.every((limit) => limit === "buffered"));
    assert.equal(ends.server.disconnected, undefined, "what is open goes on");
    const [first] = unread;
    void first?.close();
    ends.client.send(wire.ChannelClose.encode({ recipientChannel: 0 }));
    ends.client.send(open(99));
    await settle();
    assert.equal(unread.length, confirmed.length + 1, "room that was given back is given again");
  });

  for (const how of ["read", "given up"] as const) {
    test(`S65: what a closed channel left unread takes room until it is ${how}`, async () => {
      const { server, ends } = facing({ maxBuffered: maxPacket });
      const kept: Channel[] = [];
      server.onOpen((request) => void kept.push(request.accept()));
      ends.client.send(open(0));
      await settle();
      ends.client.send(wire.ChannelData.encode({ recipientChannel: 0, data: new Uint8Array(maxPacket) }));
      ends.client.send(wire.ChannelClose.encode({ recipientChannel: 0 }));
      ends.client.send(open(1));
      await settle();
      assert.equal(kept.length, 1);
      const [channel] = kept;
      if (how === "given up") await channel?.close({ discard: true });
      else for await (const chunk of channel ?? []) assert.equal(chunk.length, maxPacket);
      ends.client.send(open(2));
      await settle();
      assert.equal(kept.length, 2);
    });
  }

  test("our own channels count too", async () => {
    const { server: client } = facing({ maxBuffered: maxPacket });
    const first = client.open("session");
    first.catch(() => {});
    await assert.rejects(client.open("session"), (err) => Fault.is(err, "limit_exceeded"));
  });

  test("requests that wait are counted over all channels, and their end frees them", async () => {
    const reached: ConnectionLimit[] = [];
    const limits = { maxRequests: 10, onLimit: (l: ConnectionLimit) => reached.push(l) };
    const { server, ends } = facing(limits);
    server.onOpen((request) => void request.accept());
    const ask = (recipientChannel: number): Uint8Array =>
      wire.ChannelRequestMessage.encode({
        recipientChannel,
        requestType: "env",
        wantReply: true,
        request: none,
      });
    for (let i = 0; i < 4; i++) ends.client.send(open(i));
    for (let i = 0; i < 9; i++) ends.client.send(ask(i % 3));
    await settle();
    for (let i = 0; i < 3; i++) ends.client.send(wire.ChannelClose.encode({ recipientChannel: i }));
    for (let i = 0; i < 10; i++) ends.client.send(ask(3));
    await settle();
    assert.equal(ends.server.disconnected, undefined);
    assert.deepEqual(reached, []);
    ends.client.send(ask(3));
    await settle();
    assert.ok(ends.server.disconnected);
    assert.deepEqual(reached, ["requests"]);
  });

  test("too many channels are refused, counted, and hurt nobody", async () => {
    const reached: ConnectionLimit[] = [];
    const limits = { maxChannels: 2, onLimit: (l: ConnectionLimit) => reached.push(l) };
    const { server, ends } = facing(limits);
    server.onOpen((request) => void request.accept());
    for (let i = 0; i < 5; i++) ends.client.send(open(i));
    await settle();
    const answers = ends.client.received.map((payload) => payload[0]);
    assert.deepEqual(answers, [91, 91, 92, 92, 92]);
    assert.deepEqual(reached, ["channels", "channels", "channels"]);
  });
});
