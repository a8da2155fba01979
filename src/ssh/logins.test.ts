import assert from "node:assert/strict";
import type { Duplex } from "node:stream";
import { before, suite, test } from "node:test";
import { TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { silentLog } from "#core/log";
import { connect } from "./client.ts";
import { generateKey, type PrivateKey, sameKey } from "./keys/index.ts";
import { accept } from "./server.ts";
import { settle } from "./testing/packet-pair.ts";
import { RawPeer } from "./testing/raw-peer.ts";
import { streamPair } from "./testing/stream-pair.ts";
import { ServiceAccept, ServiceRequest } from "./wire/transport.ts";
import { UserauthFailure, UserauthRequest } from "./wire/userauth.ts";

let host: PrivateKey;
let user: PrivateKey;
before(async () => {
  host = await generateKey("ed25519");
  user = await generateKey("ed25519");
});

/** A server that knows one key, with what it tells of the login, and the far end of its stream. */
function serve(options: { maxAuthTries?: number; loginGrace?: number } = {}) {
  const [near, far] = streamPair();
  const clock = new TestClock();
  const told: string[] = [];
  const common = { version: "Teleport", clock, log: silentLog };
  const done = accept<string>(
    {
      ...common,
      ...options,
      stream: near,
      hostKeys: [host.signer()],
      check: async ({ key }) => {
        if (!sameKey(key, user.publicKey)) throw new Fault("access_denied", "unknown key");
        return "it";
      },
      guest: { loggedIn: () => told.push("in"), failed: (how) => told.push(how) },
    },
    new AbortController().signal,
  );
  done.catch(() => {});
  const logIn = (key: PrivateKey, stream: Duplex = far) =>
    connect(
      { ...common, stream, user: "root", signers: [key.signer()], verifyHost() {} },
      new AbortController().signal,
    );
  /** An honest peer up to the question who it is. */
  const begun = async (): Promise<RawPeer> => {
    const peer = new RawPeer(far, "client");
    await peer.versions();
    await peer.exchange();
    peer.send(ServiceRequest.encode({ service: "ssh-userauth" }));
    await peer.until(ServiceAccept.id);
    return peer;
  };
  return { done, told, clock, far, logIn, begun };
}

const attempt = (methodName: string, request = new Uint8Array(0)): Uint8Array =>
  UserauthRequest.encode({ userName: "root", serviceName: "ssh-connection", methodName, request });

suite("how a login went, for who counts them", () => {
  test("in", async () => {
    const { done, told, logIn } = serve();
    const connection = await logIn(user);
    await done;
    connection.disconnect();
    await connection.closed;
    assert.deepEqual(told, ["in"]);
  });

  test("refused, though the client leaves by itself", async () => {
    const { done, told, logIn } = serve();
    const stranger = await generateKey("ed25519");
    await assert.rejects(logIn(stranger));
    await assert.rejects(done);
    assert.deepEqual(told, ["refused"]);
  });

  test("S13: late, when it has not logged in within the time for it, whatever it did until then", async () => {
    for (const how of ["nothing", "versions", "exchange"] as const) {
      const { done, told, clock, far, begun } = serve({ loginGrace: 5000 });
      if (how === "versions") await new RawPeer(far, "client").versions();
      if (how === "exchange") await begun();
      await settle(20);
      await clock.advance(4999);
      assert.deepEqual(told, []);
      await clock.advance(1);
      await assert.rejects(done, (err) => Fault.is(err, "limit_exceeded"));
      assert.deepEqual(told, ["late"], how);
    }
  });

  for (const [what, text] of [
    ["bytes that are no SSH", "GET / HTTP/1.1\r\n\r\n"],
    ["a version line that never ends", `SSH-2.0-${"x".repeat(300)}`],
    ["a version line and a packet of 4 GiB", "SSH-2.0-x\r\n\xff\xff\xff\xff123456789012345"],
    ["a second word of a proxy", `${'Teleport-Proxy{"clientAddr":"192.0.2.1:5"}\0'.repeat(2)}SSH-2.0-x\r\n`],
    ["a PROXY line of HAProxy", "PROXY TCP4 192.0.2.1 192.0.2.2 5000 22\r\nSSH-2.0-x\r\n"],
    ["a binary PROXY header", "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c123456789012SSH-2.0-x\r\n"],
  ] as const) {
    test(`${what.includes("PROXY") || what.includes("proxy") ? "S64: " : ""}broken, by ${what}`, async () => {
      const { done, told, far } = serve();
      far.write(Buffer.from(text, "latin1"));
      await assert.rejects(done, (err) => Fault.is(err, "protocol"));
      assert.deepEqual(told, ["broken"]);
    });
  }

  test("S64: broken, by a second word of a proxy that comes later", async () => {
    const { done, told, far } = serve();
    for (const ip of ["192.0.2.1", "192.0.2.2"]) {
      far.write(`Teleport-Proxy{"clientAddr":"${ip}:5"}\0`);
      await settle();
    }
    far.write("SSH-2.0-x\r\n");
    await assert.rejects(done, (err) => Fault.is(err, "protocol"));
    assert.deepEqual(told, ["broken"]);
  });

  test("left, after it began to speak SSH and before it tried to log in", async () => {
    const { done, told, far } = serve();
    await new RawPeer(far, "client").versions();
    far.destroy();
    await assert.rejects(done);
    assert.deepEqual(told, ["left"]);
  });

  test("nothing is told of who connects and leaves", async () => {
    const { done, told, far } = serve();
    far.end();
    await assert.rejects(done);
    assert.deepEqual(told, []);
  });
});

suite("attempts to log in", () => {
  test("S13: every method counts, `none` too from the second time on", async () => {
    const { done, begun } = serve({ maxAuthTries: 4 });
    const peer = await begun();
    for (const method of ["none", "none", "password", "keyboard-interactive"]) {
      peer.send(attempt(method));
      await peer.until(UserauthFailure.id);
    }
    peer.send(attempt("hostbased"));
    assert.equal((await peer.until(1))[0], 1);
    await assert.rejects(done, /too many refused attempts/);
  });
});
