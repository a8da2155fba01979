import assert from "node:assert/strict";
import { before, suite, test } from "node:test";
import { Fault } from "#core/errors";
import { checkCertificate, type PrivateKey, sameKey } from "../keys/index.ts";
import type { PublicKeyAttempt } from "../server.ts";
import { packetPair, settle, type TestTransport } from "../testing/packet-pair.ts";
import { certified, known, type People, people, sent } from "../testing/people.ts";
import * as transportWire from "../wire/transport.ts";
import * as userauthWire from "../wire/userauth.ts";
import { publicKeyRequest, signedBytes } from "./publickey.ts";
import { type AdmitOptions, admit } from "./server.ts";

const wire = { ...transportWire, ...userauthWire };

let { alice, bob, rsa, ca }: People = {} as People;
before(async () => {
  ({ alice, bob, rsa, ca } = await people());
});

suite("a server against a hostile client", () => {
  interface Siege {
    peer: TestTransport;
    own: TestTransport;
    outcome: Promise<string>;
    checks: PublicKeyAttempt[];
    refused: string[];
    begun: number;
  }
  function siege(
    check: (attempt: PublicKeyAttempt) => Promise<string> = known({ alice }),
    options: Partial<AdmitOptions<string>> = {},
    start = true,
  ): Siege {
    const { client: peer, server: own } = packetPair();
    const state: Siege = { peer, own, outcome: Promise.resolve(""), checks: [], refused: [], begun: 0 };
    state.outcome = admit(
      own,
      {
        check: (attempt) => {
          state.checks.push(attempt);
          return check(attempt);
        },
        onRefused: (attempt, reason) => state.refused.push(`${attempt.method}: ${(reason as Error).message}`),
        ...options,
      },
      ({ identity }) => {
        state.begun++;
        return identity;
      },
    );
    state.outcome.catch(() => {});
    if (start) peer.send(wire.ServiceRequest.encode({ service: "ssh-userauth" }));
    return state;
  }
  const request = (
    methodName: string,
    body: Uint8Array = new Uint8Array(0),
    user = "root",
    serviceName = "ssh-connection",
  ) => wire.UserauthRequest.encode({ userName: user, serviceName, methodName, request: body });
  async function signedRequest(
    peer: TestTransport,
    key: PrivateKey,
    change: {
      publicKey?: Uint8Array;
      algorithm?: string;
      user?: string;
      sessionId?: Uint8Array;
      signWith?: string;
    } = {},
  ): Promise<Uint8Array> {
    const publicKey = change.publicKey ?? key.publicKey.blob;
    const algorithm = change.algorithm ?? (key.publicKey.algorithms[0] as string);
    const signed = signedBytes(change.sessionId ?? peer.sessionId, "root", algorithm, publicKey);
    const signature = await key.signer().sign(signed, change.signWith ?? algorithm);
    return request(
      "publickey",
      wire.PublicKeySigned.encode({ hasSignature: true, algorithm, publicKey, signature }),
      change.user,
    );
  }

  for (const [why, payloads] of [
    ["S03: CHANNEL_OPEN", [Buffer.from("5a0000000773657373696f6e000000000000000100000001", "hex")]],
    ["S03: GLOBAL_REQUEST", [Buffer.from("500000000178" + "01", "hex")]],
    ["S03: CHANNEL_REQUEST", [Buffer.from("6200000000000000046578656300", "hex")]],
    ["S04: USERAUTH_SUCCESS", [Uint8Array.of(52)]],
    ["S04: REQUEST_SUCCESS", [Uint8Array.of(81)]],
    ["S04: USERAUTH_FAILURE", [wire.UserauthFailure.encode({ canContinue: [], partialSuccess: true })]],
    ["S04: USERAUTH_PK_OK", [wire.UserauthPkOk.encode({ algorithm: "x", publicKey: new Uint8Array(0) })]],
    ["S02: a second SERVICE_REQUEST", [wire.ServiceRequest.encode({ service: "ssh-userauth" })]],
    ["S02: SERVICE_ACCEPT", [wire.ServiceAccept.encode({ service: "ssh-userauth" })]],
    ["another service", [request("none", undefined, "root", "ssh-hosting")]],
    ["a malformed request", [Uint8Array.of(50, 0, 0, 0, 9)]],
    ["an empty publickey request", [request("publickey")]],
  ] as const) {
    test(`${why} before login: disconnected, nothing begun`, async () => {
      const attack = siege();
      const { peer, own } = attack;
      for (const payload of payloads) peer.send(payload);
      await assert.rejects(attack.outcome, (err) => Fault.is(err, "protocol"));
      await settle();
      assert.ok(own.disconnected);
      assert.equal(own.isAuthenticated, false);
      assert.deepEqual([attack.begun, attack.checks.length], [0, 0]);
    });
  }

  test("S02: USERAUTH_REQUEST before SERVICE_REQUEST, or another service: disconnected", async () => {
    for (const payload of [request("none"), wire.ServiceRequest.encode({ service: "ssh-connection" })]) {
      const { peer, own, outcome } = siege(undefined, {}, false);
      peer.send(payload);
      await assert.rejects(outcome, (err) => Fault.is(err, "protocol"));
      assert.ok(own.disconnected);
    }
  });

  test("S03: a channel opened behind a good request but before its success ends in no login", async () => {
    const attack = siege();
    attack.peer.send(await signedRequest(attack.peer, alice));
    attack.peer.send(Uint8Array.of(90));
    await assert.rejects(attack.outcome, (err) => Fault.is(err, "protocol"));
    await settle();
    assert.equal(attack.begun, 0);
    assert.equal(attack.own.isAuthenticated, false);
  });

  test("S16: of a key that was offered and a key that signed, the identity is the one that signed", async () => {
    const { peer, outcome, checks } = siege(known({ alice, bob }));
    for (const key of [bob, alice, bob])
      peer.send(publicKeyRequest("root", "ssh-ed25519", key.publicKey.blob, false));
    await settle();
    peer.send(await signedRequest(peer, alice));
    assert.equal(await outcome, "alice");
    assert.ok(sameKey((checks.at(-1) as PublicKeyAttempt).key, alice.publicKey));
    assert.deepEqual(sent(peer), [6, 60, 60, 60, 52]);
  });

  test("S16: queries that follow a good request while it is judged change nothing", async () => {
    const { peer, outcome } = siege(known({ alice, bob }));
    peer.send(await signedRequest(peer, alice));
    peer.send(publicKeyRequest("root", "ssh-ed25519", bob.publicKey.blob, false));
    assert.equal(await outcome, "alice");
    await settle();
    assert.deepEqual(sent(peer), [6, 52]);
  });

  test("S17: a query never logs in, and one with a signature behind it is malformed", async () => {
    const { peer, own } = siege();
    peer.send(publicKeyRequest("root", "ssh-ed25519", alice.publicKey.blob, false));
    await settle();
    assert.deepEqual(sent(peer), [6, 60]);
    for (const signature of [new Uint8Array(0), new Uint8Array(64)])
      peer.send(
        request(
          "publickey",
          wire.PublicKeySigned.encode({
            hasSignature: false,
            algorithm: "ssh-ed25519",
            publicKey: alice.publicKey.blob,
            signature,
          }),
        ),
      );
    await settle();
    assert.ok(own.disconnected);
    assert.equal(own.isAuthenticated, false);
  });

  test("S17: an empty signature is refused without asking `check`", async () => {
    const { peer, own, checks, refused } = siege();
    peer.send(
      request(
        "publickey",
        wire.PublicKeySigned.encode({
          hasSignature: true,
          algorithm: "ssh-ed25519",
          publicKey: alice.publicKey.blob,
          signature: new Uint8Array(0),
        }),
      ),
    );
    await settle();
    assert.deepEqual(sent(peer), [6, 51]);
    assert.equal(own.isAuthenticated, false);
    assert.equal(checks.length, 0);
    assert.deepEqual(refused, ["publickey: the signature does not verify"]);
  });

  test("signatures over anything else than this request are refused", async () => {
    const { peer, refused } = siege(known({ alice, rsa }), { maxAuthTries: 99 });
    peer.send(await signedRequest(peer, alice, { sessionId: new Uint8Array(32) }));
    peer.send(await signedRequest(peer, alice, { user: "alice" }));
    peer.send(await signedRequest(peer, bob, { publicKey: alice.publicKey.blob }));
    peer.send(await signedRequest(peer, rsa, { algorithm: "rsa-sha2-512", signWith: "rsa-sha2-256" }));
    await settle(20);
    assert.deepEqual(refused, Array(4).fill("publickey: the signature does not verify"));
    assert.deepEqual(sent(peer), [6, 51, 51, 51, 51]);
  });

  test("an algorithm must fit the key, and SHA-1 fits none", async () => {
    const certificate = await certified(ca, alice);
    const { peer, refused, checks } = siege(undefined, { maxAuthTries: 99 });
    for (const [algorithm, blob] of [
      ["ssh-rsa", rsa.publicKey.blob],
      ["ssh-ed25519", rsa.publicKey.blob],
      ["rsa-sha2-512", alice.publicKey.blob],
      ["ssh-ed25519-cert-v01@openssh.com", alice.publicKey.blob],
      ["ssh-ed25519", certificate.blob],
      ["ssh-dss", Buffer.from("000000077373682d647373", "hex")],
      ["ssh-ed25519", Buffer.from("ffff", "hex")],
    ] as const)
      peer.send(publicKeyRequest("root", algorithm, blob, false));
    await settle();
    assert.equal(refused.length, 7);
    assert.equal(checks.length, 0);
    assert.deepEqual(sent(peer), [6, ...Array(7).fill(51)]);
  });

  test("S18: a certificate bound to an address is refused when `check` is given another, query and signature", async () => {
    const certificate = await certified(ca, alice, {
      criticalOptions: new Map([["source-address", "10.0.0.0/8"]]),
    });
    const from = (sourceAddress: string) => async (attempt: PublicKeyAttempt) =>
      checkCertificate(attempt.key, {
        type: "user",
        isAuthority: (key) => sameKey(key, ca.publicKey),
        principal: attempt.user,
        now: Date.UTC(2026, 0, 1),
        sourceAddress,
      }).keyId;
    const attack = siege(from("192.168.0.1"));
    const algorithm = "ssh-ed25519-cert-v01@openssh.com";
    const change = { publicKey: certificate.blob, algorithm };
    attack.peer.send(publicKeyRequest("root", algorithm, certificate.blob, false));
    attack.peer.send(await signedRequest(attack.peer, alice, change));
    await settle();
    assert.deepEqual(sent(attack.peer), [6, 51, 51]);
    const honest = siege(from("10.1.2.3"));
    honest.peer.send(await signedRequest(honest.peer, alice, change));
    assert.equal(await honest.outcome, "alice");
  });

  test("S20: no failure says partial success, and what one request earned another does not have", async () => {
    const { peer, outcome } = siege(known({ alice }));
    peer.send(publicKeyRequest("root", "ssh-ed25519", alice.publicKey.blob, false));
    peer.send(await signedRequest(peer, bob));
    peer.send(request("keyboard-interactive", new Uint8Array(8)));
    peer.send(request("none"));
    await settle();
    assert.deepEqual(sent(peer), [6, 60, 51, 51, 51]);
    for (const payload of peer.received.filter(([id]) => id === 51))
      assert.deepEqual(wire.UserauthFailure.decode(payload), {
        canContinue: ["publickey"],
        partialSuccess: false,
      });
    peer.send(await signedRequest(peer, alice));
    assert.equal(await outcome, "alice");
  });

  test("S21: refusals are the same bytes whatever the reason and the user", async () => {
    const { peer, checks } = siege(undefined, { maxAuthTries: 99 });
    peer.send(publicKeyRequest("root", "ssh-ed25519", bob.publicKey.blob, false));
    peer.send(publicKeyRequest("nobody", "ssh-ed25519", bob.publicKey.blob, false));
    peer.send(await signedRequest(peer, bob));
    peer.send(await signedRequest(peer, alice, { user: "nobody" }));
    peer.send(request("password", new Uint8Array(6)));
    await settle(10);
    const answers = new Set(peer.received.slice(1).map((payload) => Buffer.from(payload).toString("hex")));
    assert.equal(answers.size, 1);
    assert.equal(peer.received.length, 6);
    // The known and the unknown user each cost one question.
    assert.deepEqual(
      checks.map(({ user }) => user),
      ["root", "nobody", "root"],
    );
  });

  test("the first `none` is free, the next count", async () => {
    const { peer, own, outcome } = siege(undefined, { maxAuthTries: 3 });
    for (let i = 0; i < 3; i++) peer.send(request("none"));
    await settle();
    assert.deepEqual(sent(peer), [6, 51, 51, 51]);
    assert.equal(own.disconnected, undefined);
    peer.send(request("none"));
    await assert.rejects(outcome, (err) => Fault.is(err, "access_denied"));
    assert.deepEqual(sent(peer), [6, 51, 51, 51]);
  });

  test("another user name does not start the count again", async () => {
    const { peer, outcome } = siege(undefined, { maxAuthTries: 3 });
    for (const user of ["a", "b", "c"])
      peer.send(publicKeyRequest(user, "ssh-ed25519", bob.publicKey.blob, false));
    await assert.rejects(outcome, (err) => Fault.is(err, "access_denied"));
  });

  test("good queries without end are ended", async () => {
    const { peer, outcome } = siege();
    for (let i = 0; i < 65; i++)
      peer.send(publicKeyRequest("root", "ssh-ed25519", alice.publicKey.blob, false));
    await assert.rejects(outcome, (err) => Fault.is(err, "limit_exceeded"));
  });

  test("a check that is answered after the connection is gone admits nobody", async () => {
    const answer = Promise.withResolvers<string>();
    const attack = siege(() => answer.promise);
    attack.peer.send(await signedRequest(attack.peer, alice));
    await settle();
    attack.own.cut();
    await settle();
    answer.resolve("alice");
    await assert.rejects(attack.outcome, (err) => Fault.is(err, "unreachable"));
    await settle();
    assert.equal(attack.begun, 0);
  });
});
