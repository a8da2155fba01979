import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { createServer as createHttpsServer, request } from "node:https";
import { connect, createServer, type Socket } from "node:net";
import { buffer } from "node:stream/consumers";
import { after, before, suite, test } from "node:test";
import { type TLSSocket, connect as tlsConnect } from "node:tls";
import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { openAuthClient } from "#authclient";
import type { Alive, AuthContract, MirrorChange } from "#contract/auth";
import type { Handlers, Heard, Sink } from "#contract/rpc";
import { hour, minute, TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { memoryLog } from "#core/log";
import { Queue } from "#core/queue";
import { type Caller, type CertAuthority, type Identity, Node } from "#model";
import { issueTls, makeAuthority, makeTlsKey, type TlsPair } from "#pki";
import { introduce } from "#ssh/brought";
import { formatPublicKeyLine, generateKey, issueCertificate } from "#ssh/keys";
import { authApi } from "../src/auth/api/api.ts";
import { identify } from "../src/auth/certificates/peer.ts";

const clock = new TestClock();
const sshAuthority = await generateKey("ed25519");
const hostId = "6a1b4c5e-8a45-4a2e-9f0d-2f7d2c1d5b01";

async function authority(type: "user" | "host"): Promise<{ pair: TlsPair; ca: CertAuthority }> {
  const pair = await makeAuthority({ clusterName: "main", keyType: "ecdsa-p256", now: clock.now() });
  const ca: CertAuthority = {
    kind: "cert_authority",
    version: "v2",
    metadata: { name: "main" },
    spec: {
      type,
      cluster_name: "main",
      checking_keys: [formatPublicKeyLine({ key: sshAuthority.publicKey })],
      tls_key_pairs: [{ cert: pair.cert }],
    },
  };
  return { pair, ca };
}

async function certificate(
  ca: TlsPair,
  commonName: string,
  organizations: string[],
  dnsNames: string[] = [],
  organizationalUnits: string[] = [],
): Promise<TlsPair> {
  const { publicKey, privateKey } = await makeTlsKey("ecdsa-p256");
  const cert = await issueTls({
    ca,
    publicKey,
    subject: { commonName, organizations, organizationalUnits },
    dnsNames,
    notBefore: clock.now(),
    notAfter: clock.now() + 10 * 365 * 24 * hour,
  });
  return { cert, key: privateKey };
}

const der = (pem: string): Uint8Array => Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ""), "base64");

suite("auth API", async () => {
  const user = await authority("user");
  const host = await authority("host");
  const foreign = await authority("user");
  const authorities = [user.ca, host.ca];
  const server = await certificate(
    host.pair,
    `${hostId}.main`,
    ["Auth"],
    ["*.teleport.cluster.local", "teleport.cluster.local"],
  );
  const log = memoryLog();
  const gone: string[] = [];
  const heard: string[][] = [];

  const nodes = Array.from({ length: 500 }, (_, i) =>
    Node.parse({ kind: "node", version: "v2", metadata: { name: `${i}` }, spec: { hostname: `ü-${i}` } }),
  );
  const handlers = {
    "cluster.ca": async () => ({ tls_ca_certs: [host.pair.cert] }),
    "nodes.list": async () => nodes,
    "users.delete": async ({ name }: { name: string }) => {
      if (name === "bug") throw new Error("secret detail of the bug");
      throw new Fault("not_found", `user ${name} is not found`, { details: { name } });
    },
    "mirror.watch": (
      _input: unknown,
      _caller: Caller,
      signal: AbortSignal,
      answers: Sink<MirrorChange>,
      said: Heard<Alive> | undefined,
    ) => {
      answers.push({ type: "reset" });
      signal.addEventListener("abort", () => gone.push("watch"));
      if (!said) answers.push({ type: "live" });
      said?.(({ kinds }) => {
        heard.push(kinds);
        if (kinds.length === 0) answers.end();
        else answers.push({ type: "beat" });
      }).catch((err: unknown) => answers.end(err));
    },
    "recordings.upload": async (_input: unknown, body: AsyncIterable<Uint8Array>) => {
      let size = 0;
      for await (const part of body) size += part.length;
      return { size };
    },
  } as unknown as Handlers<AuthContract>;
  const callers: Identity[] = [];
  const callerOf = (identity: Identity): Caller => {
    callers.push(identity);
    return {
      ...identity,
      name: identity.kind,
      can: () => identity.kind === "system" && identity.role === "Admin",
    };
  };
  const app = authApi({
    handlers,
    callerOf,
    authorities: () => authorities,
    trusted: () => [],
    certificate: server,
    clock,
    log,
  });
  const sockets = new Set<TLSSocket>();
  app.server.on("secureConnection", (socket: TLSSocket) => sockets.add(socket));
  let port = 0;
  before(async () => {
    await app.listen({ host: "127.0.0.1", port: 0 });
    port = (app.server.address() as { port: number }).port;
  });
  after(() => app.close());

  const dial = async (): Promise<Socket> => {
    const socket = connect({ host: "127.0.0.1", port });
    await once(socket, "connect");
    return socket;
  };
  const clientAs = (pair: TlsPair | undefined, trusted = [host.pair.cert]) =>
    openAuthClient({
      dial,
      authorities: trusted,
      clusterName: "main",
      version: "5.0.0",
      ...(pair && { certificate: pair }),
    });

  test("a stranger may fetch the CA and nothing that needs a certificate", async () => {
    const client = clientAs(undefined);
    assert.deepEqual(await client["cluster.ca"]({}), { tls_ca_certs: [host.pair.cert] });
    await assert.rejects(client["users.list"]({}), (err) => Fault.is(err, "access_denied"));
    client.close();
  });

  test("S33: a certificate that is bound to addresses is good there only, by what the system or a proxy of ours says of them", async () => {
    const bound = (range: string) => certificate(user.pair, "joe", ["dev"], [], [`source-address:${range}`]);
    const [here, away] = [await bound("127.0.0.1/32"), await bound("192.0.2.0/24")];
    /** A call over a connection that begins with these bytes. */
    const call = async (pair: TlsPair, before?: Uint8Array): Promise<unknown> => {
      const client = openAuthClient({
        dial: async () => {
          const socket = await dial();
          if (before) socket.write(before);
          return socket;
        },
        authorities: [host.pair.cert],
        clusterName: "main",
        version: "5.0.0",
        certificate: pair,
      });
      try {
        return await client["cluster.ca"]({});
      } finally {
        client.close();
      }
    };
    const refused = (err: unknown): boolean =>
      Fault.is(err, "access_denied") && /may not be used from/.test(err.message);
    const key = await generateKey("ed25519");
    const certified = async (role: string) =>
      key.signer(
        await issueCertificate(
          {
            key: key.publicKey,
            type: "host",
            keyId: "x",
            serial: 1n,
            principals: ["x"],
            validAfter: BigInt(clock.now() / 1000 - 60),
            validBefore: BigInt(clock.now() / 1000 + 3600),
            extensions: new Map([["x-teleport-role", role]]),
          },
          sshAuthority.signer(),
        ),
      );
    const word = async (role: string, audience = "auth") =>
      introduce("192.0.2.7:5000", { audience, user: "", signer: await certified(role), now: clock.now() });

    assert.ok(await call(here));
    await assert.rejects(call(away), refused);
    assert.ok(await call(away, await word("Proxy")));
    await assert.rejects(call(here, await word("Proxy")), refused);
    for (const lie of [
      await introduce("192.0.2.7:5000"),
      await word("Node"),
      await word("Proxy", "node-1"),
      Buffer.concat([await introduce("192.0.2.8:5000"), await word("Proxy")]),
    ])
      await assert.rejects(call(away, lie));
  });

  test("a fault crosses the wire with kind, sentence and details", async () => {
    const client = clientAs(await certificate(host.pair, `${hostId}.main`, ["Admin"]));
    await assert.rejects(
      client["users.delete"]({ name: "joe" }),
      (err) =>
        Fault.is(err, "not_found") && err.message === "user joe is not found" && err.details.name === "joe",
    );
    client.close();
  });

  test("AUTH-24: a renewed certificate is shown from the next call on, also while another call is under way", async () => {
    const other = "9c1d2e3f-1111-4222-8333-0123456789ab";
    let current = await certificate(host.pair, `${hostId}.main`, ["Node"]);
    const client = openAuthClient({
      dial,
      certificate: () => current,
      authorities: [host.pair.cert],
      clusterName: "main",
      version: "5.0.0",
    });
    callers.length = 0;
    await client["cluster.ca"]({});
    const underWay = client["cluster.ca"]({});
    current = await certificate(host.pair, `${other}.main`, ["Node"]);
    await underWay;
    for (let i = 0; i < 3; i++) await client["cluster.ca"]({});
    assert.deepEqual(
      callers.map((identity) => identity.kind === "system" && identity.hostId),
      [hostId, hostId, other, other, other],
    );
    client.close();
  });

  test("S72: an unexpected error tells the caller nothing and the log all", async () => {
    const client = clientAs(await certificate(host.pair, `${hostId}.main`, ["Admin"]));
    await assert.rejects(
      client["users.delete"]({ name: "bug" }),
      (err) => Fault.is(err, "internal") && !err.message.includes("secret"),
    );
    assert.ok(log.lines.some((line) => String(line.fields.error).includes("secret detail")));
    client.close();
  });

  test("a feed streams until the reader stops, and the handler learns of it", async () => {
    const client = clientAs(await certificate(host.pair, `${hostId}.main`, ["Node"]));
    const seen: string[] = [];
    for await (const change of client["mirror.watch"]({})) {
      seen.push(change.type);
      if (change.type === "live") break;
    }
    assert.deepEqual(seen, ["reset", "live"]);
    while (gone.length === 0) await new Promise((resolve) => setImmediate(resolve));
    client.close();
  });

  test("a feed that ends says so; one that is cut off is an error and not an end", async () => {
    const client = clientAs(await certificate(host.pair, `${hostId}.main`, ["Node"]));
    const says = async function* (...kinds: Alive["kinds"][]): AsyncGenerator<Alive> {
      for (const one of kinds) yield { type: "alive", kinds: one };
      await new Promise(() => {});
    };
    const whole = await Array.fromAsync(client["mirror.watch"]({}, undefined, () => says(["node"], [])));
    assert.deepEqual(whole, [{ type: "reset" }, { type: "beat" }]);
    const cut = client["mirror.watch"]({}, undefined, () => says(["node"]))[Symbol.asyncIterator]();
    await cut.next();
    await cut.next();
    const rest = cut.next();
    // Cleanly, as somebody would who wants a list to look whole.
    for (const socket of sockets) socket.end();
    await assert.rejects(rest, (err) => Fault.is(err, "unreachable"));
    client.close();
  });

  suite("a feed that is talked to", () => {
    const asNode = async () => clientAs(await certificate(host.pair, `${hostId}.main`, ["Node"]));
    const talking = async (
      say: (signal: AbortSignal) => AsyncIterable<Alive>,
      stop = new AbortController(),
    ) => {
      const client = await asNode();
      return {
        client,
        stop,
        answers: client["mirror.watch"]({}, stop.signal, say)[Symbol.asyncIterator](),
      };
    };

    test("hears each word when it is said, a minute later too, and answers on the same stream", async () => {
      const said = new Queue<Alive>();
      const { client, answers } = await talking(() => said);
      assert.deepEqual((await answers.next()).value, { type: "reset" });
      for (const kinds of [["node"], ["proxy"], ["node", "proxy"]] satisfies Alive["kinds"][]) {
        said.push({ type: "alive", kinds });
        assert.deepEqual((await answers.next()).value, { type: "beat" });
        assert.deepEqual(heard.at(-1), kinds);
        await clock.advance(2 * minute);
      }
      said.end();
      await answers.return?.();
      client.close();
    });

    test("tells who talks when it is over", async () => {
      let over = false;
      const { client, stop, answers } = await talking(async function* (signal) {
        yield { type: "alive", kinds: ["node"] };
        await once(signal, "abort");
        over = true;
      });
      await answers.next();
      await answers.next();
      stop.abort();
      await answers.return?.();
      await new Promise((resolve) => setImmediate(resolve));
      assert.ok(over);
      client.close();
    });

    test("S14: nonsense, and a line without end, end it", async () => {
      for (const nonsense of [{ type: "dead" }, { type: "alive", kinds: ["x".repeat(100_000)] }]) {
        const { client, answers } = await talking(async function* () {
          yield nonsense as Alive;
        });
        await answers.next();
        await assert.rejects(answers.next(), (err) =>
          Fault.is(err, nonsense.type === "dead" ? "bad_parameter" : "limit_exceeded"),
        );
        client.close();
      }
    });

    test("S14: a stranger that goes on talking is cut off", async () => {
      const socket = tlsConnect({ port, host: "127.0.0.1", rejectUnauthorized: false });
      socket.write(
        `POST /v2/mirror.watch HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{}\n\r\n`,
      );
      let answer = "";
      for await (const part of socket) answer += String(part);
      assert.match(answer, /^HTTP\/1\.1 403 /);
    });

    test("an operation that is not one has no ears", async () => {
      const socket = tlsConnect({ port, host: "127.0.0.1", rejectUnauthorized: false });
      socket.write(
        `POST /v2/cluster.ca HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{}\n\r\n`,
      );
      let answer = "";
      for await (const part of socket) answer += String(part);
      assert.match(answer, /^HTTP\/1\.1 400 /);
    });
  });

  test("an upload arrives whole", async () => {
    const client = clientAs(await certificate(host.pair, `${hostId}.main`, ["Node"]));
    const parts = (async function* () {
      for (let i = 0; i < 64; i++) yield new Uint8Array(65_536);
    })();
    const answer = await client["recordings.upload"]({ sid: hostId, file: "bytes", offset: 0 }, parts);
    assert.equal(answer.size, 64 * 65_536);
    client.close();
  });

  test("S31: a user certificate with the role Admin in it is a user, not the admin", async () => {
    const mallory = await certificate(user.pair, `${hostId}.main`, ["Admin"]);
    assert.equal(identify(der(mallory.cert), authorities, clock).kind, "user");
    const client = clientAs(mallory);
    await assert.rejects(client["users.delete"]({ name: "joe" }), (err) => Fault.is(err, "access_denied"));
    client.close();
  });

  test("S26: a certificate of another CA of the same name, and a CA's own certificate, are refused", async () => {
    for (const pair of [await certificate(foreign.pair, "joe", ["admin"]), foreign.pair, user.pair]) {
      assert.throws(
        () => identify(der(pair.cert), authorities, clock),
        (err) => Fault.is(err, "access_denied"),
      );
    }
    const client = clientAs(await certificate(foreign.pair, "joe", ["admin"]));
    await assert.rejects(client["cluster.ca"]({}), /not of this cluster/);
    client.close();
  });

  test("S37: an expired certificate is refused with the time, also on a connection made before", async () => {
    const pair = await certificate(user.pair, "joe", ["admin"]);
    const later = new TestClock(clock.now() + 11 * 365 * 24 * hour);
    assert.throws(() => identify(der(pair.cert), authorities, later), /has expired on 20/);
  });

  test("a client does not talk to a server of another CA", async () => {
    const client = clientAs(undefined, [foreign.pair.cert]);
    await assert.rejects(client["cluster.ca"]({}), (err) => Fault.is(err, "access_denied"));
    client.close();
  });

  test("nobody there is a sentence", async () => {
    const client = openAuthClient({
      dial: () =>
        Promise.reject(new Fault("unreachable", "cannot connect to 127.0.0.1:1: connection refused")),
      version: "5.0.0",
    });
    await assert.rejects(client["cluster.ca"]({}), /connection refused/);
    client.close();
  });

  test("a long list is packed for who understands that, and is the same for all", async () => {
    const admin = await certificate(host.pair, `${hostId}.main`, ["Admin"]);
    const client = clientAs(admin);
    assert.deepEqual(await client["nodes.list"]({}), nodes);
    client.close();
    const ask = async (headers: Record<string, string>) => {
      const sent = request({
        ...{ host: "127.0.0.1", port, path: "/v2/nodes.list", method: "POST", agent: false, ...admin },
        ...{ ca: host.pair.cert, servername: "teleport.cluster.local" },
        headers: { "content-type": "application/json", "x-teleport-version": "5.0.0", ...headers },
      }).end("{}");
      const [answer] = (await once(sent, "response")) as [IncomingMessage];
      return { as: answer.headers["content-encoding"], body: await buffer(answer) };
    };
    const whole = await ask({});
    assert.equal(whole.as, undefined);
    assert.deepEqual(JSON.parse(whole.body.toString()), nodes);
    const packed = await ask({ "accept-encoding": "zstd" });
    assert.equal(packed.as, "zstd");
    assert.ok(packed.body.length * 5 < whole.body.length);
    assert.deepEqual(zstdDecompressSync(packed.body), whole.body);
  });

  for (const [what, body, refusal] of [
    [
      "unpacks to more memory than any answer may take",
      zstdCompressSync(Buffer.alloc(65 << 20)),
      /too large/,
    ],
    ["is packed and damaged", Buffer.from("no Zstandard"), /damaged/],
  ] as const) {
    test(`an answer that ${what} is refused`, async () => {
      const liar = createHttpsServer({ cert: server.cert, key: server.key }, (_request, response) => {
        response.setHeader("content-encoding", "zstd");
        response.end(body);
      }).listen(0, "127.0.0.1");
      await once(liar, "listening");
      const client = openAuthClient({
        dial: async () => connect({ host: "127.0.0.1", port: (liar.address() as { port: number }).port }),
        authorities: [host.pair.cert],
        version: "5.0.0",
      });
      await assert.rejects(
        client["nodes.list"]({}),
        (err) => Fault.is(err, "protocol") && refusal.test(err.message),
      );
      client.close();
      liar.close();
    });
  }

  test("a server that falls silent on an open connection is given up, and the next call opens another", async () => {
    const sockets: Socket[] = [];
    const relay = createServer((near) => {
      const far = connect({ host: "127.0.0.1", port });
      near.pipe(far).pipe(near);
      sockets.push(near, far);
    }).listen(0, "127.0.0.1");
    await once(relay, "listening");
    let at = (relay.address() as { port: number }).port;
    const client = openAuthClient({
      dial: async () => connect({ host: "127.0.0.1", port: at }),
      authorities: [host.pair.cert],
      version: "5.0.0",
      silence: 700,
    });
    await client["cluster.ca"]({});
    at = port;
    for (const socket of sockets) socket.unpipe().pause();
    const [near] = sockets;
    await assert.rejects(client["cluster.ca"]({}), /did not answer within 0\.7 s/);
    // What was not heard must not be sent for minutes, and be heard after it was said anew.
    const reset = once(near as Socket, "close").catch((err: unknown) => err);
    near?.resume();
    assert.equal(((await reset) as { code?: string }).code, "ECONNRESET");
    await client["cluster.ca"]({});
    assert.equal(sockets.length, 2);
    client.close();
    for (const socket of sockets) socket.destroy();
    relay.close();
  });
});
