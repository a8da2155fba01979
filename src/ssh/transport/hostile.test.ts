import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { second, TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { silentLog } from "#core/log";
import { clearSealer } from "../crypto/cipher/cipher.ts";
import { RawPeer } from "../testing/raw-peer.ts";
import { streamPair, type Tamper } from "../testing/stream-pair.ts";
import { parseTestKey, testSigner } from "../testing/test-key.ts";
import {
  Debug,
  ExtInfo,
  Ignore,
  NewKeys,
  Ping,
  Pong,
  ServiceAccept,
  ServiceRequest,
  Unimplemented,
} from "../wire/transport.ts";
import type { PacketTransport } from "./packets.ts";
import { startClientTransport, startServerTransport } from "./start.ts";

const ignore = Ignore.encode({ data: new Uint8Array(4) });
const extensions = ExtInfo.encode({ extensions: new Map([["server-sig-algs", Buffer.from("ssh-dss")]]) });
const userauthRequest = Uint8Array.of(50, 0, 0, 0, 0);
const oldKex = { kex: ["curve25519-sha256"] };
const isProtocol = (err: unknown): boolean => Fault.is(err, "protocol");

/** Our side in `role`, facing a peer that does as it is told. */
async function facing(role: "client" | "server", rekey = {}, change?: Tamper) {
  const [near, far] = streamPair(change ? { toA: change } : {});
  const clock = new TestClock();
  const stop = new AbortController();
  const common = { stream: near, version: "Teleport", clock, log: silentLog, signal: stop.signal, rekey };
  const started: Promise<PacketTransport> =
    role === "client"
      ? startClientTransport({ ...common, parseHostKey: parseTestKey, verifyHost() {} })
      : startServerTransport({ ...common, hostKeys: [testSigner()] });
  started.catch(() => {}); // looked at later
  const peer = new RawPeer(far, role === "client" ? "server" : "client");
  await peer.versions();
  return { started, peer, clock, stop, near };
}

/** The same, after an honest first key exchange. */
async function keyed(role: "client" | "server", rekey = {}, change?: Tamper) {
  const all = await facing(role, rekey, change);
  await all.peer.exchange({ algorithms: oldKex });
  if (role === "server") await all.peer.until(ExtInfo.id);
  return { ...all, transport: await all.started };
}

const bothRoles = ["client", "server"] as const;

for (const role of bothRoles) {
  suite(`transport, hostile peer of our ${role}`, () => {
    test("S01: IGNORE before KEXINIT ends a strict key exchange", async () => {
      const { peer, started } = await facing(role);
      peer.send(ignore);
      await Promise.allSettled([peer.exchange({ algorithms: oldKex })]);
      await assert.rejects(started, /came before the first message/);
    });

    test("S01: IGNORE before NEWKEYS ends a strict key exchange", async () => {
      const { peer, started } = await facing(role);
      await Promise.allSettled([peer.exchange({ algorithms: oldKex, beforeNewKeys: ignore })]);
      await assert.rejects(started, /message 2 in the middle of a key exchange/);
    });

    test("S01: sequence numbers begin again at every NEWKEYS of a strict connection", async () => {
      const { peer, transport } = await keyed(role);
      const chacha = { ...oldKex, ciphers: ["chacha20-poly1305@openssh.com"] };
      peer.send(ignore);
      await peer.exchange({ algorithms: chacha }); // the nonce of this cipher is the sequence number
      const got = Promise.withResolvers<Uint8Array>();
      transport.receive(got.resolve);
      peer.send(userauthRequest);
      assert.deepEqual(await got.promise, userauthRequest);
      assert.equal(peer.writer.sequence, 1);
      transport.send(userauthRequest);
      assert.deepEqual(await peer.until(50), userauthRequest);
    });

    test("a peer without strict key exchange may say IGNORE at any time", async () => {
      const { peer, started } = await facing(role);
      const init = peer.init(oldKex, (own) => ({
        ...own,
        kex: own.kex.filter((name) => !name.startsWith("kex-strict")),
      }));
      peer.send(ignore);
      await peer.exchange({ algorithms: oldKex, init, beforeNewKeys: ignore });
      const transport = await started;
      transport.send(userauthRequest);
      assert.deepEqual(await peer.until(50), userauthRequest);
    });

    for (const [what, payload] of [
      ["EXT_INFO", extensions],
      ["SERVICE_REQUEST", ServiceRequest.encode({ service: "ssh-userauth" })],
      ["SERVICE_ACCEPT", ServiceAccept.encode({ service: "ssh-userauth" })],
      ["USERAUTH_REQUEST", userauthRequest],
      ["PING", Ping.encode({ data: new Uint8Array(1) })],
    ] as const) {
      for (const when of ["before KEXINIT", "before NEWKEYS"]) {
        test(`S02: ${what} ${when} ends the connection and changes nothing`, async () => {
          const { peer, started } = await facing(role);
          const init = peer.init(oldKex, (own) => ({
            ...own,
            kex: own.kex.filter((name) => !name.startsWith("kex-strict")),
          }));
          if (when === "before KEXINIT") peer.send(payload);
          await Promise.allSettled([peer.exchange({ algorithms: oldKex, init, beforeNewKeys: payload })]);
          await assert.rejects(started, isProtocol);
        });
      }
    }

    test("S02: EXT_INFO at another time than its own ends the connection", async () => {
      const { peer, transport } = await keyed(role);
      if (role === "client") transport.authenticated();
      else peer.send(ignore);
      peer.send(extensions);
      assert.ok(isProtocol(await transport.closed));
      assert.equal(transport.extensions.size, 0);
    });

    test("a key exchange message outside a key exchange ends the connection", async () => {
      const { peer, transport } = await keyed(role);
      peer.send(NewKeys.encode({}));
      assert.ok(isProtocol(await transport.closed));
    });

    test("S06: a packet without payload ends the connection", async () => {
      for (const padding of [11, 12, 255, 3]) {
        const forge = (slab: Buffer, at: number): void => void slab.writeUInt8(padding, at + 4);
        const { peer, started } = await facing(role);
        peer.writer.switch({ ...clearSealer, seal: forge }, false);
        peer.send(Uint8Array.of(2, 0, 0, 0, 0)); // 12 bytes: padding length, payload, 6 of padding
        await assert.rejects(started, /all padding/);
      }
    });

    for (const length of [0xffff_ffff, 0x8000_0000, 35_004, 0, 1, 4, 13]) {
      test(`S07: a packet length of ${length} is refused before anything is set aside for it`, async () => {
        const { peer, started } = await facing(role);
        const before = process.memoryUsage().arrayBuffers;
        const head = Buffer.alloc(16);
        head.writeUInt32BE(length);
        peer.stream.write(head);
        await assert.rejects(started, new RegExp(`says it is ${length} bytes`));
        assert.ok(process.memoryUsage().arrayBuffers - before < 1_000_000);
      });
    }

    test("S07: a string longer than its packet is refused", async () => {
      const { peer, started } = await facing(role);
      const init = peer.init(oldKex);
      init.set([0xff, 0xff, 0xff, 0xff], 17);
      peer.send(init);
      await assert.rejects(started, isProtocol);
    });

    test("S09: a peer that never answers a re-key is held to the limit of time, and what waits to the limit of size", async () => {
      const { peer, transport, clock } = await keyed(role, { bytes: 1000 });
      transport.authenticated();
      const packet = new Uint8Array(30_000).fill(90);
      transport.send(packet);
      await peer.until(20);
      let sent = 0;
      while (transport.send(packet)) sent += packet.length;
      assert.ok(sent < 2 * 1024 * 1024, "told to wait early");
      assert.equal(clock.sleeping, 1);
      await clock.advance(61 * second);
      assert.match(String((await transport.closed)?.message), /did not finish a key exchange in time/);
      assert.equal(transport.buffered, 0);
      assert.equal(clock.sleeping, 0);
    });

    test("S09: who does not heed the sign to wait is ended before memory is", async () => {
      const { peer, transport } = await keyed(role, { bytes: 1000 });
      transport.authenticated();
      const packet = new Uint8Array(30_000).fill(90);
      transport.send(packet);
      await peer.until(20);
      for (let i = 0; i < 2000; i++) transport.send(packet);
      assert.ok(Fault.is(await transport.closed, "limit_exceeded"));
      assert.equal(transport.buffered, 0);
    });

    test("S09: a peer that begins a key exchange and does not go on is held to the limit of time", async () => {
      const { peer, transport, clock } = await keyed(role);
      transport.authenticated();
      peer.send(peer.init(oldKex));
      await peer.until(20);
      for (let i = 0; i < 20 && transport.buffered === 0; i++)
        transport.send(new Uint8Array(30_000).fill(90));
      await clock.advance(61 * second);
      assert.match(String((await transport.closed)?.message), /did not finish a key exchange in time/);
      assert.equal(transport.buffered, 0);
    });

    test("S13: before the login nobody has us make keys again and again", async () => {
      const { peer, transport } = await keyed(role);
      for (let i = 0; i < 3; i++) await peer.exchange({ algorithms: oldKex });
      peer.send(peer.init(oldKex));
      assert.match(String((await transport.closed)?.message), /too many key exchanges before the login/);
    });

    test("after the login new keys are made as often as the peer likes", async () => {
      const { peer, transport } = await keyed(role);
      transport.authenticated();
      for (let i = 0; i < 10; i++) await peer.exchange({ algorithms: oldKex });
      transport.send(userauthRequest);
      assert.deepEqual(await peer.until(50), userauthRequest);
    });

    test("PING is answered with PONG and the same data, in order with the rest (OpenSSH PROTOCOL §1.9)", async () => {
      const { peer, transport } = await keyed(role);
      transport.receive(() => transport.send(userauthRequest));
      for (const data of [Buffer.from("one"), new Uint8Array(0), Buffer.alloc(20_000, 7)]) {
        peer.send(Ping.encode({ data }));
        peer.send(userauthRequest);
        assert.deepEqual(Buffer.from(Pong.decode(await peer.next()).data), Buffer.from(data));
        assert.equal((await peer.next())[0], 50);
      }
    });

    test("S10: PONG, UNIMPLEMENTED, IGNORE and DEBUG that nobody asked for change nothing", async () => {
      const { peer } = await keyed(role);
      for (let i = 0; i < 2000; i++) {
        peer.writer.packet(Pong.encode({ data: new Uint8Array(9) }));
        peer.writer.packet(Unimplemented.encode({ sequence: i }));
        peer.writer.packet(ignore);
        peer.writer.packet(Debug.encode({ alwaysDisplay: true, text: "\x1b[2J", language: "" }));
      }
      peer.writer.flush();
      peer.send(Ping.encode({ data: new Uint8Array(0) }));
      assert.equal((await peer.next())[0], Pong.encode({ data: new Uint8Array(0) })[0]);
    });

    test("an unknown message is answered with its own sequence number", async () => {
      const { peer, transport } = await keyed(role);
      transport.receive(() => transport.unimplemented());
      peer.send(ignore);
      const before = peer.writer.sequence;
      peer.send(Uint8Array.of(9));
      peer.send(Uint8Array.of(150));
      for (const sequence of [before, before + 1])
        assert.equal(Unimplemented.decode(await peer.next()).sequence, sequence);
    });

    test("S13: a peer that asks and never reads is ended", async () => {
      const { peer, transport } = await keyed(role);
      peer.stream.pause();
      const ping = Ping.encode({ data: new Uint8Array(2000) });
      for (let i = 0; i < 3000; i++) peer.writer.packet(ping);
      peer.writer.flush();
      assert.match(String((await transport.closed)?.message), /does not read the answers/);
    });

    test("S13, S14: a handshake that stands still ends with its signal and leaves nothing behind", async () => {
      const { started, stop, near, clock } = await facing(role);
      stop.abort(new Fault("limit_exceeded", "too slow"));
      await assert.rejects(started, /too slow/);
      near.destroy();
      await new Promise((resolve) => near.once("close", resolve));
      for (const event of ["data", "end", "error", "close"])
        assert.equal(near.listenerCount(event), 0, event);
      assert.equal(clock.sleeping, 0);
    });

    test("S15: compression is not agreed on", async () => {
      const { peer, started } = await facing(role);
      peer.send(
        peer.init(oldKex, (own) => ({
          ...own,
          compressionToClient: ["zlib@openssh.com", "zlib"],
          compressionToServer: ["zlib@openssh.com", "zlib"],
        })),
      );
      await assert.rejects(started, /no common compression/);
    });

    for (const at of [0, 3, 4, 10, -1]) {
      test(`an encrypted packet whose byte ${at} was changed ends the connection unread`, async () => {
        let flip = false;
        const change = (chunk: Buffer): Buffer[] => {
          if (flip) chunk[(chunk.length + at) % chunk.length] = (chunk.at(at) as number) ^ 0x10;
          return [chunk];
        };
        const { peer, transport } = await keyed(role, {}, change);
        let handled = 0;
        transport.receive(() => handled++);
        flip = true;
        peer.send(userauthRequest);
        assert.ok(isProtocol(await transport.closed));
        assert.equal(handled, 0);
      });
    }

    if (role === "server") {
      test("a key exchange packet that the client sent on a wrong guess is skipped", async () => {
        const { peer, started } = await facing(role);
        const init = peer.init(oldKex, (own) => ({
          ...own,
          kex: ["wrong-guess@example.com", ...own.kex],
          firstKexPacketFollows: true,
        }));
        const done = peer.exchange({ algorithms: oldKex, init, afterInit: Uint8Array.of(30, 1, 2, 3) });
        await Promise.all([done, started]);
      });
    }

    test("nobody is asked for new keys before login, however much is sent", async () => {
      const { peer, transport } = await keyed(role, { bytes: 1000 });
      for (let i = 0; i < 10; i++) transport.send(new Uint8Array(500).fill(90));
      for (let i = 0; i < 10; i++) assert.equal((await peer.next())[0], 90);
      transport.authenticated();
      transport.send(userauthRequest);
      assert.equal((await peer.next())[0], 50);
      assert.equal((await peer.next())[0], 20);
    });

    test("two KEXINITs in one key exchange end the connection", async () => {
      const { peer, transport } = await keyed(role);
      peer.send(peer.init(oldKex));
      peer.send(peer.init(oldKex));
      assert.ok(isProtocol(await transport.closed));
    });

    test("data between the peer's KEXINIT and NEWKEYS ends the connection", async () => {
      const { peer, transport } = await keyed(role);
      peer.send(peer.init(oldKex));
      peer.send(userauthRequest);
      assert.match(String((await transport.closed)?.message), /message 50 in the middle/);
    });
  });
}
