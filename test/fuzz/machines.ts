import { TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { silentLog } from "#core/log";
import { AgentClient } from "../../src/ssh/agent/client.ts";
import { Keyring } from "../../src/ssh/agent/keyring.ts";
import { serveAgent } from "../../src/ssh/agent/server.ts";
import { openConnection } from "../../src/ssh/connection/connection.ts";
import { packetPair, settle } from "../../src/ssh/testing/packet-pair.ts";
import { RawPeer } from "../../src/ssh/testing/raw-peer.ts";
import { streamPair } from "../../src/ssh/testing/stream-pair.ts";
import { parseTestKey, testSigner } from "../../src/ssh/testing/test-key.ts";
import type { PacketTransport } from "../../src/ssh/transport/packets.ts";
import { startClientTransport, startServerTransport } from "../../src/ssh/transport/start.ts";
import { logIn } from "../../src/ssh/userauth/client.ts";
import { admit } from "../../src/ssh/userauth/server.ts";
import * as agentWire from "../../src/ssh/wire/agent.ts";
import * as channels from "../../src/ssh/wire/connection.ts";
import * as transportWire from "../../src/ssh/wire/transport.ts";
import * as userauth from "../../src/ssh/wire/userauth.ts";
import { keyBlobs, ownKey } from "./decoders.ts";
import { pack, type Target, unpack } from "./target.ts";

const megabyte = 1024 * 1024;
/** How a connection may end because of its peer. `internal` would be ours. */
const endings = ["protocol", "unreachable", "access_denied", "limit_exceeded"] as const;
const none = new Uint8Array(0);
const signer = testSigner();

function judge(reason: unknown): void {
  if (reason !== undefined && !(reason instanceof Fault && endings.includes(reason.kind as "protocol")))
    throw reason;
}

/**
 * A transport and a stranger. The first byte says how far they got before: to nothing, to the version lines, or through an
 * honest key exchange; the rest is what the stranger then writes or sends.
 */
const transport = (role: "client" | "server"): Target => ({
  name: `transport-${role}`,
  seeds: () => {
    const { Ignore, Debug, ExtInfo, Ping, Pong, Disconnect, ServiceRequest, NewKeys } = transportWire;
    const peer = new RawPeer(streamPair()[0], role === "client" ? "server" : "client");
    const payloads = [
      Ignore.encode({ data: none }),
      Debug.encode({ alwaysDisplay: true, text: "text", language: "" }),
      ExtInfo.encode({ extensions: new Map([["server-sig-algs", Buffer.from("ssh-ed25519")]]) }),
      Ping.encode({ data: none }),
      Pong.encode({ data: none }),
      ServiceRequest.encode({ service: "ssh-userauth" }),
      peer.init(),
      NewKeys.encode({}),
      Disconnect.encode({ reason: 2, description: "x", language: "" }),
    ];
    return [
      Buffer.from("\0SSH-2.0-x\r\n\0\0\0\x0c\x0a\x02", "latin1"),
      ...[1, 2].flatMap((stage) =>
        [payloads, ...payloads.map((one) => [one])].map((list) =>
          Buffer.concat([Uint8Array.of(stage), pack(list)]),
        ),
      ),
    ];
  },
  async run(input) {
    const [near, far] = streamPair();
    far.on("error", () => {});
    const stop = new AbortController();
    const common = {
      ...{ stream: near, version: "Teleport", clock: new TestClock(), log: silentLog },
      signal: stop.signal,
      rekey: { bytes: 4096 },
    };
    const started: Promise<PacketTransport> =
      role === "client"
        ? startClientTransport({ ...common, parseHostKey: parseTestKey, verifyHost() {} })
        : startServerTransport({ ...common, hostKeys: [signer] });
    const outcome = started.then(
      async (up) => {
        up.receive(() => up.unimplemented());
        if ((input[1] ?? 0) & 1) up.authenticated();
        judge(await up.closed);
      },
      (reason: unknown) => judge(reason),
    );
    outcome.catch(() => {}); // looked at below
    const stage = (input[0] ?? 0) % 3;
    const peer = new RawPeer(far, role === "client" ? "server" : "client");
    if (stage === 0) far.write(input.subarray(1));
    else {
      await peer.versions();
      if (stage === 2) await peer.exchange({ algorithms: { kex: ["curve25519-sha256"] } });
      for (const payload of unpack(input.subarray(2))) peer.send(payload);
    }
    await settle(6);
    stop.abort();
    far.destroy();
    near.destroy();
    await outcome;
  },
  faults: [],
  slack: 4 * megabyte,
});

const login = (role: "client" | "server"): Target => ({
  name: `userauth-${role}`,
  seeds: () => {
    const ask = (methodName: string, request: Uint8Array): Uint8Array =>
      userauth.UserauthRequest.encode({
        ...{ userName: "root", serviceName: "ssh-connection", methodName, request },
      });
    const query = userauth.PublicKeyQuery.encode({
      hasSignature: false,
      algorithm: "ssh-ed25519",
      publicKey: ownKey.publicKey.blob,
    });
    const service = transportWire.ServiceRequest.encode({ service: "ssh-userauth" });
    const accepted = transportWire.ServiceAccept.encode({ service: "ssh-userauth" });
    const failure = userauth.UserauthFailure.encode({ canContinue: ["publickey"], partialSuccess: false });
    const okay = userauth.UserauthPkOk.encode({
      algorithm: "ssh-ed25519",
      publicKey: ownKey.publicKey.blob,
    });
    const banner = userauth.UserauthBanner.encode({ message: Buffer.from("hello"), languageTag: none });
    return role === "server"
      ? [
          pack([service, ask("none", none), ask("publickey", query)]),
          ...keyBlobs.map((publicKey) =>
            pack([
              service,
              ask(
                "publickey",
                userauth.PublicKeyQuery.encode({ hasSignature: false, algorithm: "ssh-ed25519", publicKey }),
              ),
            ]),
          ),
        ]
      : [pack([accepted, banner, failure, okay, userauth.UserauthSuccess.encode({})])];
  },
  async run(input) {
    const ends = packetPair();
    const [near, far] = role === "server" ? [ends.server, ends.client] : [ends.client, ends.server];
    const done: Promise<unknown> =
      role === "server"
        ? admit(near, { check: async () => "who" }, () => "in")
        : logIn(near, { user: "root", signers: [ownKey.signer()] }, () => "in");
    const outcome = done.then(
      () => {},
      (reason: unknown) => judge(reason),
    );
    outcome.catch(() => {}); // looked at below
    for (const payload of unpack(input)) {
      far.send(payload);
      await settle(1);
    }
    await settle();
    ends.server.cut();
    await outcome;
  },
  faults: [],
  slack: megabyte,
});

const connection = (role: "client" | "server"): Target => ({
  name: `connection-${role}`,
  seeds: () => {
    const to = { recipientChannel: 0 };
    const open = (channelType: string): Uint8Array =>
      channels.ChannelOpen.encode({
        ...{ channelType, senderChannel: 3, initialWindow: 1000, maxPacket: 100, open: none },
      });
    const request = (requestType: string): Uint8Array =>
      channels.ChannelRequestMessage.encode({ ...to, requestType, wantReply: true, request: none });
    const global = (requestName: string): Uint8Array =>
      channels.GlobalRequest.encode({ requestName, wantReply: true, request: none });
    const confirmation = channels.ChannelOpenConfirmation.encode({
      ...to,
      ...{ senderChannel: 9, initialWindow: 50, maxPacket: 10, open: none },
    });
    const data = channels.ChannelData.encode({ ...to, data: Buffer.from("data") });
    const rest = [
      channels.ChannelWindowAdjust.encode({ ...to, bytesToAdd: 100 }),
      channels.ChannelExtendedData.encode({ ...to, dataType: 1, data: Buffer.from("err") }),
      request("exec"),
      request("keepalive@openssh.com"),
      channels.ChannelSuccess.encode(to),
      channels.ChannelEof.encode(to),
      channels.ChannelClose.encode(to),
    ];
    return [
      pack([open("session"), data, ...rest]),
      pack([confirmation, data, ...rest]),
      pack([
        open("session"),
        open("refused"),
        global("x"),
        global("no-more-sessions@openssh.com"),
        open("session"),
      ]),
      ...[data, ...rest].map((one) => pack([open("session"), one])),
      pack([channels.RequestSuccess.encode({ response: none }), channels.RequestFailure.encode({})]),
    ];
  },
  async run(input) {
    const ends = packetPair();
    const [near, far] = role === "server" ? [ends.server, ends.client] : [ends.client, ends.server];
    const limits = { maxChannels: 8, maxBuffered: megabyte };
    const up = openConnection(near, { limits, clock: new TestClock(), log: silentLog });
    up.onRequest((name) => name === "x");
    up.onOpen(async (asked) => {
      if (asked.kind === "refused") return asked.reject(1, "no");
      const channel = asked.accept();
      channel.onRequest((name) => name === "exec");
      // Gives back what it gets, on both of its outputs.
      void (async () => {
        for await (const chunk of channel) {
          await channel.write(chunk);
          await channel.writeStderr(chunk);
        }
        await channel.end();
        await channel.close();
      })().catch(judge);
    });
    const own = up.open("own").then(
      async ({ channel }) => {
        channel.request("shell", none, true).catch(judge);
        await channel.write(new Uint8Array(100));
        await channel.close({ discard: true });
      },
      (reason: unknown) => judge(reason),
    );
    own.catch((reason: unknown) => judge(reason));
    up.request("hello", none, true).catch(judge);
    for (const payload of unpack(input)) far.send(payload);
    await settle(8);
    ends.server.cut();
    judge(await up.closed);
  },
  faults: [],
  slack: 4 * megabyte,
});

const agentServer: Target = {
  name: "agent-server",
  seeds: () => {
    const messages = [
      agentWire.RequestIdentities.encode({}),
      agentWire.SignRequest.encode({ key: ownKey.publicKey.blob, data: Buffer.from("data"), flags: 0 }),
      agentWire.RemoveIdentity.encode({ key: ownKey.publicKey.blob }),
      agentWire.RemoveAllIdentities.encode({}),
    ];
    return [pack(messages), ...messages.map((one) => pack([one]))];
  },
  async run(input) {
    const [near, far] = streamPair();
    far.on("error", () => {});
    const keyring = new Keyring({ clock: new TestClock() });
    keyring.add({ signer: ownKey.signer(), comment: "mine" });
    const done = serveAgent(near, keyring, { peer: "owner" });
    done.catch(() => {}); // looked at below
    far.resume();
    for (const message of unpack(input)) {
      const head = Buffer.alloc(4);
      head.writeUInt32BE(message.length);
      far.write(Buffer.concat([head, message]));
    }
    far.end();
    await done;
  },
  faults: ["protocol", "unreachable"],
  slack: megabyte,
};

/** What an agent answers to a list and a signature. */
const agentClient: Target = {
  name: "agent-client",
  seeds: () => [
    pack([
      agentWire.IdentitiesAnswer.encode({ keys: [{ key: ownKey.publicKey.blob, comment: "a" }] }),
      agentWire.SignResponse.encode({ signature: Buffer.from("signature") }),
    ]),
    pack([agentWire.AgentFailure.encode({})]),
  ],
  async run(input) {
    const [near, far] = streamPair();
    far.on("error", () => {});
    for (const message of unpack(input)) {
      const head = Buffer.alloc(4);
      head.writeUInt32BE(message.length);
      far.write(Buffer.concat([head, message]));
    }
    far.end();
    using client = new AgentClient(near);
    const [first] = await client.identities();
    await first?.sign(Buffer.from("data"), "ssh-ed25519");
  },
  faults: ["protocol", "unreachable", "access_denied", "bad_parameter"],
  slack: megabyte,
};

export const machines: readonly Target[] = [
  ...(["client", "server"] as const).flatMap((role) => [transport(role), login(role), connection(role)]),
  agentServer,
  agentClient,
];
