import assert from "node:assert/strict";
import { before, suite, test } from "node:test";
import { Fault } from "#core/errors";
import {
  checkCertificate,
  generateKey,
  issueCertificate,
  noExpiry,
  type PrivateKey,
  type PublicKey,
  type Signer,
  sameKey,
} from "../keys/index.ts";
import type { PublicKeyAttempt } from "../server.ts";
import { packetPair, settle, type TestTransport } from "../testing/packet-pair.ts";
import * as transportWire from "../wire/transport.ts";
import * as userauthWire from "../wire/userauth.ts";
import { logIn } from "./client.ts";
import { publicKeyRequest, signedBytes } from "./publickey.ts";
import { type AdmitOptions, type Admitted, admit } from "./server.ts";

const wire = { ...transportWire, ...userauthWire };

let alice: PrivateKey;
let bob: PrivateKey;
let rsa: PrivateKey;
let ca: PrivateKey;
before(async () => {
  alice = await generateKey("ed25519");
  bob = await generateKey("ed25519");
  ca = await generateKey("ed25519");
  rsa = await generateKey("rsa-2048");
});

/** Identity is the name of the key, so that a mix-up shows. */
const known =
  (keys: Record<string, PrivateKey>) =>
  async ({ key }: PublicKeyAttempt): Promise<string> => {
    await settle(1);
    for (const [name, one] of Object.entries(keys)) if (sameKey(one.publicKey, key)) return name;
    throw new Fault("access_denied", "unknown key");
  };

async function certified(
  key: PrivateKey,
  extra: { criticalOptions?: Map<string, string> } = {},
): Promise<PublicKey> {
  return issueCertificate(
    {
      key: key.publicKey,
      type: "user",
      keyId: "alice",
      serial: 1n,
      principals: ["root"],
      validAfter: 0n,
      validBefore: noExpiry,
      ...extra,
    },
    ca.signer(),
  );
}

const sent = (end: TestTransport): number[] => end.received.map((payload) => payload[0] as number);

suite("logging in", () => {
  async function meet(
    signers: readonly Signer[] | (() => Promise<readonly Signer[]>),
    options: AdmitOptions<string>,
    extensions: Record<string, string> = {},
  ): Promise<{
    client: PromiseSettledResult<string>;
    server: PromiseSettledResult<Admitted<string>>;
    banners: string[];
    ends: ReturnType<typeof packetPair>;
  }> {
    const ends = packetPair();
    for (const [name, value] of Object.entries(extensions))
      (ends.client.extensions as Map<string, Uint8Array>).set(name, Buffer.from(value));
    const banners: string[] = [];
    const [client, server] = await Promise.allSettled([
      logIn(ends.client, { user: "root", signers, onBanner: (text) => banners.push(text) }, () => "in"),
      admit(ends.server, options, (admitted) => admitted),
    ]);
    return { client, server, banners, ends };
  }

  test("a key that is known gets in with one signed request", async () => {
    const { client, server, ends } = await meet([alice.signer()], { check: known({ alice }) });
    assert.deepEqual(client, { status: "fulfilled", value: "in" });
    assert.deepEqual(server, { status: "fulfilled", value: { user: "root", identity: "alice" } });
    assert.deepEqual(sent(ends.server), [5, 50]);
    assert.deepEqual(sent(ends.client), [6, 52]);
    assert.ok(ends.client.isAuthenticated && ends.server.isAuthenticated);
  });

  test("keys are tried in order until one is known; the others' refusals are told", async () => {
    const refused: unknown[] = [];
    const { client, server } = await meet(async () => [bob.signer(), rsa.signer(), alice.signer()], {
      check: known({ alice }),
      onRefused: ({ user, key, method }, reason) => refused.push([user, key?.type, method, String(reason)]),
    });
    assert.equal(client.status, "fulfilled");
    assert.equal(server.status === "fulfilled" && server.value.identity, "alice");
    assert.deepEqual(refused, [
      ["root", "ssh-ed25519", "publickey", "Fault: unknown key"],
      ["root", "ssh-rsa", "publickey", "Fault: unknown key"],
    ]);
  });

  test("a certificate is presented as such, and a signer that asks first signs only for a known key", async () => {
    const certificate = await certified(rsa);
    const attempts: string[] = [];
    let signatures = 0;
    const counting = (signer: Signer): Signer => ({
      publicKey: signer.publicKey,
      askFirst: true,
      sign: (data, algorithm) => {
        signatures++;
        return signer.sign(data, algorithm);
      },
    });
    const { client, ends } = await meet([counting(bob.signer()), counting(rsa.signer(certificate))], {
      check: async ({ key, algorithm }) => {
        attempts.push(`${key.type} ${algorithm}`);
        return checkCertificate(key, {
          type: "user",
          isAuthority: (authority) => sameKey(authority, ca.publicKey),
          now: Date.UTC(2026, 0, 1),
        }).keyId;
      },
    });
    assert.equal(client.status, "fulfilled");
    assert.equal(signatures, 1);
    assert.deepEqual(attempts, [
      "ssh-ed25519 ssh-ed25519",
      "ssh-rsa-cert-v01@openssh.com rsa-sha2-512",
      "ssh-rsa-cert-v01@openssh.com rsa-sha2-512",
    ]);
    assert.deepEqual(sent(ends.client), [6, 51, 60, 52]);
  });

  for (const [listed, algorithm] of [
    ["ssh-ed25519,rsa-sha2-256", "rsa-sha2-256"],
    ["rsa-sha2-256,rsa-sha2-512", "rsa-sha2-512"],
    ["ssh-rsa", "rsa-sha2-512"],
    [undefined, "rsa-sha2-512"],
  ] as const) {
    test(`with server-sig-algs ${listed} an RSA key signs by ${algorithm}, never SHA-1`, async () => {
      let used = "";
      await meet(
        [rsa.signer()],
        {
          check: async (attempt) => {
            used = attempt.algorithm;
            return "rsa";
          },
        },
        listed ? { "server-sig-algs": listed } : {},
      );
      assert.equal(used, algorithm);
    });
  }

  test("when no key is left the error says how many were tried", async () => {
    const { client } = await meet([bob.signer(), rsa.signer()], { check: known({ alice }) });
    assert.ok(client.status === "rejected" && Fault.is(client.reason, "access_denied"));
    assert.match(client.reason.message, /root in: 2 keys tried, none accepted/);
    assert.deepEqual(client.reason.details, { tried: 2 });
  });

  test("without any key the error says so", async () => {
    const { client } = await meet([], { check: known({ alice }) });
    assert.ok(client.status === "rejected" && Fault.is(client.reason, "access_denied"));
    assert.match(client.reason.message, /no key to log in with/);
  });

  test("a signer that cannot sign does not keep the next from trying", async () => {
    const broken: Signer = {
      publicKey: bob.publicKey,
      sign: () => Promise.reject(new Error("agent is locked")),
    };
    const { client } = await meet([broken, alice.signer()], { check: known({ alice }) });
    assert.equal(client.status, "fulfilled");
    const alone = await meet([broken], { check: known({ alice }) });
    assert.ok(alone.client.status === "rejected" && alone.client.reason instanceof Fault);
    assert.match(String(alone.client.reason.cause), /agent is locked/);
  });

  test("the banner reaches the user before login", async () => {
    const { banners } = await meet([alice.signer()], { check: known({ alice }), banner: "mind the gap ✓\n" });
    assert.deepEqual(banners, ["mind the gap ✓\n"]);
  });

  test("after too many refusals the server hangs up, and the client says what happened", async () => {
    const signers = [bob, rsa, bob, rsa].map((key) => key.signer());
    const { client, server, ends } = await meet(signers, { check: known({ alice }), maxAuthTries: 3 });
    assert.ok(server.status === "rejected" && Fault.is(server.reason, "access_denied"));
    assert.equal(ends.server.disconnected?.reason, 14);
    assert.ok(client.status === "rejected" && Fault.is(client.reason, "access_denied"));
    assert.match(client.reason.message, /after 3 keys: Too many authentication failures|too many refused/);
  });

  test("what the server sends with its success is not lost", async () => {
    const ends = packetPair();
    const got: number[] = [];
    const server = admit(ends.server, { check: known({ alice }) }, () => ends.server.send(Uint8Array.of(90)));
    await logIn(ends.client, { user: "root", signers: [alice.signer()] }, () =>
      ends.client.receive((payload) => got.push(payload[0] as number)),
    );
    await server;
    await settle();
    assert.deepEqual(got, [90]);
  });
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
    const certificate = await certified(alice);
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
    const certificate = await certified(alice, {
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

suite("a client against a hostile server", () => {
  async function against(
    script: (server: TestTransport, payload: Uint8Array) => void,
    signer: Signer = alice.signer(),
  ): Promise<{ error: unknown; begun: number; client: TestTransport }> {
    const { client, server } = packetPair();
    let begun = 0;
    server.receive((payload) => script(server, payload));
    const error = await logIn(client, { user: "root", signers: [signer] }, () => begun++).then(
      () => undefined,
      (err: unknown) => err,
    );
    return { error, begun, client };
  }
  const accept = wire.ServiceAccept.encode({ service: "ssh-userauth" });

  for (const [why, script] of [
    ["success before any request", (server) => server.send(Uint8Array.of(52))],
    [
      "S02: a second SERVICE_ACCEPT",
      (server) => {
        server.send(accept);
        server.send(accept);
      },
    ],
    ["acceptance of another service", (server) => server.send(wire.ServiceAccept.encode({ service: "x" }))],
    [
      "PK_OK for a signed request",
      (server, [id]) =>
        server.send(
          id === 5 ? accept : wire.UserauthPkOk.encode({ algorithm: "x", publicKey: new Uint8Array(0) }),
        ),
    ],
    ["a channel before login", (server) => server.send(Uint8Array.of(90))],
    [
      "banners without end",
      (server) => {
        const banner = wire.UserauthBanner.encode({
          message: Buffer.from("hi"),
          languageTag: new Uint8Array(0),
        });
        for (let i = 0; i < 70; i++) server.send(banner);
      },
    ],
  ] as const satisfies [string, (server: TestTransport, payload: Uint8Array) => void][]) {
    test(`${why}: disconnected, nothing begun`, async () => {
      const { error, begun, client } = await against(script);
      assert.ok(error instanceof Fault, String(error));
      assert.equal(begun, 0);
      assert.ok(client.disconnected);
    });
  }

  test("a PK_OK for another key, or success, as the answer to a query gets no signature and no session", async () => {
    for (const answer of [
      wire.UserauthPkOk.encode({ algorithm: "ssh-ed25519", publicKey: bob.publicKey.blob }),
      wire.UserauthPkOk.encode({ algorithm: "ssh-rsa", publicKey: alice.publicKey.blob }),
      wire.UserauthSuccess.encode({}),
    ]) {
      let signed = false;
      const signer: Signer = {
        publicKey: alice.publicKey,
        askFirst: true,
        sign: () => {
          signed = true;
          return Promise.reject(new Error("no"));
        },
      };
      const { error, begun } = await against(
        (server, [id]) => server.send(id === 5 ? accept : answer),
        signer,
      );
      assert.ok(error instanceof Fault);
      assert.deepEqual([signed, begun], [false, 0]);
    }
  });

  test("after partial success it goes on with the next key", async () => {
    const { client, server } = packetPair();
    const users: string[] = [];
    let requests = 0;
    server.receive(([id]) => {
      if (id === 5) server.send(accept);
      else if (++requests === 1)
        server.send(wire.UserauthFailure.encode({ canContinue: ["publickey"], partialSuccess: true }));
      else server.send(wire.UserauthSuccess.encode({}));
    });
    await logIn(client, { user: "root", signers: [alice.signer(), bob.signer()] }, () => users.push("in"));
    assert.deepEqual(users, ["in"]);

    const alone = await against((hungry, [id]) =>
      hungry.send(
        id === 5
          ? accept
          : wire.UserauthFailure.encode({ canContinue: ["keyboard-interactive"], partialSuccess: true }),
      ),
    );
    assert.ok(Fault.is(alone.error, "access_denied"));
    assert.match(alone.error.message, /asks for more \(keyboard-interactive\)/);
  });
});
