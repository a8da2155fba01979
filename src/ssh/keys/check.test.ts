import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { suite, test } from "node:test";
import { minute, second } from "#core/clock";
import { Fault } from "#core/errors";
import { bytes, text, Writer } from "../wire/codec.ts";
import { CertificateBody, RsaKey } from "../wire/keys.ts";
import { certifiedAlgorithm } from "./algorithms.ts";
import { type CertificateCheck, checkCertificate } from "./check.ts";
import { type CertificateRequest, issueCertificate, noExpiry } from "./issue.ts";
import type { PublicKey, Signer } from "./key.ts";
import { generateKey } from "./private.ts";
import { parsePrivateKey } from "./private-text.ts";
import { parsePublicKey, sameKey } from "./public.ts";
import { parsePublicKeyLine } from "./text.ts";

const vector = (name: string): string =>
  readFileSync(new URL(`../../../test/vectors/keys/${name}`, import.meta.url), "utf8");
const publicKey = (name: string): PublicKey => parsePublicKeyLine(vector(`${name}.pub`)).key;

const now = Date.UTC(2026, 5, 1);
const seconds = (ms: number): bigint => BigInt(Math.floor(ms / 1000));
const authorities = ["ca-ed25519", "ca-rsa", "ca-ecdsa"].map(publicKey);
const isAuthority = (key: PublicKey): boolean => authorities.some((ca) => sameKey(ca, key));
const user: CertificateCheck = { type: "user", isAuthority, now };
const host: CertificateCheck = { ...user, type: "host" };

const ca = parsePrivateKey(vector("ca-ed25519")).key.signer();
const request: CertificateRequest = {
  key: publicKey("ed25519"),
  type: "user",
  keyId: "joe",
  serial: 1n,
  principals: ["joe"],
  validAfter: seconds(now) - 60n,
  validBefore: seconds(now) + 3600n,
};

const denied =
  (why: RegExp) =>
  (err: unknown): boolean =>
    Fault.is(err, "access_denied") && why.test(err.message);
const refused =
  (why: RegExp) =>
  (err: unknown): boolean =>
    Fault.is(err, "bad_parameter") && why.test(err.message);

/** A certificate that no issuer of ours would make. */
async function forge(change: Partial<CertificateRequest>, signer: Signer = ca): Promise<PublicKey> {
  const says = { criticalOptions: new Map(), extensions: new Map(), ...request, ...change };
  const key = new Writer();
  key.bytes(says.key.blob.subarray(4 + says.key.type.length));
  const w = new Writer();
  text.write(w, certifiedAlgorithm(says.key.type));
  bytes.write(w, new Uint8Array(32));
  w.bytes(key.finish());
  CertificateBody.write(w, {
    ...says,
    principals: [...says.principals],
    reserved: new Uint8Array(0),
    signatureKey: signer.publicKey.blob,
  });
  const signature = await signer.sign(w.finish(), signer.publicKey.algorithms[0] ?? "");
  bytes.write(w, signature);
  return parsePublicKey(w.finish());
}

suite("checking certificates", () => {
  for (const name of ["ed25519", "ecdsa256", "ecdsa384", "ecdsa521", "rsa2048"]) {
    test(`ssh-keygen's user and host certificates of ${name} are believed`, () => {
      const joe = checkCertificate(publicKey(`${name}-user-cert`), { ...user, principal: "joe" });
      assert.deepEqual(joe.principals, ["joe", "root"]);
      assert.equal(joe.serial, 7n);
      const db = checkCertificate(publicKey(`${name}-host-cert`), { ...host, principal: "db.example.com" });
      assert.equal(db.keyId, `host-${name}`);
    });
  }

  for (const name of ["ca-rsa-user", "ca-ecdsa-user"])
    test(`${name}-cert is believed`, () => assert.ok(checkCertificate(publicKey(`${name}-cert`), user)));

  test("an RSA authority that signed with SHA-1 is refused", () => {
    assert.throws(
      () => checkCertificate(publicKey("ca-sha1-user-cert"), user),
      denied(/does not verify, or a weak/),
    );
  });

  test("a plain key is refused", () => {
    assert.throws(() => checkCertificate(publicKey("ed25519"), user), denied(/a certificate is needed/));
  });

  test("a certificate of the other type is refused", () => {
    assert.throws(
      () => checkCertificate(publicKey("ed25519-user-cert"), host),
      denied(/is a user certificate, not/),
    );
    assert.throws(
      () => checkCertificate(publicKey("ed25519-host-cert"), user),
      denied(/is a host certificate, not/),
    );
  });

  test("an authority that is not trusted is refused", () => {
    const stranger = { ...user, isAuthority: () => false };
    assert.throws(
      () => checkCertificate(publicKey("ed25519-user-cert"), stranger),
      denied(/not trusted here/),
    );
  });

  test("one changed bit anywhere makes a certificate useless", () => {
    const { blob } = publicKey("ed25519-user-cert");
    for (let at = 0; at < blob.length; at++) {
      const changed = Uint8Array.from(blob);
      changed[at] = (changed[at] as number) ^ 1;
      assert.throws(
        () => checkCertificate(parsePublicKey(changed), { ...user, isAuthority: () => true }),
        (err) => err instanceof Fault,
        `byte ${at}`,
      );
    }
  });

  test("what an object claims beside its signed bytes does not count", () => {
    const key = publicKey("ed25519-user-cert");
    assert.ok(key.certificate);
    const liar: PublicKey = { ...key, certificate: { ...key.certificate, principals: ["admin"] } };
    assert.deepEqual(checkCertificate(liar, user).principals, ["joe", "root"]);
    assert.throws(
      () => checkCertificate(liar, { ...user, principal: "admin" }),
      denied(/is not for "admin"/),
    );
  });

  test("S26: a certificate whose authority is itself a certificate is refused, at check and at issue", async () => {
    const nested = parsePrivateKey(vector("rsa2048")).key.signer(publicKey("rsa2048-user-cert"));
    await assert.rejects(forge({}, nested), refused(/cannot stand here: it is a certificate/));
    await assert.rejects(
      issueCertificate(request, nested),
      refused(/authority's key is itself a certificate/),
    );
  });

  test("S26: a certificate of a certificate is refused, at check and at issue", async () => {
    const key = publicKey("ed25519-user-cert");
    await assert.rejects(
      issueCertificate({ ...request, key }, ca),
      refused(/key to certify is itself a certificate/),
    );
    await assert.rejects(forge({ key }), (err) => err instanceof Fault);
  });

  test("S26: a self-signed certificate is refused, even if its key were an authority's", async () => {
    const key = ca.publicKey;
    await assert.rejects(issueCertificate({ ...request, key }, ca), refused(/may not certify its own key/));
    const forged = await forge({ key });
    assert.throws(() => checkCertificate(forged, user), denied(/signed by its own key/));
  });

  test("S26: an authority of a type we do not know, or one too small, is refused", () => {
    const { blob } = publicKey("ca-rsa-user-cert");
    const at = Buffer.from(blob).lastIndexOf("ssh-rsa");
    const changed = Uint8Array.from(blob);
    changed.set(Buffer.from("ssh-dss"), at);
    assert.throws(() => parsePublicKey(changed), refused(/"ssh-dss" is not supported/));
    const small: Signer = {
      publicKey: {
        ...ca.publicKey,
        blob: Buffer.concat([
          Buffer.from("\0\0\0\x07ssh-rsa"),
          RsaKey.encode({ modulus: new Uint8Array(128).fill(0xff), exponent: Uint8Array.of(1, 0, 1) }),
        ]),
      },
      sign: ca.sign,
    };
    return assert.rejects(forge({}, small), refused(/1024 bits/));
  });

  for (const principal of [
    "deploy,root",
    " root",
    "root ",
    "root\0",
    "ro\not",
    "",
    "*",
    "*.example.com",
    "r?ot",
    "rооt",
    "\ufeffroot",
  ]) {
    test(`S27: the principal ${JSON.stringify(principal)} is refused, at issue and at check`, async () => {
      const principals = ["joe", principal];
      await assert.rejects(issueCertificate({ ...request, principals }, ca), refused(/not one plain name/));
      const forged = await forge({ principals });
      assert.throws(() => checkCertificate(forged, user), denied(/not one plain name/));
    });
  }

  test("S27: principals are compared whole", async () => {
    const key = await issueCertificate({ ...request, principals: ["deploy", "root.x"] }, ca);
    for (const principal of ["root", "deplo", "Deploy", "deploy,root.x", ""])
      assert.throws(() => checkCertificate(key, { ...user, principal }), denied(/is not for/));
    assert.ok(checkCertificate(key, { ...user, principal: "deploy" }));
  });

  test("S28: a certificate without principals is refused, at issue and at check", async () => {
    assert.throws(
      () => checkCertificate(publicKey("no-principals-cert"), user),
      denied(/names no principals/),
    );
    await assert.rejects(
      issueCertificate({ ...request, principals: [] }, ca),
      refused(/names no principals/),
    );
    const forged = await forge({ type: "host", principals: [] });
    assert.throws(() => checkCertificate(forged, host), denied(/names no principals/));
  });

  test("S29: an unknown critical option is refused, at check and at issue", async () => {
    assert.throws(
      () => checkCertificate(publicKey("unknown-critical-cert"), user),
      denied(/"nonsense@example.com"/),
    );
    const criticalOptions = new Map([["nonsense@example.com", "1"]]);
    await assert.rejects(
      issueCertificate({ ...request, criticalOptions }, ca),
      refused(/nonsense@example.com/),
    );
  });

  test("S29: an unknown extension is ignored and kept", async () => {
    const extensions = new Map([["nonsense@example.com", "1"]]);
    const key = await issueCertificate({ ...request, extensions }, ca);
    assert.equal(checkCertificate(key, user).extensions.get("nonsense@example.com"), "1");
  });

  test("S29: no critical option is for hosts", async () => {
    const criticalOptions = new Map([["source-address", "10.0.0.0/8"]]);
    const change = { type: "host", criticalOptions } as const;
    await assert.rejects(issueCertificate({ ...request, ...change }, ca), refused(/for host certificates/));
    const forged = await forge(change);
    assert.throws(
      () => checkCertificate(forged, { ...host, sourceAddress: "10.0.0.1" }),
      denied(/source-address/),
    );
  });

  test("a forced command counts only with a caller that obeys it", async () => {
    const criticalOptions = new Map([["force-command", "/bin/date"]]);
    const key = await issueCertificate({ ...request, criticalOptions }, ca);
    assert.throws(() => checkCertificate(key, user), denied(/"force-command"/));
    const known = checkCertificate(key, { ...user, knownCriticalOptions: ["force-command"] });
    assert.equal(known.criticalOptions.get("force-command"), "/bin/date");
  });

  for (const [list, address, fine] of [
    ["10.0.0.0/8", "10.1.2.3", true],
    ["10.0.0.0/8", "11.1.2.3", false],
    ["10.1.2.3", "10.1.2.3", true],
    ["10.0.0.0/8", "::ffff:10.1.2.3", true],
    ["::ffff:10.0.0.0/104", "10.1.2.3", true],
    ["192.168.0.0/23,2001:db8::/32", "2001:db8:1::9", true],
    ["192.168.0.0/23,2001:db8::/32", "2001:db9::9", false],
    ["192.168.0.0/23", "192.168.1.255", true],
    ["192.168.0.0/23", "192.168.2.0", false],
    ["0.0.0.0/0", "8.8.8.8", true],
    ["0.0.0.0/0", "::1", false],
    ["fe80::/10", "fe80::1%eth0", true],
    ["10.0.0.0/8", "not an address", false],
    ["10.0.0.0/8", undefined, false],
  ] as const) {
    test(`bound to ${list}, used from ${address}: ${fine ? "believed" : "refused"}`, async () => {
      const key = await issueCertificate(
        { ...request, criticalOptions: new Map([["source-address", list]]) },
        ca,
      );
      const check = { ...user, ...(address === undefined ? {} : { sourceAddress: address }) };
      if (fine) assert.ok(checkCertificate(key, check));
      else assert.throws(() => checkCertificate(key, check), denied(/may not be used from/));
    });
  }

  for (const list of [
    "",
    "10.0.0.0/33",
    "10.0.0/8",
    "010.0.0.1",
    "10.0.0.0/8,",
    "10.0.0.0/8, 11.0.0.0/8",
    "::/129",
    "1::2::3",
    "10.0.0.0/-1",
  ]) {
    test(`the malformed address list ${JSON.stringify(list)} is refused, at issue and at check`, async () => {
      const criticalOptions = new Map([["source-address", list]]);
      await assert.rejects(
        issueCertificate({ ...request, criticalOptions }, ca),
        refused(/empty or malformed/),
      );
      const forged = await forge({ criticalOptions });
      assert.throws(
        () => checkCertificate(forged, { ...user, sourceAddress: "10.0.0.1" }),
        denied(/malformed list/),
      );
    });
  }

  for (const [why, after, offset] of [
    ["90 s before it begins", 0, -90 * second],
    ["as it begins", 0, 0],
    ["90 s in", 0, 90 * second],
    ["in its last second", 0, 3600 * second - 1],
  ] as const) {
    test(`S37: a certificate is believed ${why}`, async () => {
      const key = await validFrom(after);
      assert.ok(checkCertificate(key, { ...user, now: now + offset }));
    });
  }

  for (const [why, offset, message] of [
    [
      "10 min before it begins",
      -10 * minute,
      /not valid before 2026-06-01T00:00:00.000Z; the clock here says 2026-05-31T23:50/,
    ],
    ["as it ends", 3600 * second, /expired at 2026-06-01T01:00:00.000Z; the clock here says/],
    ["10 min after its end", 3600 * second + 10 * minute, /expired at/],
  ] as const) {
    test(`S37: a certificate is refused ${why}, with the clocks in the message`, async () => {
      const key = await validFrom(0);
      assert.throws(() => checkCertificate(key, { ...user, now: now + offset }), denied(message));
    });
  }

  test("S37: times at and above 2^63 are far in the future, not in the past", async () => {
    for (const end of [2n ** 63n, noExpiry - 1n, noExpiry])
      assert.ok(checkCertificate(await forge({ validBefore: end }), user));
    const late = await forge({ validAfter: 2n ** 63n, validBefore: noExpiry });
    assert.throws(() => checkCertificate(late, user), denied(/not valid before second 9223372036854775808/));
  });

  test("S37: a validity that ends before it begins is refused, at issue and at check", async () => {
    const change = { validAfter: seconds(now) + 100n, validBefore: seconds(now) + 50n };
    await assert.rejects(issueCertificate({ ...request, ...change }, ca), refused(/ends before it begins/));
    const forged = await forge(change);
    assert.throws(() => checkCertificate(forged, user), denied(/ends before it begins/));
  });

  function validFrom(offset: number): Promise<PublicKey> {
    const start = seconds(now + offset);
    return issueCertificate({ ...request, validAfter: start, validBefore: start + 3600n }, ca);
  }
});

suite("issuing certificates", () => {
  for (const kind of ["ed25519", "ecdsa-p256", "rsa-2048"] as const) {
    test(`an authority of ${kind} issues what is believed`, async () => {
      const authority = (await generateKey(kind)).signer();
      const extensions = new Map([
        ["permit-pty", ""],
        ["permit-agent-forwarding", ""],
        ["roles@example.com", "admin"],
      ]);
      const key = await issueCertificate({ ...request, extensions }, authority);
      const got = checkCertificate(key, {
        ...user,
        isAuthority: (by) => sameKey(by, authority.publicKey),
        principal: "joe",
      });
      assert.deepEqual(
        [...got.extensions.keys()],
        ["permit-agent-forwarding", "permit-pty", "roles@example.com"],
      );
      assert.deepEqual(
        { ...got, key: got.key.blob.toHex() },
        {
          ...got,
          key: request.key.blob.toHex(),
          serial: 1n,
          type: "user",
          keyId: "joe",
          principals: ["joe"],
          validAfter: request.validAfter,
          validBefore: request.validBefore,
        },
      );
    });
  }

  test("two certificates for one request differ by their nonce", async () => {
    const [a, b] = [await issueCertificate(request, ca), await issueCertificate(request, ca)];
    assert.ok(!sameKey(a, b));
  });

  test("an authority whose signature is wrong issues nothing", async () => {
    const liar: Signer = {
      publicKey: ca.publicKey,
      sign: (_, algorithm) => ca.sign(Uint8Array.of(1), algorithm),
    };
    await assert.rejects(issueCertificate(request, liar), (err) => Fault.is(err, "internal"));
  });

  test("more than 256 principals are refused, at issue and on reading", async () => {
    const principals = Array.from({ length: 257 }, (_, i) => `joe${i}`);
    await assert.rejects(issueCertificate({ ...request, principals }, ca), refused(/256/));
    await assert.rejects(forge({ principals }), (err) => Fault.is(err, "protocol"));
    assert.ok(await issueCertificate({ ...request, principals: principals.slice(1) }, ca));
  });

  test("numbers that do not fit 64 bits are refused", async () => {
    for (const change of [{ serial: -1n }, { serial: 2n ** 64n }, { validBefore: 2n ** 64n }])
      await assert.rejects(issueCertificate({ ...request, ...change }, ca), refused(/64 bits/));
  });

  test("options out of order or there twice are refused on reading", () => {
    const { blob } = publicKey("options-cert");
    const changed = Buffer.from(blob);
    const at = changed.indexOf("permit-pty");
    changed.write("aaaaaa-pty", at, "latin1");
    assert.throws(
      () => parsePublicKey(changed),
      (err) => Fault.is(err, "protocol") && /not sorted/.test(err.message),
    );
  });
});
