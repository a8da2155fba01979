import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectTcp, type Socket } from "node:net";
import { suite, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { second } from "#core/clock";
import { silentLog } from "#core/log";
import { selfSigned } from "../../../test/self-signed.ts";
import { clientAddress, httpApp } from "../index.ts";
import { type HttpsDoor, listenHttps } from "./listen.ts";

const pair = selfSigned();
const line = "PROXY TCP4 192.0.2.7 198.51.100.1 5000 443\r\n";
const question = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
const everybody = (): boolean => true;

/** A server that answers each request with the address that it takes for the client's. */
async function serve(door: Partial<HttpsDoor>) {
  const app = await httpApp({ log: silentLog });
  app.get("/", ({ raw }) => ({ from: clientAddress(raw.socket) }));
  return await listenHttps(app, {
    address: { host: "127.0.0.1", port: 0 },
    setting: "web_listen_addr",
    pair,
    maxConnections: 100,
    log: silentLog,
    wait: { handshake: 10 * second, headers: 10 * second, request: 10 * second, idle: 10 * second },
    ...door,
  });
}

async function open(port: number, before: string): Promise<Socket> {
  const socket = connectTcp({ host: "127.0.0.1", port });
  socket.on("error", () => {});
  await once(socket, "connect");
  if (before !== "") socket.write(before);
  return socket;
}
const over = (socket: Socket): Socket => connectTls({ socket, rejectUnauthorized: false, host: "127.0.0.1" });

/** What is answered, "" when the door is shut in one's face. */
async function ask(socket: Socket, text = question): Promise<string> {
  let said = "";
  socket.on("error", () => {});
  if (text !== "") socket.write(text);
  try {
    for await (const chunk of socket) said += String(chunk);
  } catch {
    return "";
  }
  return said;
}

suite("the first bytes at an HTTPS listener", () => {
  test("a PROXY line of a believed peer names the client, in one piece or in many", async () => {
    await using listener = await serve({ mayBring: everybody });
    const { port } = listener.address;
    assert.match(await ask(over(await open(port, line))), /"from":"192\.0\.2\.7:5000"/);
    const slow = await open(port, "");
    for (const byte of line) {
      slow.write(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.match(await ask(over(slow)), /"from":"192\.0\.2\.7:5000"/);
    const own = over(await open(port, ""));
    await once(own, "secureConnect");
    assert.match(await ask(own), /"from":"127\.0\.0\.1:\d+"/);
  });

  for (const [what, door, before, behind] of [
    ["on a listener where it is off", {}, line, ""],
    ["of a peer who is not believed", { mayBring: () => false, mayBeClear: everybody }, line, ""],
    ["twice", { mayBring: everybody }, line + line, ""],
    ["after the handshake", { mayBring: everybody }, "", line],
    ["that is none", { mayBring: everybody }, "PROXY me\r\n", ""],
  ] as const) {
    test(`S64: a PROXY line ${what} is refused`, async () => {
      await using listener = await serve(door);
      const socket = over(await open(listener.address.port, before));
      assert.doesNotMatch(await ask(socket, behind + question), /200 OK/);
    });
  }

  test("LB-01: clear HTTP is served to whom it is allowed, beside TLS, with the client's address", async () => {
    await using listener = await serve({ mayBeClear: everybody, mayBring: everybody });
    const { port } = listener.address;
    assert.match(await ask(await open(port, "")), /200 OK[\s\S]*"from":"127\.0\.0\.1:/);
    assert.match(await ask(await open(port, line)), /200 OK[\s\S]*"from":"192\.0\.2\.7:5000"/);
    assert.match(await ask(over(await open(port, ""))), /200 OK/);
  });

  test("S14: and does not wait for slow ones there either, and is done with idle ones at the end", async () => {
    const wait = { handshake: second, headers: 100, request: 150, idle: 10 * second };
    const listener = await serve({ mayBeClear: everybody, wait });
    const { port } = listener.address;
    assert.match(await ask(await open(port, ""), "GET / HTTP/1.1\r\nHost: x\r\n"), /^HTTP\/1\.1 408 /);
    const idle = await open(port, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await once(idle, "data");
    const closed = once(idle.resume(), "close");
    await listener.close(new AbortController().signal);
    await closed;
  });

  test("LB-01: and to nobody else", async () => {
    for (const door of [{ mayBeClear: () => false, mayBring: everybody }, {}]) {
      await using listener = await serve(door);
      assert.doesNotMatch(await ask(await open(listener.address.port, "")), /200 OK/);
    }
  });

  test("CFG-112: without a certificate it is clear HTTP and nothing else", async () => {
    await using listener = await serve({ pair: undefined, mayBring: everybody });
    const { port } = listener.address;
    assert.match(await ask(await open(port, "")), /200 OK[\s\S]*"from":"127\.0\.0\.1:/);
    assert.match(await ask(await open(port, line)), /200 OK[\s\S]*"from":"192\.0\.2\.7:5000"/);
    await assert.rejects(once(over(await open(port, "")), "secureConnect"));
  });

  /** What came by SSH, and of whom; each is answered, once it has ended its half, with what it said. */
  async function serveSsh(door: Partial<HttpsDoor> = {}) {
    const clients: string[] = [];
    const listener = await serve({
      ...door,
      ssh: (socket, { host, port }) => {
        clients.push(`${host}:${port}`);
        // Whoever takes it may be busy before.
        setImmediate(() => {
          let said = "";
          socket.on("data", (chunk) => {
            said += String(chunk);
          });
          socket.once("end", () => socket.end(`heard ${said}`));
        });
      },
    });
    return { listener, clients };
  }
  const halfOpen = async (port: number): Promise<Socket> => {
    const socket = connectTcp({ host: "127.0.0.1", port, allowHalfOpen: true });
    await once(socket, "connect");
    return socket;
  };

  for (const [what, door] of [
    ["TLS", {}],
    ["TLS and clear HTTP", { mayBeClear: everybody }],
    ["clear HTTP alone", { pair: undefined }],
  ] as const) {
    test(`OVW-12: SSH is served beside ${what}, with all its bytes, in one piece or in many`, async () => {
      const { listener, clients } = await serveSsh(door);
      await using _ = listener;
      const { port } = listener.address;
      const whole = await halfOpen(port);
      whole.end("SSH-2.0-agent\r\nand more");
      assert.equal(await ask(whole, ""), "heard SSH-2.0-agent\r\nand more");
      const slow = await halfOpen(port);
      for (const byte of "SSH-2.0-slow") {
        slow.write(byte);
        await new Promise((resolve) => setImmediate(resolve));
      }
      slow.end();
      assert.equal(await ask(slow, ""), "heard SSH-2.0-slow");
      assert.match(clients.join(), /^127\.0\.0\.1:\d+,127\.0\.0\.1:\d+$/);
      const web = await open(port, "");
      assert.match(await ask("pair" in door ? web : over(web)), /200 OK/);
      if (!("mayBeClear" in door)) return;
      assert.match(await ask(await open(port, "")), /200 OK/);
      // It is looked at no further than to where it differs.
      assert.match(await ask(await open(port, ""), question.replace("GET", "SSX")), /^HTTP\/1\.1 400 /);
    });
  }

  test("OVW-12: a PROXY line before SSH names the client", async () => {
    const { listener, clients } = await serveSsh({ mayBring: everybody });
    await using _ = listener;
    const socket = await halfOpen(listener.address.port);
    socket.end(`${line}SSH-2.0-x`);
    assert.equal(await ask(socket, ""), "heard SSH-2.0-x");
    assert.deepEqual(clients, ["192.0.2.7:5000"]);
    assert.match(await ask(over(await open(listener.address.port, line))), /"from":"192\.0\.2\.7:5000"/);
  });

  test("OVW-12: SSH has the time it takes, counts as a connection of its source, and ends with the listener", async () => {
    const wait = { handshake: second, headers: 20, request: 30, idle: 20 };
    const { promise: taken, resolve } = Promise.withResolvers<Socket>();
    await using listener = await serve({ wait, maxConnections: 1, ssh: resolve });
    const { port } = listener.address;
    const socket = await open(port, "SSH-2.0-x");
    const far = await taken;
    const [early] = await once(far, "data");
    assert.equal(String(early), "SSH-2.0-x");
    await once((await open(port, "SSH-2.0-y")).resume(), "close");
    // Slow requests are looked for by the server itself, every 10 ms here, and would be over by now.
    await once(far.setTimeout(100), "timeout");
    socket.write("still here");
    assert.equal(String((await once(far, "data"))[0]), "still here");
    const closed = once(socket.resume(), "close");
    await listener.close(AbortSignal.abort());
    await closed;
  });

  test("OVW-12: what only begins like SSH is cut off in time, and where nobody takes SSH it is refused", async () => {
    const wait = { handshake: 100, headers: 100, request: 100, idle: second };
    const { listener, clients } = await serveSsh({ wait });
    await using _ = listener;
    await once((await open(listener.address.port, "SSH")).resume(), "close");
    assert.deepEqual(clients, []);
    await using none = await serve({ wait });
    await once((await open(none.address.port, "SSH-2.0-x\r\n")).resume(), "close");
  });

  test("S13: who says nothing is cut off", async () => {
    const wait = { handshake: 100, headers: 100, request: 100, idle: second };
    await using listener = await serve({ mayBring: everybody, wait });
    for (const begun of ["", "PROXY TCP4 "]) {
      const socket = await open(listener.address.port, begun);
      await once(socket.resume(), "close");
    }
  });

  test("CFG-27: only the suites that are named are taken of TLS 1.2, and TLS 1.3 besides", async () => {
    await using listener = await serve({ ciphers: "TLS_AES_128_GCM_SHA256:ECDHE-ECDSA-AES256-GCM-SHA384" });
    const { port } = listener.address;
    const shake = async (options: object): Promise<string> => {
      const socket = connectTls({ host: "127.0.0.1", port, rejectUnauthorized: false, ...options });
      await once(socket, "secureConnect");
      const { name } = socket.getCipher();
      socket.destroy();
      return name;
    };
    const old = (ciphers: string) => shake({ maxVersion: "TLSv1.2", ciphers });
    assert.equal(await old("ECDHE-ECDSA-AES256-GCM-SHA384"), "ECDHE-ECDSA-AES256-GCM-SHA384");
    await assert.rejects(old("ECDHE-ECDSA-AES128-GCM-SHA256"));
    assert.match(await shake({ minVersion: "TLSv1.3" }), /^TLS_AES_/);
    listener.replace(selfSigned());
    await assert.rejects(old("ECDHE-ECDSA-AES128-GCM-SHA256"));
  });
});
