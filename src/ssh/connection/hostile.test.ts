import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { silentLog } from "#core/log";
import { packetPair, settle, type TestTransport } from "../testing/packet-pair.ts";
import type { PacketTransport } from "../transport/packets.ts";
import * as wire from "../wire/connection.ts";
import type { Channel, Connection } from "./channel.ts";
import { openConnection } from "./connection.ts";

const none = new Uint8Array(0);
const options = { clock: new TestClock(), log: silentLog };

/** A server connection with one open channel (our number 0, the peer's 5), whose peer we play by raw payloads. */
async function victim(
  window = 1000,
  maxPacket = 100,
): Promise<{ peer: TestTransport; own: TestTransport; server: Connection; channel: Channel }> {
  const { client: peer, server: own } = packetPair();
  const server = openConnection(own, options);
  const opened = Promise.withResolvers<Channel>();
  server.onOpen((request) => opened.resolve(request.accept()));
  peer.send(
    wire.ChannelOpen.encode({
      channelType: "session",
      senderChannel: 5,
      initialWindow: window,
      maxPacket,
      open: none,
    }),
  );
  return { peer, own, server, channel: await opened.promise };
}

const data = (length: number, recipientChannel = 0): Uint8Array =>
  wire.ChannelData.encode({ recipientChannel, data: new Uint8Array(length) });
const eof = wire.ChannelEof.encode({ recipientChannel: 0 });
const close = wire.ChannelClose.encode({ recipientChannel: 0 });
const stderr = wire.ChannelExtendedData.encode({ recipientChannel: 0, dataType: 1, data: new Uint8Array(1) });
const fullWindow = Array.from({ length: 32 }, () => data(65_536));
const confirmation = (recipientChannel: number): Uint8Array =>
  wire.ChannelOpenConfirmation.encode({
    recipientChannel,
    senderChannel: 1,
    initialWindow: 1,
    maxPacket: 1,
    open: none,
  });
const failure = wire.ChannelOpenFailure.encode({
  recipientChannel: 0,
  reasonCode: 1,
  description: none,
  languageTag: none,
});

suite("a hostile peer is disconnected, and nobody is hurt", () => {
  for (const [why, payloads] of [
    [
      "window adjusted past 2^32-1",
      [wire.ChannelWindowAdjust.encode({ recipientChannel: 0, bytesToAdd: 0xffff_ffff })],
    ],
    ["data above the maximum packet", [data(65_537)]],
    ["data beyond the window", [...fullWindow, data(1)]],
    ["stderr beyond the window", [...fullWindow, stderr]],
    ["data after EOF", [eof, data(1)]],
    ["stderr after EOF", [eof, stderr]],
    ["a second EOF", [eof, eof]],
    ["data after close", [close, data(1)]],
    ["a second close", [close, close]],
    ["data for a channel that never was", [data(1, 77)]],
    ["data for channel 2^32-1", [data(1, 0xffff_ffff)]],
    ["data whose length is a lie", [Uint8Array.of(94, 0, 0, 0, 0, 0, 0, 0, 9, 1)]],
    ["data cut short", [Uint8Array.of(94, 0, 0, 0)]],
    [
      "a request for a channel that never was",
      [
        wire.ChannelRequestMessage.encode({
          recipientChannel: 9,
          requestType: "exec",
          wantReply: true,
          request: none,
        }),
      ],
    ],
    [
      "a maximum packet of 0",
      [
        wire.ChannelOpen.encode({
          channelType: "session",
          senderChannel: 6,
          initialWindow: 1,
          maxPacket: 0,
          open: none,
        }),
      ],
    ],
    ["S10: a channel success nobody asked for", [wire.ChannelSuccess.encode({ recipientChannel: 0 })]],
    ["S10: a channel failure nobody asked for", [wire.ChannelFailure.encode({ recipientChannel: 0 })]],
    ["S10: a request success nobody asked for", [wire.RequestSuccess.encode({ response: none })]],
    ["S10: a request failure nobody asked for", [wire.RequestFailure.encode({})]],
    ["S10: a confirmation of an open channel", [confirmation(0)]],
    ["S10: a confirmation of a channel nobody asked for", [confirmation(3)]],
    ["S10: a refusal of an open channel", [failure]],
    ["S04: USERAUTH_SUCCESS from the client after login", [Uint8Array.of(52)]],
    ["S02: SERVICE_ACCEPT after login", [Buffer.from("060000000c7373682d7573657261757468", "hex")]],
    [
      "a request flood that nobody answers",
      Array.from({ length: 300 }, () =>
        wire.ChannelRequestMessage.encode({
          recipientChannel: 0,
          requestType: "env",
          wantReply: true,
          request: none,
        }),
      ),
    ],
  ] as const) {
    test(why, async () => {
      const bystander = await victim();
      const { peer, own, channel } = await victim();
      for (const payload of payloads) peer.send(payload);
      await settle();
      assert.ok(own.disconnected, "the peer was not disconnected");
      await channel.closed;
      assert.equal(bystander.own.disconnected, undefined);
    });
  }

  test("an empty payload and an unknown message above 79 do no harm", async () => {
    const { peer, own } = await victim();
    peer.send(Uint8Array.of(127));
    await settle();
    assert.equal(own.unimplementedReplies, 1);
    assert.equal(own.disconnected, undefined);
    peer.send(none);
    await settle();
    assert.ok(own.disconnected);
  });

  test("authentication requests after login are ignored (RFC 4252 §5.1)", async () => {
    const { peer, own } = await victim();
    peer.send(Uint8Array.of(50, 0, 0, 0, 0));
    await settle();
    assert.equal(own.disconnected, undefined);
    assert.equal(own.unimplementedReplies, 0);
  });

  test("extended data of an unknown type is dropped and its window given back", async () => {
    const { peer, own, channel } = await victim();
    const odd = wire.ChannelExtendedData.encode({
      recipientChannel: 0,
      dataType: 9,
      data: new Uint8Array(65_536),
    });
    for (let i = 0; i < 40; i++) {
      peer.send(odd);
      if (i === 20) await settle();
    }
    await settle();
    assert.equal(own.disconnected, undefined);
    const adjusted = peer.received.filter((payload) => payload[0] === wire.ChannelWindowAdjust.id);
    assert.equal(adjusted.length, 5);
    await channel.write(new Uint8Array(1));
  });

  test("empty data packets into an empty window hold no memory and reach nobody", async () => {
    const { peer, own, channel } = await victim();
    for (let i = 0; i < 5000; i++) peer.send(data(0));
    peer.send(data(1));
    peer.send(eof);
    const got: number[] = [];
    for await (const chunk of channel) got.push(chunk.length);
    assert.deepEqual(got, [1]);
    assert.equal(own.disconnected, undefined);
  });

  test("data for a channel that we have closed and the peer not yet is dropped", async () => {
    const { peer, own, channel } = await victim();
    const closing = channel.close();
    await settle();
    peer.send(data(10));
    peer.send(close);
    await closing;
    assert.equal(own.disconnected, undefined);
  });

  test("S12: ten thousand refused channels leave nothing behind, and the next accepted one gets number 0", async () => {
    const { client: peer, server: own } = packetPair();
    const server = openConnection(own, { ...options, limits: { maxChannels: 4 } });
    server.onOpen((request) => {
      if (request.kind === "session") request.accept();
      else if (request.kind === "late") return settle(1).then(() => request.reject(1, "no"));
      else request.reject(1, "no");
      return undefined;
    });
    const open = (channelType: string): Uint8Array =>
      wire.ChannelOpen.encode({ channelType, senderChannel: 1, initialWindow: 1, maxPacket: 1, open: none });
    for (let i = 0; i < 10_000; i++) peer.send(open(i % 2 ? "x11" : "unknown"));
    for (let i = 0; i < 20; i++) {
      for (let j = 0; j < 4; j++) peer.send(open("late"));
      await settle();
    }
    peer.send(open("session"));
    await settle();
    assert.equal(peer.received.filter((payload) => payload[0] === 92).length, 10_080);
    const confirmed = wire.ChannelOpenConfirmation.decode(peer.received.at(-1) as Uint8Array);
    assert.equal(confirmed.senderChannel, 0);
  });

  test("S12: opening and closing thousands of channels reuses their numbers", async () => {
    const { client: peer, server: own } = packetPair();
    const server = openConnection(own, options);
    server.onOpen((request) => void request.accept());
    for (let i = 0; i < 5000; i++) {
      peer.send(
        wire.ChannelOpen.encode({
          channelType: "x",
          senderChannel: i,
          initialWindow: 1,
          maxPacket: 1,
          open: none,
        }),
      );
      peer.send(close);
      if (i % 500 === 0) await settle(1);
    }
    await settle();
    assert.equal(own.disconnected, undefined);
    const numbers = new Set(
      peer.received
        .filter((payload) => payload[0] === 91)
        .map((payload) => wire.ChannelOpenConfirmation.decode(payload).senderChannel),
    );
    assert.deepEqual([...numbers], [0]);
  });

  for (const [window, expected] of [
    [0, 0],
    [1, 1],
    [0xffff_ffff, 0xffff_ffff],
  ] as const) {
    test(`S11: a write of 2^32+1 bytes into a window of ${window} sends just that and waits idle`, async () => {
      let sent = 0;
      let packets = 0;
      const ended = Promise.withResolvers<Fault | undefined>();
      let deliver: (payload: Uint8Array) => void = () => {};
      const transport: PacketTransport = {
        role: "client",
        sessionId: none,
        remoteVersion: "",
        hostKey: undefined,
        extensions: new Map(),
        buffered: 0,
        send(_head, chunk) {
          if (chunk) {
            sent += chunk.length;
            packets++;
          }
          return true;
        },
        drain: () => Promise.resolve(),
        receive(handler) {
          deliver = handler;
        },
        unimplemented() {},
        authenticated() {},
        rekey() {},
        disconnect: () => ended.resolve(undefined),
        closed: ended.promise,
      };
      const connection = openConnection(transport, options);
      const opening = connection.open("session");
      deliver(
        wire.ChannelOpenConfirmation.encode({
          recipientChannel: 0,
          senderChannel: 0,
          initialWindow: window,
          maxPacket: 0xffff_ffff,
          open: none,
        }),
      );
      const { channel } = await opening;
      const stopped = assert.rejects(channel.write(new Uint8Array(2 ** 32 + 1)), (err) =>
        Fault.is(err, "unreachable"),
      );
      while (sent < expected) await settle(1);
      await settle();
      assert.equal(sent, expected);
      assert.equal(packets, Math.ceil(expected / 65_536));
      connection.disconnect();
      await stopped;
    });
  }
});
