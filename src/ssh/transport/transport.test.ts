import assert from "node:assert/strict";
import { connect, createServer, type ServerOpts } from "node:net";
import type { Duplex } from "node:stream";
import { after, suite, test } from "node:test";
import { hour, TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { memoryLog, silentLog } from "#core/log";
import { ciphers, keyExchanges, macs } from "../crypto/algorithms.ts";
import type { PublicKey, Signer } from "../keys/key.ts";
import type { Algorithms, RekeyLimits } from "../server.ts";
import { pieces, streamPair, type Tamper } from "../testing/stream-pair.ts";
import { parseTestKey, testSigner } from "../testing/test-key.ts";
import type { PacketTransport } from "./packets.ts";
import { type ClientTransportOptions, startClientTransport, startServerTransport } from "./start.ts";

const host = testSigner();
const stops: AbortController[] = [];
after(() => {
  for (const stop of stops) stop.abort();
});

async function connected(
  options: {
    algorithms?: Algorithms;
    tamper?: { toA?: Tamper; toB?: Tamper };
    rekey?: { client?: RekeyLimits; server?: RekeyLimits };
    streams?: [Duplex, Duplex];
    verifyHost?: (key: PublicKey) => void | Promise<void>;
    preamble?: ClientTransportOptions["preamble"];
  } = {},
) {
  const [a, b] = options.streams ?? streamPair(options.tamper);
  const stop = new AbortController();
  stops.push(stop);
  const clock = new TestClock();
  const log = memoryLog();
  const common = {
    version: "Teleport",
    clock,
    log,
    signal: stop.signal,
    ...(options.algorithms ? { algorithms: options.algorithms } : {}),
  };
  const [client, server] = await Promise.all([
    startClientTransport({
      ...common,
      stream: a,
      parseHostKey: parseTestKey,
      verifyHost: options.verifyHost ?? (() => {}),
      rekey: options.rekey?.client ?? {},
      ...(options.preamble ? { preamble: options.preamble } : {}),
    }),
    startServerTransport({ ...common, stream: b, hostKeys: [host], rekey: options.rekey?.server ?? {} }),
  ]);
  return { client, server, stop, clock, log, a, b };
}

const textOf = (bytes: Uint8Array = new Uint8Array(0)): string => Buffer.from(bytes).toString();

const received = (transport: PacketTransport, count: number): Promise<string[]> => {
  const all: string[] = [];
  return new Promise((resolve) =>
    transport.receive((payload) => {
      all.push(payload.toHex());
      if (all.length === count) resolve(all);
    }),
  );
};

suite("transport, both sides ours", () => {
  for (const kex of keyExchanges) {
    for (const cipher of ciphers) {
      for (const mac of cipher.aead ? [undefined] : macs) {
        // How the bytes are cut has to do with the cipher, not with the key exchange.
        const cuts =
          kex === keyExchanges[0]
            ? ([
                ["whole", 2 ** 20],
                ["byte by byte", 1],
              ] as const)
            : ([["whole", 2 ** 20]] as const);
        for (const [how, size] of cuts) {
          test(`${kex.name}, ${cipher.name}${mac ? `, ${mac.name}` : ""}, ${how}`, async () => {
            const { client, server } = await connected({
              algorithms: { kex: [kex.name], ciphers: [cipher.name], ...(mac ? { macs: [mac.name] } : {}) },
              tamper: { toA: pieces(size), toB: pieces(size) },
            });
            const payloads = [1, 15, 16, 17, 300, 2000].map((n) => new Uint8Array(n).fill(n).with(0, 90));
            const want = payloads.map((payload) => payload.toHex());
            const atServer = received(server, want.length);
            const atClient = received(client, want.length);
            for (const payload of payloads) {
              client.send(payload.subarray(0, 1), payload.subarray(1));
              server.send(payload);
            }
            assert.deepEqual(await atServer, want);
            assert.deepEqual(await atClient, want);
            assert.deepEqual(client.sessionId, server.sessionId);
          });
        }
      }
    }
  }
});

/** Sends `count` numbered packets of `size` bytes, heeding the sign to wait. */
async function sendAll(transport: PacketTransport, count: number, size: number): Promise<void> {
  const head = Buffer.alloc(5, 94);
  const data = Buffer.alloc(size);
  for (let i = 0; i < count; i++) {
    head.writeUInt32BE(i, 1);
    data.fill(i & 0xff);
    if (!transport.send(head, data)) await transport.drain();
  }
}

/** Resolves when `count` packets of `sendAll` have come, in order and unharmed. */
const receiveAll = (transport: PacketTransport, count: number, size: number): Promise<void> =>
  new Promise((resolve, reject) => {
    let next = 0;
    void transport.closed.then((fault) => reject(fault ?? new Error("closed")));
    transport.receive((payload) => {
      const got = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
      assert.equal(got.readUInt32BE(1), next);
      assert.equal(got.length, 5 + size);
      assert.equal(got[5], next & 0xff);
      assert.equal(got.at(-1), next & 0xff);
      if (++next === count) resolve();
    });
  });

async function socketPair(options: ServerOpts = {}): Promise<[Duplex, Duplex]> {
  const server = createServer(options);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const accepted = new Promise<Duplex>((resolve) => server.once("connection", resolve));
  const dialled = connect((server.address() as { port: number }).port, "127.0.0.1");
  const pair: [Duplex, Duplex] = [dialled, await accepted];
  server.close();
  return pair;
}

suite("transport, re-keying", () => {
  for (const [how, rekey] of [
    ["asked by the client", { client: { bytes: 100_000 } }],
    ["asked by the server", { server: { bytes: 100_000 } }],
    ["asked by both", { client: { bytes: 100_000 }, server: { bytes: 100_000 } }],
  ] as const) {
    for (const cipher of ["aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes128-ctr"]) {
      test(`${how} in the middle of bulk data both ways, over TCP, ${cipher}`, async () => {
        const streams = await socketPair();
        const { client, server, log } = await connected({
          rekey,
          algorithms: { ciphers: [cipher] },
          streams,
        });
        const sessionId = client.sessionId.toHex();
        client.authenticated();
        server.authenticated();
        const [count, size] = [300, 20_000];
        await Promise.all([
          receiveAll(client, count, size),
          receiveAll(server, count, size),
          sendAll(client, count, size),
          sendAll(server, count, size),
        ]);
        const exchanges = log.lines.filter(({ message }) => message === "ssh algorithms agreed").length / 2;
        assert.ok(exchanges >= 3, `${exchanges} key exchanges`);
        assert.equal(client.sessionId.toHex(), sessionId);
        assert.equal(server.sessionId.toHex(), sessionId);
      });
    }
  }

  test("asked for before it is time: not before login, and once for both who ask at a time", async () => {
    const { client, server, log } = await connected();
    const exchanges = () => log.lines.filter(({ message }) => message === "ssh algorithms agreed").length / 2;
    client.rekey();
    client.authenticated();
    server.authenticated();
    // What the client sends arrives behind an exchange that it had begun.
    await Promise.all([receiveAll(server, 1, 10), sendAll(client, 1, 10)]);
    assert.equal(exchanges(), 1);
    client.rekey();
    server.rekey();
    client.rekey();
    await Promise.all([
      receiveAll(client, 5, 10),
      receiveAll(server, 5, 10),
      sendAll(client, 5, 10),
      sendAll(server, 5, 10),
    ]);
    assert.equal(exchanges(), 2);
  });

  test("a host that shows the key it was accepted with is not asked about again", async () => {
    let asked = 0;
    const { client, server } = await connected({
      rekey: { server: { bytes: 1000 } },
      verifyHost: () => void asked++,
    });
    server.authenticated();
    client.authenticated();
    const all = receiveAll(client, 20, 500);
    await sendAll(server, 20, 500);
    await all;
    assert.equal(asked, 1);
    assert.deepEqual(client.hostKey?.blob, host.publicKey.blob);
  });

  test("an hour under the same keys is enough", async () => {
    let toServer = 0;
    const count: Tamper = function* (chunk) {
      toServer += chunk.length;
      yield chunk;
    };
    const { client, server, clock } = await connected({ tamper: { toB: count } });
    client.authenticated();
    server.authenticated();
    await clock.advance(hour - 1);
    const before = toServer;
    await clock.advance(1);
    const echo = received(client, 1);
    server.receive((payload) => server.send(payload));
    client.send(Uint8Array.of(90));
    assert.deepEqual(await echo, ["5a"]);
    assert.ok(toServer - before > 1000, "a KEXINIT and more has gone by");
  });
});

suite("transport, life and end", () => {
  test("a socket that was held until it had an owner is read", { timeout: 10_000 }, async () => {
    const { client, server } = await connected({ streams: await socketPair({ pauseOnConnect: true }) });
    client.send(Uint8Array.of(90, 1));
    assert.deepEqual(await received(server, 1), ["5a01"]);
    client.disconnect(11, "done");
  });

  test("payloads that come before anybody listens are kept", async () => {
    const { client, server } = await connected();
    for (let i = 0; i < 10; i++) client.send(Uint8Array.of(90, i));
    await new Promise((resolve) => setImmediate(resolve));
    const all = await received(server, 10);
    assert.deepEqual(all, ["5a00", "5a01", "5a02", "5a03", "5a04", "5a05", "5a06", "5a07", "5a08", "5a09"]);
  });

  test("DISCONNECT is an orderly end for both, and carries its reason", async () => {
    const { client, server } = await connected();
    server.disconnect(11, "good bye");
    assert.equal(await server.closed, undefined);
    assert.equal(await client.closed, undefined);
    assert.equal(client.send(Uint8Array.of(90)), false);
    await client.drain();
  });

  test("DISCONNECT for a reason is a fault with the peer's words, made printable", async () => {
    const { client, server } = await connected();
    server.disconnect(12, "too many\u001b[2J of you");
    const fault = await client.closed;
    assert.ok(Fault.is(fault, "unreachable"));
    assert.equal(fault.message, "the other side ended the connection: too many?[2J of you");
    assert.equal(fault.details.reason, 12);
  });

  test("a stream that ends without DISCONNECT is unreachable", async () => {
    const { client, b } = await connected();
    b.end();
    assert.ok(Fault.is(await client.closed, "unreachable"));
  });

  test("a stream that breaks is unreachable, on TCP too", async () => {
    const streams = await socketPair();
    const { client, server } = await connected({ streams });
    streams[1].destroy(new Error("cable cut"));
    assert.match(String((await server.closed)?.message), /cable cut/);
    assert.ok(Fault.is(await client.closed, "unreachable"));
  });

  test("the peer reads why it was ended, also over TCP with data under way", async () => {
    const streams = await socketPair();
    const { client, server } = await connected({ streams });
    for (let i = 0; i < 10; i++) client.send(new Uint8Array(10_000).fill(90));
    server.receive(() => {
      throw new Fault("protocol", "I did not ask for this");
    });
    assert.ok(Fault.is(await server.closed, "protocol"));
    assert.match(String((await client.closed)?.message), /I did not ask for this/);
  });

  test("an error that is no fault ends the connection and tells the peer nothing of it", async () => {
    const { client, server } = await connected();
    server.receive(() => {
      throw new TypeError("secret of the implementation");
    });
    client.send(Uint8Array.of(90));
    assert.ok(Fault.is(await server.closed, "internal"));
    assert.match(String((await client.closed)?.message), /internal error$/);
  });

  test("the signal ends a connection at any time", async () => {
    const { client, server, stop } = await connected();
    stop.abort();
    assert.ok(Fault.is(await client.closed, "unreachable"));
    await server.closed;
  });

  test("nothing stays on a stream or a clock that is done with", async () => {
    const { client, server, clock, a, b } = await connected();
    client.disconnect(11, "");
    await server.closed;
    for (const stream of [a, b]) {
      if (!stream.closed) await new Promise((resolve) => stream.once("close", resolve));
      await new Promise((resolve) => setImmediate(resolve));
      for (const event of ["data", "end", "error", "close"])
        assert.equal(stream.listenerCount(event), 0, event);
    }
    assert.equal(clock.sleeping, 0);
  });

  test("a host that is refused is told so, and the client gets the reason", async () => {
    const [a, b] = streamPair();
    const common = {
      version: "Teleport",
      clock: new TestClock(),
      log: silentLog,
      signal: new AbortController().signal,
    };
    const server = startServerTransport({ ...common, stream: b, hostKeys: [host] });
    const client = startClientTransport({
      ...common,
      stream: a,
      parseHostKey: parseTestKey,
      verifyHost: async () => {
        throw new Fault("access_denied", "I do not know this host");
      },
    });
    await assert.rejects(
      client,
      (err) => Fault.is(err, "access_denied") && err.message === "I do not know this host",
    );
    await assert.rejects(server, /I do not know this host/);
  });

  test("an unknown message is answered with UNIMPLEMENTED by whoever does not know it", async () => {
    const { client, server } = await connected();
    server.receive(() => server.unimplemented());
    client.send(Uint8Array.of(100));
    client.send(Uint8Array.of(9)); // the transport's own range
    client.send(Uint8Array.of(192, 0, 0, 0, 1, 7)); // PING
    server.send(Uint8Array.of(90));
    assert.deepEqual(await received(client, 1), ["5a"]);
  });

  test("the client learns what the server can verify", async () => {
    const { client, server } = await connected();
    server.send(Uint8Array.of(90));
    await received(client, 1);
    assert.match(textOf(client.extensions.get("server-sig-algs")), /^ssh-ed25519,.*rsa-sha2-512/);
    assert.equal(textOf(client.extensions.get("ping@openssh.com")), "0");
  });

  test("a sender is told to wait above 256 KiB and woken when it has gone", async () => {
    const { client, server } = await connected();
    let waits = 0;
    for (let i = 0; i < 200; i++) {
      if (client.send(new Uint8Array(30_000).fill(90))) continue;
      waits++;
      assert.ok(client.buffered >= 256 * 1024 && client.buffered < 300_000);
      const drained = client.drain();
      if (waits === 1) server.receive(() => {});
      await drained;
      assert.ok(client.buffered < 256 * 1024);
    }
    assert.ok(waits > 0);
  });

  for (const [how, preamble] of [
    ["bytes", Buffer.from('Teleport-Proxy{"clientAddr":"192.0.2.1:1234"}\0')],
    [
      "what the server's version calls for",
      (version: string) =>
        version.startsWith("SSH-2.0-Teleport")
          ? Buffer.from('Teleport-Proxy{"clientAddr":"192.0.2.1:1234"}\0')
          : undefined,
    ],
  ] as const) {
    test(`a proxy tells the client's address before its version line: ${how}`, async () => {
      const { server } = await connected({ preamble });
      assert.equal(server.brought?.clientAddress, "192.0.2.1:1234");
    });
  }

  test("a client that names no address has none", async () => {
    const { server } = await connected();
    assert.equal(server.brought?.clientAddress, undefined);
  });
});

suite("transport, the host's key", () => {
  const certType = "ssh-ed25519-cert-v01@openssh.com";
  /** The same key as if it were certified: what the blob says is not looked at here. */
  const certified: Signer = { ...host, publicKey: { ...host.publicKey, type: certType } };
  const asCertificate = (blob: Uint8Array): PublicKey => ({ ...parseTestKey(blob), type: certType });

  async function handshake(
    hostKeys: readonly Signer[],
    parseHostKey: (blob: Uint8Array) => PublicKey,
    algorithms: Algorithms = {},
  ) {
    const [a, b] = streamPair();
    const common = {
      version: "Teleport",
      clock: new TestClock(),
      log: silentLog,
      signal: AbortSignal.timeout(5000),
    };
    const seen: PublicKey[] = [];
    const server = startServerTransport({ ...common, stream: b, hostKeys });
    const client = startClientTransport({
      ...common,
      stream: a,
      algorithms,
      parseHostKey,
      verifyHost: (key) => void seen.push(key),
    });
    const [asClient] = await Promise.allSettled([client, server]);
    if (asClient.status === "fulfilled") {
      asClient.value.disconnect(11, "");
      return seen;
    }
    assert.deepEqual(seen, [], "a host that did not prove its key is not asked about");
    throw asClient.reason;
  }

  test("a certificate is shown to who can take it, the plain key to who cannot", async () => {
    const [first] = await handshake([certified, host], asCertificate);
    assert.equal(first?.type, certType);
    const [second] = await handshake([certified, host], parseTestKey, { hostKeys: ["ssh-ed25519"] });
    assert.equal(second?.type, "ssh-ed25519");
  });

  test("a plain key in place of the certificate that was agreed on is refused", async () => {
    await assert.rejects(
      handshake([certified], parseTestKey),
      /agreed on ssh-ed25519-cert.* and showed a key of type ssh-ed25519/,
    );
  });

  test("a certificate in place of the plain key that was agreed on is refused", async () => {
    await assert.rejects(handshake([host], asCertificate), /agreed on ssh-ed25519 and showed/);
  });

  for (const [what, sign] of [
    ["of other data", (_: Uint8Array) => host.sign(new Uint8Array(32), "ssh-ed25519")],
    ["by another key", (data: Uint8Array) => testSigner().sign(data, "ssh-ed25519")],
    ["under another algorithm's name", (data: Uint8Array) => host.sign(data, "ssh-ed448")],
  ] as const) {
    test(`a signature ${what} is refused`, async () => {
      await assert.rejects(
        handshake([{ ...host, sign }], parseTestKey),
        /signature of the key exchange is wrong/,
      );
    });
  }

  test("a server without a key for what is allowed does not start", async () => {
    await assert.rejects(
      startServerTransport({
        stream: streamPair()[0],
        version: "Teleport",
        clock: new TestClock(),
        log: silentLog,
        signal: new AbortController().signal,
        hostKeys: [host],
        algorithms: { hostKeys: ["rsa-sha2-512"] },
      }),
      (err) => Fault.is(err, "bad_parameter"),
    );
  });
});
