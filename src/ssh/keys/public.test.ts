import assert from "node:assert/strict";
import crypto from "node:crypto";
import { readFileSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { suite, test } from "node:test";
import { Fault } from "#core/errors";
import { Writer } from "../wire/codec.ts";
import { RsaKey, Signature, SkEcdsaKey, SkEd25519Key, SkSignatureEnd } from "../wire/keys.ts";
import { certifiedAlgorithm, offeredAlgorithms, plainAlgorithm } from "./algorithms.ts";
import { fingerprint, parsePublicKey, sameKey } from "./public.ts";
import { formatPublicKeyLine, parsePublicKeyLine } from "./text.ts";

const vector = (name: string): string =>
  readFileSync(new URL(`../../../test/vectors/keys/${name}`, import.meta.url), "utf8").trim();

const fingerprints = new Map(
  vector("fingerprints.txt")
    .split("\n")
    .map((line) => line.split(" "))
    .map(([name, , print]) => [name as string, print as string]),
);

suite("public keys", () => {
  for (const [name, print] of fingerprints) {
    if (name === "dsa" || name === "rsa1024") continue;
    test(`${name} of ssh-keygen is read, written and fingerprinted as there`, () => {
      const line = parsePublicKeyLine(vector(`${name}.pub`));
      assert.equal(formatPublicKeyLine(line), vector(`${name}.pub`));
      assert.equal(fingerprint(line.key), print);
      assert.ok(sameKey(parsePublicKey(line.key.blob), line.key));
    });
  }

  test("a certificate says what ssh-keygen put into it", () => {
    const { key } = parsePublicKeyLine(vector("options-cert.pub"));
    const plain = parsePublicKeyLine(vector("ed25519.pub")).key;
    const ca = parsePublicKeyLine(vector("ca-ed25519.pub")).key;
    const { certificate } = key;
    assert.ok(certificate);
    assert.equal(key.type, "ssh-ed25519-cert-v01@openssh.com");
    assert.ok(sameKey(certificate.key, plain));
    assert.ok(sameKey(certificate.signatureKey, ca));
    assert.ok(!sameKey(key, plain));
    assert.equal(certificate.type, "user");
    assert.equal(certificate.keyId, "options");
    assert.deepEqual(certificate.principals, ["joe"]);
    assert.equal(certificate.validAfter, BigInt(Date.UTC(2026, 0, 1) / 1000));
    assert.equal(certificate.validBefore, BigInt(Date.UTC(2027, 0, 1) / 1000));
    assert.deepEqual(
      [...certificate.criticalOptions],
      [
        ["force-command", "/bin/date -u"],
        ["source-address", "10.0.0.0/8,2001:db8::/32"],
      ],
    );
    assert.equal(certificate.extensions.get("roles@example.com"), "admin");
    assert.equal(certificate.extensions.get("permit-pty"), "");
    assert.equal(certificate.extensions.has("permit-X11-forwarding"), false);
  });

  test("a certificate without end keeps all 64 bits of it", () => {
    const { certificate } = parsePublicKeyLine(vector("ed25519-host-cert.pub")).key;
    assert.equal(certificate?.validBefore, 0xffff_ffff_ffff_ffffn);
    assert.equal(certificate?.type, "host");
  });

  test("algorithms are plain names, offered ones are certified for a certificate", () => {
    const rsa = parsePublicKeyLine(vector("rsa2048-user-cert.pub")).key;
    assert.deepEqual(rsa.algorithms, ["rsa-sha2-512", "rsa-sha2-256"]);
    assert.deepEqual(offeredAlgorithms(rsa), [
      "rsa-sha2-512-cert-v01@openssh.com",
      "rsa-sha2-256-cert-v01@openssh.com",
    ]);
    assert.deepEqual(offeredAlgorithms(rsa.certificate?.key ?? rsa), ["rsa-sha2-512", "rsa-sha2-256"]);
  });

  for (const [plain, certified] of [
    ["ssh-ed25519", "ssh-ed25519-cert-v01@openssh.com"],
    ["rsa-sha2-256", "rsa-sha2-256-cert-v01@openssh.com"],
    ["sk-ssh-ed25519@openssh.com", "sk-ssh-ed25519-cert-v01@openssh.com"],
    ["sk-ecdsa-sha2-nistp256@openssh.com", "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com"],
  ] as const) {
    test(`${plain} and its certified name are told apart`, () => {
      assert.equal(certifiedAlgorithm(plain), certified);
      assert.equal(plainAlgorithm(certified), plain);
      assert.equal(plainAlgorithm(plain), plain);
    });
  }

  test("DSA keys are refused by name", () => {
    assert.throws(
      () => parsePublicKeyLine(vector("dsa.pub")),
      (err) => Fault.is(err, "bad_parameter") && /"ssh-dss" is not supported/.test(err.message),
    );
  });

  test("a byte after the last field is refused, in keys and certificates", () => {
    for (const name of ["ed25519.pub", "rsa2048.pub", "ecdsa384.pub", "ed25519-user-cert.pub"]) {
      const { blob } = parsePublicKeyLine(vector(name)).key;
      assert.throws(
        () => parsePublicKey(Uint8Array.of(...blob, 0)),
        (err) => Fault.is(err, "protocol"),
      );
    }
  });

  test("a point that is not on its curve is refused", () => {
    const blob = Uint8Array.from(parsePublicKeyLine(vector("ecdsa256.pub")).key.blob);
    blob[blob.length - 1] = (blob.at(-1) as number) ^ 1;
    assert.throws(
      () => parsePublicKey(blob),
      (err) => Fault.is(err, "protocol"),
    );
  });

  test("a key does not change when the buffer it came from does", () => {
    const packet = Uint8Array.from(parsePublicKeyLine(vector("ed25519-user-cert.pub")).key.blob);
    const key = parsePublicKey(packet);
    packet.fill(0);
    assert.equal(fingerprint(key), fingerprints.get("ed25519"));
    assert.ok(sameKey(key, parsePublicKey(key.blob)));
  });

  for (const [bits, why] of [
    [1024, "weak"],
    [2047, "one bit short"],
    [16_385, "one bit over"],
    [65_536, "huge"],
  ] as const) {
    test(`S08: an RSA key of ${bits} bits (${why}) is refused before OpenSSL sees it`, (t) => {
      const modulus = new Uint8Array(Math.ceil(bits / 8)).fill(0xff);
      if (bits % 8 > 0) modulus[0] = 2 ** (bits % 8) - 1;
      const blob = rsaBlob(modulus, Uint8Array.of(1, 0, 1));
      const createPublicKey = t.mock.method(crypto, "createPublicKey");
      syncBuiltinESMExports();
      t.after(() => {
        createPublicKey.mock.restore();
        syncBuiltinESMExports();
      });
      assert.throws(
        () => parsePublicKey(blob),
        (err) => Fault.is(err, "bad_parameter") && err.message.includes(`${bits} bits`),
      );
      assert.equal(createPublicKey.mock.callCount(), 0);
      parsePublicKey(rsaBlob(new Uint8Array(256).fill(0xff), Uint8Array.of(1, 0, 1)));
      assert.equal(createPublicKey.mock.callCount(), 1, "the spy sees an accepted key");
    });
  }

  for (const [exponent, why] of [
    [Uint8Array.of(1), "one"],
    [Uint8Array.of(), "zero"],
    [Uint8Array.of(2), "even"],
    [new Uint8Array(9).fill(0xff), "over 64 bits"],
  ] as const) {
    test(`S08: an RSA exponent that is ${why} is refused`, () => {
      assert.throws(
        () => parsePublicKey(rsaBlob(new Uint8Array(256).fill(0xff), exponent)),
        (err) => Fault.is(err, "bad_parameter"),
      );
    });
  }
});

suite("security keys", () => {
  const data = Buffer.from("what is signed");
  const application = Buffer.from("ssh:");
  const sha256 = (bytes: Uint8Array): Uint8Array => crypto.createHash("sha256").update(bytes).digest();

  // An authenticator in software, so that the flags are ours to set.
  const ed25519 = crypto.generateKeyPairSync("ed25519");
  const ecdsa = crypto.generateKeyPairSync("ec", { namedCurve: "P-256" });
  const authenticators = [
    {
      type: "sk-ssh-ed25519@openssh.com",
      fields: SkEd25519Key.encode({
        point: ed25519.publicKey.export({ format: "raw-public" }),
        application,
      }),
      sign: (signed: Uint8Array) => crypto.sign(null, signed, ed25519.privateKey),
    },
    {
      type: "sk-ecdsa-sha2-nistp256@openssh.com",
      fields: SkEcdsaKey.encode({
        curve: "nistp256",
        point: ecdsa.publicKey.export({ format: "raw-public" }),
        application,
      }),
      sign(signed: Uint8Array) {
        const rs = crypto.sign("sha256", signed, { key: ecdsa.privateKey, dsaEncoding: "ieee-p1363" });
        return Buffer.concat([mpint(rs.subarray(0, 32)), mpint(rs.subarray(32))]);
      },
    },
  ];

  for (const { type, fields, sign } of authenticators) {
    const key = parsePublicKey(Buffer.concat([string(Buffer.from(type)), fields]));
    const signature = (flags: number): Uint8Array => {
      const extra = SkSignatureEnd.encode({ flags, counter: 7 });
      const blob = sign(Buffer.concat([sha256(application), extra, sha256(data)]));
      return Signature.encode({ algorithm: type, blob, extra });
    };

    test(`a touched ${type} verifies`, () => {
      assert.ok(key.verify(data, signature(0x01), type));
      assert.ok(key.verify(data, signature(0x05), type), "with PIN too");
      assert.ok(!key.verify(Buffer.from("something else"), signature(0x01), type));
    });

    test(`S19: a ${type} that nobody touched does not verify`, () => {
      assert.equal(key.verify(data, signature(0x00), type), false);
      assert.equal(key.verify(data, signature(0x04), type), false, "a PIN alone is no touch");
    });
  }

  function mpint(bytes: Uint8Array): Uint8Array {
    const digits = bytes.subarray(bytes.findIndex((b) => b > 0));
    return string((digits[0] as number) < 0x80 ? digits : Buffer.concat([Uint8Array.of(0), digits]));
  }
});

function rsaBlob(modulus: Uint8Array, exponent: Uint8Array): Uint8Array {
  return Buffer.concat([string(Buffer.from("ssh-rsa")), RsaKey.encode({ exponent, modulus })]);
}

function string(bytes: Uint8Array): Uint8Array {
  const w = new Writer();
  w.uint32(bytes.length);
  w.bytes(bytes);
  return w.finish();
}
