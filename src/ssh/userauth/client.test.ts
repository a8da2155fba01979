import assert from "node:assert/strict";
import { before, suite, test } from "node:test";
import { Fault } from "#core/errors";
import { checkCertificate, type Signer, sameKey } from "../keys/index.ts";
import { packetPair, settle, type TestTransport } from "../testing/packet-pair.ts";
import { certified, known, type People, people, sent } from "../testing/people.ts";
import * as transportWire from "../wire/transport.ts";
import * as userauthWire from "../wire/userauth.ts";
import { logIn } from "./client.ts";
import { type AdmitOptions, type Admitted, admit } from "./server.ts";

const wire = { ...transportWire, ...userauthWire };

let { alice, bob, rsa, ca }: People = {} as People;
before(async () => {
  ({ alice, bob, rsa, ca } = await people());
});

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
    const certificate = await certified(ca, rsa);
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

  test("who is let in and at once sent away has logged in: the connection is what ends", async () => {
    const ends = packetPair();
    const server = admit(ends.server, { check: known({ alice }) }, () => ends.server.disconnect(12, "full"));
    await logIn(ends.client, { user: "root", signers: [alice.signer()] }, () => {});
    await server;
    assert.match(String(await ends.client.closed), /full/);
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

  test("a server that lets anyone in needs no key", async () => {
    const { client, server } = packetPair();
    const methods: string[] = [];
    server.receive((payload) => {
      if (payload[0] === 5) {
        server.send(accept);
        return;
      }
      methods.push(wire.UserauthRequest.decode(payload).methodName);
      server.send(wire.UserauthSuccess.encode({}));
    });
    assert.equal(await logIn(client, { user: "root", signers: [] }, () => "in"), "in");
    assert.deepEqual(methods, ["none"]);
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
