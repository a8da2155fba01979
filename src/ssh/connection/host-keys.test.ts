import assert from "node:assert/strict";
import { before, suite, test } from "node:test";
import { TestClock } from "#core/clock";
import { silentLog } from "#core/log";
import { generateKey, issueCertificate, noExpiry, type PrivateKey } from "../keys/index.ts";
import { packetPair, settle } from "../testing/packet-pair.ts";
import { Reader, Writer } from "../wire/codec.ts";
import { GlobalRequest } from "../wire/connection.ts";
import { openConnection } from "./connection.ts";

let one: PrivateKey;
let two: PrivateKey;
let other: PrivateKey;
before(async () => {
  one = await generateKey("ed25519");
  two = await generateKey("ecdsa-p256");
  other = await generateKey("ed25519");
});

const list = (blobs: readonly Uint8Array[]): Uint8Array => {
  const w = new Writer();
  for (const blob of blobs) w.string(blob);
  return w.finish();
};

function serve(hostKeys: readonly ReturnType<PrivateKey["signer"]>[]) {
  const ends = packetPair();
  const common = { clock: new TestClock(), log: silentLog };
  openConnection(ends.server, { ...common, hostKeys });
  const client = openConnection(ends.client, common);
  return { client, ends };
}

suite("host keys told after the login (OpenSSH PROTOCOL §2.5)", () => {
  test("the plain keys are announced once, without a reply; certificates are not", async () => {
    const certificate = await issueCertificate(
      {
        key: one.publicKey,
        type: "host",
        keyId: "h",
        serial: 1n,
        principals: ["h"],
        validAfter: 0n,
        validBefore: noExpiry,
      },
      other.signer(),
    );
    const { ends } = serve([one.signer(certificate), one.signer(), two.signer()]);
    await settle();
    const told = ends.client.received.map((payload) => GlobalRequest.decode(payload));
    assert.equal(told.length, 1);
    assert.equal(told[0]?.requestName, "hostkeys-00@openssh.com");
    assert.equal(told[0]?.wantReply, false);
    const blobs = list([one.publicKey.blob, two.publicKey.blob]);
    assert.deepEqual(Buffer.from(told[0]?.request ?? []), Buffer.from(blobs));
  });

  test("a server of certificates alone announces nothing", async () => {
    const { ends } = serve([]);
    await settle();
    assert.deepEqual(ends.client.received, []);
  });

  test("each key asked for signs this very session", async () => {
    const { client, ends } = serve([one.signer(), two.signer()]);
    const asked = [two.publicKey, one.publicKey];
    const reply = await client.request(
      "hostkeys-prove-00@openssh.com",
      list(asked.map(({ blob }) => blob)),
      true,
    );
    const r = new Reader(reply ?? new Uint8Array(0));
    for (const key of asked) {
      const signed = list([Buffer.from("hostkeys-prove-00@openssh.com"), ends.server.sessionId, key.blob]);
      assert.ok(key.verify(signed, r.string(), key.algorithms[0] as string));
    }
    assert.equal(r.left, 0);
  });

  for (const [what, request] of [
    ["nothing", () => new Uint8Array(0)],
    ["a key of somebody else", () => list([one.publicKey.blob, other.publicKey.blob])],
    ["bytes that are no list", () => Uint8Array.of(0, 0, 0, 9, 1)],
    ["very many keys", () => list(Array.from({ length: 40 }, () => one.publicKey.blob))],
  ] as const) {
    test(`no proof of ${what}, and the connection goes on`, async () => {
      const { client, ends } = serve([one.signer()]);
      assert.equal(await client.request("hostkeys-prove-00@openssh.com", request(), true), undefined);
      assert.ok(await client.request("keepalive@openssh.com", new Uint8Array(0), true));
      assert.equal(ends.server.disconnected, undefined);
    });
  }
});
