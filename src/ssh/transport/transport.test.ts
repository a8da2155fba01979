import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { TestClock } from "#core/clock";
import { silentLog } from "#core/log";
import { ciphers, keyExchanges, macs } from "../crypto/algorithms.ts";
import type { Algorithms } from "../server.ts";
import { pieces, streamPair, type Tamper } from "../testing/stream-pair.ts";
import { parseTestKey, testSigner } from "../testing/test-key.ts";
import type { PacketTransport } from "./packets.ts";
import { startClientTransport, startServerTransport } from "./start.ts";

const host = testSigner();

async function connected(options: { algorithms?: Algorithms; tamper?: { toA?: Tamper; toB?: Tamper } } = {}) {
  const [a, b] = streamPair(options.tamper);
  const stop = new AbortController();
  const common = {
    version: "Teleport",
    clock: new TestClock(),
    log: silentLog,
    signal: stop.signal,
    ...(options.algorithms ? { algorithms: options.algorithms } : {}),
  };
  const [client, server] = await Promise.all([
    startClientTransport({ ...common, stream: a, parseHostKey: parseTestKey, verifyHost() {} }),
    startServerTransport({ ...common, stream: b, hostKeys: [host] }),
  ]);
  return { client, server, stop };
}

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
        for (const [how, size] of [
          ["whole", 2 ** 20],
          ["byte by byte", 1],
        ] as const) {
          test(`${kex.name}, ${cipher.name}${mac ? `, ${mac.name}` : ""}, ${how}`, async () => {
            const { client, server, stop } = await connected({
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
            stop.abort();
          });
        }
      }
    }
  }
});
