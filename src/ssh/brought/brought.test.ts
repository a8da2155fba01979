import assert from "node:assert/strict";
import { before, suite, test } from "node:test";
import { hour, minute, TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import {
  generateKey,
  issueCertificate,
  type PrivateKey,
  type PublicKey,
  type Signer,
  sameKey,
} from "../keys/index.ts";
import { introduce, maxBrought, readBrought, vouchedAddress } from "./index.ts";

const now = new TestClock().now();
const seconds = (ms: number): bigint => BigInt(Math.floor(ms / 1000));

suite("a proxy's word about the address of its client", () => {
  let ca: PrivateKey;
  let other: PrivateKey;
  let proxy: Signer;
  let signers: Record<"node" | "person" | "stranger", Signer>;

  before(async () => {
    [ca, other] = await Promise.all([generateKey("ed25519"), generateKey("ed25519")]);
    const certified = async (by: PrivateKey, type: "host" | "user", role: string): Promise<Signer> => {
      const key = await generateKey("ed25519");
      const certificate = await issueCertificate(
        {
          key: key.publicKey,
          type,
          keyId: "x",
          serial: 1n,
          principals: ["x"],
          validAfter: seconds(now - minute),
          validBefore: seconds(now + hour),
          extensions: new Map([["x-teleport-role", role]]),
        },
        by.signer(),
      );
      return key.signer(certificate);
    };
    proxy = await certified(ca, "host", "Proxy");
    signers = {
      node: await certified(ca, "host", "Node"),
      person: await certified(ca, "user", "Proxy"),
      stranger: await certified(other, "host", "Proxy"),
    };
  });

  const about = { audience: "node-1", user: "joe" };
  const isAuthority = (key: PublicKey): boolean => sameKey(key, ca.publicKey);
  const said = async (signer: Signer | undefined, address = "192.0.2.7:50022") => {
    const line = Buffer.from(await introduce(address, signer && { ...about, signer, now }));
    assert.equal(line.at(-1), 0);
    assert.ok(line.length < maxBrought);
    return readBrought(line.toString("utf8", "Teleport-Proxy".length, line.length - 1));
  };
  const refused = async (word: ReturnType<typeof said>, more: object = {}): Promise<void> => {
    const brought = await word;
    assert.throws(
      () => vouchedAddress(brought, { ...about, now, isAuthority, ...more }),
      (err) => err instanceof Fault && err.kind !== "internal",
    );
  };

  for (const [address, host] of [
    ["192.0.2.7:50022", "192.0.2.7"],
    ["[2001:db8::7]:50022", "2001:db8::7"],
  ] as const) {
    test(`is good for ${address} when a proxy has signed it`, async () => {
      const brought = await said(proxy, address);
      assert.equal(brought.clientAddress, address);
      assert.equal(vouchedAddress(brought, { ...about, now: now + 2 * minute, isAuthority }), host);
    });
  }

  test("S33: is worth nothing when nobody has signed it", () => refused(said(undefined)));
  test("S33: is worth nothing of a node, a person, or a proxy of another cluster", async () => {
    for (const signer of Object.values(signers)) await refused(said(signer));
  });
  test("S33: is worth nothing to another host, of another user, or later", async () => {
    await refused(said(proxy), { audience: "node-2" });
    await refused(said(proxy), { user: "ann" });
    await refused(said(proxy), { now: now + 4 * minute });
    await refused(said(proxy), { now: now - 4 * minute });
  });
  test("S33: is worth nothing when a byte of it is changed", async () => {
    const brought = await said(proxy);
    await refused(Promise.resolve({ ...brought, clientAddress: "192.0.2.8:50022" }));
    const { vouched = "" } = brought;
    for (let i = 0; i < vouched.length; i += 7) {
      const changed = `${vouched.slice(0, i)}${vouched[i] === "A" ? "B" : "A"}${vouched.slice(i + 1)}`;
      await refused(Promise.resolve({ ...brought, vouched: changed }));
    }
  });
});
