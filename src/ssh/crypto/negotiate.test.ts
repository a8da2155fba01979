import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { Fault } from "#core/errors";
import type { Signer } from "../keys/key.ts";
import { ciphers, fits, hostKeyAlgorithms, keyExchanges, macs, offer, withHostKeys } from "./algorithms.ts";
import { exchangeHash, packetKeys } from "./derive.ts";
import { kexInit, negotiate } from "./negotiate.ts";

const cookie = new Uint8Array(16);
const all = offer();
const client = kexInit("client", all, cookie, true);
const server = kexInit("server", all, cookie, true);
const signer = (type: string, ...algorithms: string[]): Signer => ({
  publicKey: { type, blob: new Uint8Array(0), algorithms, verify: () => false },
  sign: async () => new Uint8Array(0),
});

suite("negotiation", () => {
  test("what we offer, best first", () => {
    assert.deepEqual(client.kex, [
      "mlkem768x25519-sha256",
      "curve25519-sha256",
      "curve25519-sha256@libssh.org",
      "ecdh-sha2-nistp256",
      "ecdh-sha2-nistp384",
      "ecdh-sha2-nistp521",
      "ext-info-c",
      "kex-strict-c-v00@openssh.com",
    ]);
    assert.deepEqual(client.ciphersToServer, [
      "aes128-gcm@openssh.com",
      "aes256-gcm@openssh.com",
      "chacha20-poly1305@openssh.com",
      "aes128-ctr",
      "aes192-ctr",
      "aes256-ctr",
    ]);
    assert.deepEqual(client.macsToClient, [
      "hmac-sha2-256-etm@openssh.com",
      "hmac-sha2-512-etm@openssh.com",
      "hmac-sha2-256",
      "hmac-sha2-512",
    ]);
    assert.deepEqual(client.hostKeys, [
      "ssh-ed25519-cert-v01@openssh.com",
      "ecdsa-sha2-nistp256-cert-v01@openssh.com",
      "ecdsa-sha2-nistp384-cert-v01@openssh.com",
      "ecdsa-sha2-nistp521-cert-v01@openssh.com",
      "rsa-sha2-512-cert-v01@openssh.com",
      "rsa-sha2-256-cert-v01@openssh.com",
      "ssh-ed25519",
      "ecdsa-sha2-nistp256",
      "ecdsa-sha2-nistp384",
      "ecdsa-sha2-nistp521",
      "rsa-sha2-512",
      "rsa-sha2-256",
    ]);
    assert.deepEqual(client.compressionToClient, ["none"]);
  });

  test("the markers stand in a first KEXINIT only, each side's its own", () => {
    assert.deepEqual(server.kex.slice(-2), ["ext-info-s", "kex-strict-s-v00@openssh.com"]);
    assert.equal(kexInit("client", all, cookie, false).kex.at(-1), "ecdh-sha2-nistp521");
  });

  test("of each list the client's first that the server has", () => {
    const theirs = {
      ...server,
      kex: ["x@y", "ecdh-sha2-nistp521", "curve25519-sha256"],
      ciphersToServer: ["aes256-ctr", "aes128-ctr"],
      macsToServer: ["hmac-sha2-512", "hmac-sha2-256"],
      ciphersToClient: ["chacha20-poly1305@openssh.com"],
      macsToClient: ["umac-64@openssh.com"],
    };
    const asClient = negotiate("client", all, theirs);
    assert.equal(asClient.kex.name, "curve25519-sha256");
    assert.deepEqual(
      [asClient.toServer.cipher.name, asClient.toServer.mac?.name],
      ["aes128-ctr", "hmac-sha2-256"],
    );
    // A cipher that authenticates by itself needs no MAC in common.
    assert.deepEqual(
      [asClient.toClient.cipher.name, asClient.toClient.mac],
      ["chacha20-poly1305@openssh.com", undefined],
    );
    const asServer = negotiate("server", all, theirs);
    assert.equal(asServer.kex.name, "ecdh-sha2-nistp521");
    assert.deepEqual(
      [asServer.toServer.cipher.name, asServer.toServer.mac?.name],
      ["aes256-ctr", "hmac-sha2-512"],
    );
  });

  test("each side looks for the other's markers", () => {
    assert.equal(negotiate("server", all, client).strict, true);
    assert.equal(negotiate("client", all, server).strict, true);
    assert.equal(negotiate("client", all, client).strict, false);
    assert.equal(negotiate("server", all, client).peerTakesExtInfo, true);
    assert.equal(negotiate("server", all, server).peerTakesExtInfo, false);
  });

  for (const [what, change, skip] of [
    ["the same first choices", {}, false],
    ["another key exchange first", { kex: ["curve25519-sha256"] }, true],
    ["another host key algorithm first", { hostKeys: ["ssh-ed25519"] }, true],
  ] as const) {
    test(`a packet sent on a guess is ${skip ? "skipped" : "taken"}: ${what}`, () => {
      const theirs = { ...client, ...change, firstKexPacketFollows: true };
      const mutable = { ...theirs, kex: [...theirs.kex], hostKeys: [...theirs.hostKeys] };
      assert.equal(negotiate("server", all, mutable).skipNext, skip);
      assert.equal(negotiate("server", all, { ...mutable, firstKexPacketFollows: false }).skipNext, false);
    });
  }

  for (const list of [
    "kex",
    "hostKeys",
    "ciphersToServer",
    "ciphersToClient",
    "compressionToServer",
    "compressionToClient",
  ] as const) {
    test(`nothing in common in ${list} is a fault that names both sides' lists`, () => {
      assert.throws(
        () => negotiate("client", all, { ...server, [list]: ["rot13@example.com"] }),
        (err) => Fault.is(err, "protocol") && err.message.includes("rot13@example.com"),
      );
    });
  }

  test("configured names choose and order; an unknown one is an error that lists the known", () => {
    const chosen = offer({ ciphers: ["aes256-ctr", "aes128-gcm@openssh.com"], kex: ["curve25519-sha256"] });
    assert.deepEqual(
      chosen.ciphers.map(({ name }) => name),
      ["aes256-ctr", "aes128-gcm@openssh.com"],
    );
    assert.deepEqual(chosen.macs, macs);
    assert.throws(
      () => offer({ ciphers: ["3des-cbc"] }),
      (err) => Fault.is(err, "bad_parameter") && ciphers.every(({ name }) => err.message.includes(name)),
    );
  });

  test("a server offers its host keys in their order, RSA by both its algorithms, never SHA-1", () => {
    const signers = [
      signer("ssh-rsa-cert-v01@openssh.com", "rsa-sha2-512", "rsa-sha2-256"),
      signer("ssh-ed25519-cert-v01@openssh.com", "ssh-ed25519"),
      signer("ssh-ed25519", "ssh-ed25519"),
    ];
    assert.deepEqual(
      withHostKeys(all, signers).hostKeys.map(({ name }) => name),
      [
        "rsa-sha2-512-cert-v01@openssh.com",
        "rsa-sha2-256-cert-v01@openssh.com",
        "ssh-ed25519-cert-v01@openssh.com",
        "ssh-ed25519",
      ],
    );
    assert.ok(!hostKeyAlgorithms.some(({ signature }) => signature.startsWith("ssh-rsa")));
  });

  test("a certificate does not pass for its plain key, nor one type for another", () => {
    const plain = hostKeyAlgorithms.find(({ name }) => name === "ssh-ed25519");
    assert.ok(plain);
    assert.equal(fits(plain, signer("ssh-ed25519", "ssh-ed25519").publicKey), true);
    assert.equal(fits(plain, signer("ssh-ed25519-cert-v01@openssh.com", "ssh-ed25519").publicKey), false);
    assert.equal(fits(plain, signer("ssh-rsa", "rsa-sha2-512").publicKey), false);
  });
});

suite("keys of an exchange", () => {
  test("lengths past one hash are the first ones continued (RFC 4253 §7.2)", () => {
    const source = {
      hash: "sha256",
      secret: Uint8Array.of(0, 0, 0, 1, 5),
      exchangeHash: new Uint8Array(32),
      sessionId: new Uint8Array(32),
    } as const;
    const chacha = ciphers.find(({ keyLength }) => keyLength === 64);
    const aes = ciphers.find(({ name }) => name === "aes256-gcm@openssh.com");
    assert.ok(chacha && aes);
    const long = packetKeys(source, "toServer", chacha, undefined);
    const short = packetKeys(source, "toServer", aes, undefined);
    assert.equal(long.key.length, 64);
    assert.deepEqual(long.key.subarray(0, 32), short.key);
    assert.equal(short.iv.length, 12);
    const back = packetKeys(source, "toClient", aes, macs[1]);
    assert.notDeepEqual(back.key, short.key);
    assert.equal(back.macKey.length, 64);
  });

  test("every part of the transcript is in the exchange hash", () => {
    const base = {
      clientVersion: "SSH-2.0-a",
      serverVersion: "SSH-2.0-b",
      clientInit: Uint8Array.of(1),
      serverInit: Uint8Array.of(2),
      hostKey: Uint8Array.of(3),
      clientValue: Uint8Array.of(4),
      serverValue: Uint8Array.of(5),
      secret: Uint8Array.of(6),
    };
    const hashes = new Set([exchangeHash("sha256", base).toHex()]);
    for (const part of Object.keys(base)) {
      const changed = { ...base, [part]: part.endsWith("Version") ? "SSH-2.0-c" : Uint8Array.of(9) };
      hashes.add(exchangeHash("sha256", changed).toHex());
    }
    assert.equal(hashes.size, 9);
    assert.equal(exchangeHash("sha512", base).length, 64);
  });

  test("each key exchange names its hash", () => {
    assert.deepEqual(
      keyExchanges.map(({ hash }) => hash),
      ["sha256", "sha256", "sha256", "sha256", "sha384", "sha512"],
    );
  });
});
