import assert from "node:assert/strict";
import { once } from "node:events";
import { Agent, request } from "node:https";
import { connect as connectTcp, type Server } from "node:net";
import { suite, test } from "node:test";
import { connect, type TLSSocket } from "node:tls";
import { second } from "#core/clock";
import { Fault } from "#core/errors";
import { silentLog } from "#core/log";
import { selfSigned } from "../../../test/self-signed.ts";
import { httpApp } from "../index.ts";
import { type Listen, listen } from "../listen.ts";
import { type HttpsListener, listenHttps, type Patience } from "./listen.ts";

const pair = selfSigned();
const short: Patience = { handshake: 100, headers: 100, request: 150, idle: 10 * second };

/** A server with a route that answers at once and one that waits for `finish`. */
async function serve(wait?: Patience, maxConnections = 100, listening: Listen = listen) {
  const { promise: finished, resolve: finish } = Promise.withResolvers<void>();
  const { promise: entered, resolve: enter } = Promise.withResolvers<void>();
  const app = await httpApp({ log: silentLog });
  app.get("/", () => ({ message: "ok" }));
  app.post("/", () => ({ message: "ok" }));
  app.get("/slow", async () => {
    enter();
    await finished;
    return { message: "done" };
  });
  const listener = await listenHttps(app, {
    address: { host: "127.0.0.1", port: 0 },
    setting: "web_listen_addr",
    pair,
    maxConnections,
    listen: listening,
    log: silentLog,
    ...(wait && { wait }),
  });
  return { listener, entered, finish };
}

function get(port: number, path = "/", agent = new Agent()): Promise<{ status: number; text: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>();
  request({ host: "127.0.0.1", port, path, agent, rejectUnauthorized: false }, async (response) => {
    let text = "";
    for await (const chunk of response) text += String(chunk);
    resolve({ status: response.statusCode ?? 0, text });
  })
    .on("error", reject)
    .end();
  return promise;
}

async function open(listener: HttpsListener, options: object = {}): Promise<TLSSocket> {
  const socket = connect({
    host: "127.0.0.1",
    port: listener.address.port,
    rejectUnauthorized: false,
    ...options,
  });
  socket.on("error", () => {});
  await once(socket, "secureConnect");
  return socket;
}

async function readAll(socket: TLSSocket): Promise<string> {
  let text = "";
  for await (const chunk of socket) text += String(chunk);
  return text;
}

suite("the HTTPS listener", () => {
  test("answers over TLS 1.2 or later only", async () => {
    const { listener } = await serve();
    await using _ = listener;
    assert.deepEqual(await get(listener.address.port), { status: 200, text: '{"message":"ok"}' });
    const socket = connect({
      host: "127.0.0.1",
      port: listener.address.port,
      rejectUnauthorized: false,
      minVersion: "TLSv1",
      maxVersion: "TLSv1.1",
      ciphers: "DEFAULT@SECLEVEL=0",
    });
    await assert.rejects(once(socket, "secureConnect"));
  });

  test("shows a new certificate at once, and keeps the old one when the new is broken", async () => {
    const { listener } = await serve();
    await using _ = listener;
    const shown = async (): Promise<unknown> => {
      const socket = await open(listener);
      const { CN } = socket.getPeerCertificate().subject;
      socket.destroy();
      return CN;
    };
    assert.equal(await shown(), "localhost");
    assert.throws(
      () => listener.replace({ cert: selfSigned("other").cert, key: pair.key }),
      (err) => Fault.is(err, "bad_parameter"),
    );
    assert.equal(await shown(), "localhost");
    listener.replace(selfSigned("renewed"));
    assert.equal(await shown(), "renewed");
  });

  test("a port that is taken is a sentence", async () => {
    const { listener } = await serve();
    await using _ = listener;
    const app = await httpApp({ log: silentLog });
    await assert.rejects(
      listenHttps(app, {
        address: listener.address,
        setting: "web_listen_addr",
        pair,
        maxConnections: 1,
        log: silentLog,
      }),
      (err) => Fault.is(err, "unreachable") && /taken by another program.*web_listen_addr/.test(err.message),
    );
  });

  test("closing lets a request under way finish and takes no other", async () => {
    const { listener, entered, finish } = await serve();
    const slow = get(listener.address.port, "/slow");
    await entered;
    const closed = listener.close(new AbortController().signal);
    await assert.rejects(get(listener.address.port));
    finish();
    assert.deepEqual(await slow, { status: 200, text: '{"message":"done"}' });
    await closed;
  });

  test("closing cuts what is left when its signal aborts, handshakes too", async () => {
    const { listener, entered } = await serve();
    const slow = get(listener.address.port, "/slow");
    const silent = connectTcp({ host: "127.0.0.1", port: listener.address.port });
    silent.on("error", () => {});
    await Promise.all([entered, once(silent, "connect")]);
    const stop = new AbortController();
    const closed = listener.close(stop.signal);
    stop.abort();
    await assert.rejects(slow);
    await closed;
  });

  test("one that stopped listening before still waits for its last connection, and cuts it when the signal aborts", async () => {
    let server: Server | undefined;
    const { listener } = await serve(undefined, 100, (given, ...rest) => {
      server = given;
      return listen(given, ...rest);
    });
    const idle = await open(listener);
    server?.close();
    const stop = new AbortController();
    let over = false;
    const closed = listener.close(stop.signal).then(() => {
      over = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(over, false);
    stop.abort();
    await Promise.all([closed, new Promise((resolve) => idle.resume().once("close", resolve))]);
    await listener.close(stop.signal);
  });

  test("a connection with requests does not outlive the listener by its next request", async () => {
    const { listener, entered, finish } = await serve();
    await using _ = listener;
    const socket = await open(listener);
    socket.write("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
    await entered;
    const closed = listener.close(new AbortController().signal);
    socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    finish();
    let said = "";
    for await (const chunk of socket) {
      said += String(chunk);
      if (said.includes('"ok"')) break;
    }
    assert.match(said, /"done".*connection: close.*"ok"/is);
    await closed;
  });

  for (const [what, sent, status] of [
    ["headers that never end", "GET / HTTP/1.1\r\nHost: x\r\n", "408"],
    [
      "a body that never comes",
      "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\n",
      "408",
    ],
    ["headers over 16 KiB", `GET / HTTP/1.1\r\nHost: x\r\nX-A: ${"a".repeat(20_000)}\r\n\r\n`, "431"],
    ["something that is not HTTP", "\u0016\u0003 hello\r\n\r\n", "400"],
  ] as const) {
    test(`${what} get ${status} and the door`, async () => {
      const { listener } = await serve(short);
      await using _ = listener;
      const socket = await open(listener);
      socket.write(sent);
      assert.match(await readAll(socket), new RegExp(`^HTTP/1.1 ${status} `));
    });
  }

  test("one address has so many connections and no more, until one ends", async () => {
    const { listener } = await serve(undefined, 1);
    await using _ = listener;
    const socket = await open(listener);
    await assert.rejects(get(listener.address.port));
    socket.destroy();
    await once(socket, "close");
    while ((await get(listener.address.port).catch(() => undefined)) === undefined);
  });

  test("a client that never shakes hands is cut off", async () => {
    const { listener } = await serve(short);
    await using _ = listener;
    const socket = connectTcp({ host: "127.0.0.1", port: listener.address.port });
    await once(socket.resume(), "close");
  });
});
