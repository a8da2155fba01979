import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { before, suite, test } from "node:test";
import { type Clock, systemClock, TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { silentLog } from "#core/log";
import { type ClientOptions, connect } from "./client.ts";
import type { Connection } from "./connection/channel.ts";
import { generateKey, type PrivateKey, sameKey } from "./keys/index.ts";
import { type Accepted, accept, type ServerOptions } from "./server.ts";
import { openSession } from "./session/index.ts";
import { settle } from "./testing/packet-pair.ts";
import { streamPair } from "./testing/stream-pair.ts";

let host: PrivateKey;
let user: PrivateKey;
before(async () => {
  host = await generateKey("ed25519");
  user = await generateKey("ed25519");
});

function meet(
  change: { client?: Partial<ClientOptions>; server?: Partial<ServerOptions<string>>; clock?: Clock } = {},
  signal: AbortSignal = new AbortController().signal,
) {
  const [near, far] = streamPair();
  const common = { version: "Teleport", clock: change.clock ?? systemClock, log: silentLog };
  const server = accept<string>(
    {
      ...common,
      stream: far,
      hostKeys: [host.signer()],
      check: async ({ key, user: name }) => {
        if (!sameKey(key, user.publicKey)) throw new Fault("access_denied", "unknown key");
        return `identity of ${name}`;
      },
      ...change.server,
    },
    signal,
  );
  const client = connect(
    {
      ...common,
      stream: near,
      user: "root",
      signers: [user.signer()],
      verifyHost: (key) => assert.ok(sameKey(key, host.publicKey)),
      ...change.client,
    },
    signal,
  );
  server.catch(() => {});
  client.catch(() => {});
  return { client, server, near, far };
}

/** Gives back what a session sends, and its digest as the answer to nothing. */
function echo({ connection }: Accepted<string>): void {
  connection.onOpen(async (request) => {
    const channel = request.accept();
    channel.onRequest(() => true);
    for await (const chunk of channel) await channel.write(chunk);
    await channel.end();
    await channel.close();
  });
}

suite("ssh from end to end", () => {
  test("a client logs in, and both know who the other is", async () => {
    const { client, server } = meet();
    const [connection, accepted] = await Promise.all([client, server]);
    assert.ok(sameKey(connection.hostKey, host.publicKey));
    assert.equal(accepted.user, "root");
    assert.equal(accepted.identity, "identity of root");
    assert.equal(accepted.clientAddress, undefined);
    assert.equal(connection.remoteVersion, "SSH-2.0-Teleport");
    assert.deepEqual(connection.sessionId, accepted.connection.sessionId);
    await connection[Symbol.asyncDispose]();
    assert.equal(await accepted.connection.closed, undefined);
  });

  test("data arrives whole through many key exchanges that both sides start", async () => {
    const { client, server } = meet({
      client: { rekey: { bytes: 300_000 } },
      server: { rekey: { bytes: 500_000 } },
    });
    echo(await server);
    const { channel } = await openSession(await client);
    const sent = randomBytes(12 * 1024 * 1024);
    const got = createHash("sha256");
    const reading = (async () => {
      for await (const chunk of channel) got.update(chunk);
    })();
    for (let at = 0; at < sent.length; at += 100_000) await channel.write(sent.subarray(at, at + 100_000));
    await channel.end();
    await reading;
    assert.equal(got.digest("hex"), createHash("sha256").update(sent).digest("hex"));
    (await client).disconnect();
  });

  test("the address that a proxy names reaches the server", async () => {
    const { client, server } = meet({
      client: {
        preamble: (version) =>
          version.startsWith("SSH-2.0-Teleport")
            ? Buffer.from('Teleport-Proxy{"clientAddr":"192.0.2.1:5000"}\0')
            : undefined,
      },
    });
    assert.equal((await server).clientAddress, "192.0.2.1:5000");
    (await client).disconnect();
  });

  for (const [why, change, said] of [
    ["an unknown user key", { client: { signers: [] } }, /no key to log in with/],
    [
      "a host that the client does not know",
      {
        client: {
          verifyHost: () => {
            throw new Fault("access_denied", "host key is not known");
          },
        },
      },
      /host key is not known/,
    ],
  ] as const) {
    test(`${why} ends both sides, streams and all`, async () => {
      const { client, server, near, far } = meet(change);
      await assert.rejects(client, said);
      await assert.rejects(server, (err) => err instanceof Fault);
      if (!near.destroyed) await new Promise((resolve) => near.once("close", resolve));
      if (!far.destroyed) await new Promise((resolve) => far.once("close", resolve));
    });
  }

  test("a client that does not log in within the grace time is cut off", async () => {
    const clock = new TestClock();
    const { server, client } = meet({
      clock,
      server: { loginGrace: 5000 },
      client: { signers: () => new Promise(() => {}), timeout: 60_000 },
    });
    for (let i = 0; i < 200 && clock.sleeping < 2; i++) await settle(1);
    await clock.advance(5000);
    await assert.rejects(server, /did not log in in time/);
    await assert.rejects(client, (err) => Fault.is(err, "unreachable"));
  });

  test("a server that says nothing is given up", async () => {
    const clock = new TestClock();
    const [near] = streamPair();
    const client = connect(
      {
        stream: near,
        user: "root",
        version: "Teleport",
        signers: [],
        verifyHost() {},
        timeout: 3000,
        clock,
        log: silentLog,
      },
      new AbortController().signal,
    );
    const late = assert.rejects(client, (err) => Fault.is(err, "unreachable"));
    await clock.advance(3000);
    await late;
  });

  test("the deadline is for the login only; the signal ends the connection later too", async () => {
    const clock = new TestClock();
    const stop = new AbortController();
    const { client, server } = meet({ clock }, stop.signal);
    const [connection] = await Promise.all([client, server]);
    await clock.advance(1_000_000);
    const { connection: other } = await server;
    other.onRequest(() => true);
    assert.ok(await connection.request("ping", new Uint8Array(0), true));
    stop.abort(new Fault("unreachable", "shutting down"));
    assert.match((await connection.closed)?.message ?? "", /shutting down/);
  });

  test("a channel the server opens together with its success reaches the client's handler", async () => {
    const { client, server } = meet();
    const opened = server.then(({ connection }) => connection.open("teleport-heartbeat"));
    const connection: Connection = await client;
    connection.onOpen((request) => void request.accept());
    assert.equal((await opened).channel.kind, "teleport-heartbeat");
    connection.disconnect();
  });
});
