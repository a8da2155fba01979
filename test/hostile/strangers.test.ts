import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { request } from "node:https";
import { connect, type Socket } from "node:net";
import { after, before, suite, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { RawPeer } from "../../src/ssh/testing/raw-peer.ts";
import { skipUnless } from "../support/installed.ts";
import { type Cluster, type Ports, pause, startCluster, until } from "./cluster.ts";

const host = "127.0.0.1";
const megabyte = 1024 * 1024;

/** What a stranger writes at once on a new connection. */
const bursts: Readonly<Record<string, () => Uint8Array | string>> = {
  nothing: () => "",
  "random bytes": () => randomBytes(4096),
  "a megabyte of random bytes": () => randomBytes(megabyte),
  "a line that never ends": () => "A".repeat(megabyte),
  "an SSH version line that never ends": () => `SSH-2.0-${"x".repeat(300_000)}`,
  "thousands of lines before the version": () => "hello\r\n".repeat(50_000),
  "SSH version 1": () => "SSH-1.5-old\r\n",
  "a version line and a packet of 4 GiB": () =>
    Buffer.concat([Buffer.from("SSH-2.0-x\r\n"), Buffer.from("ffffffff", "hex"), randomBytes(64)]),
  "a version line and an empty packet": () =>
    Buffer.concat([Buffer.from("SSH-2.0-x\r\n"), Buffer.from("00000000", "hex"), randomBytes(64)]),
  "a version line and random bytes": () => Buffer.concat([Buffer.from("SSH-2.0-x\r\n"), randomBytes(65_536)]),
  "a huge line from a proxy": () => `Teleport-Proxy{"clientAddr":"${"9".repeat(200_000)}"}\0SSH-2.0-x\r\n`,
  "a line from a proxy that is no JSON": () => "Teleport-Proxy{{{{\0SSH-2.0-x\r\n",
  "an HTTP request": () => "GET / HTTP/1.1\r\nhost: x\r\n\r\n",
  "HTTP nonsense": () => "GET\0 / HTTP/9.9\r\n\x01: x\r\n\r\n",
  "two lengths of one body": () =>
    "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
  "a TLS hello that promises more": () => Buffer.from("16030100ff010000fb0303", "hex"),
  "a TLS record of the wrong length": () =>
    Buffer.concat([Buffer.from("160301ffff", "hex"), randomBytes(70_000)]),
  "a TLS alert": () => Buffer.from("15030100020228", "hex"),
};

suite("strangers at every port", { skip: skipUnless("ssh", "ssh-keygen") }, () => {
  let cluster: Cluster;
  /** Strangers who began before all tests and say no more. */
  let silent: Socket[] = [];
  before(async () => {
    cluster = await startCluster();
    silent = await Promise.all(
      (["web", "auth"] as const).flatMap((door) =>
        [[], [0x16, 0x03], [0x16, 0x03, 0x01, 0x00, 0xff]].map(async (bytes) => {
          const socket = await open(door);
          socket.write(Uint8Array.from(bytes));
          return socket;
        }),
      ),
    );
    // What is opened at the first use is open; and ports answer in order, so the silent are among the counted files.
    await unharmed();
    assert.equal((await https("web", "/webapi/ping", { method: "GET" })).status, 200);
  });
  after(() => cluster[Symbol.asyncDispose]());

  const doors = ["node", "proxy", "web", "auth", "diag"] as const satisfies (keyof Ports)[];
  const open = async (door: keyof Ports): Promise<Socket> => {
    const socket = connect({ host, port: cluster.ports[door], allowHalfOpen: true });
    socket.on("error", () => {});
    socket.resume();
    await once(socket, "connect");
    return socket;
  };

  /** Waits until the server has ended its side, by an end or a reset. */
  async function ended(socket: Socket, otherwise: string): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    for (const event of ["end", "close"]) socket.once(event, resolve);
    const late = pause(5000).then(() => {
      throw new Error(otherwise);
    });
    if (!socket.readableEnded && !socket.destroyed) await Promise.race([promise, late]);
    late.catch(() => {});
  }

  /** People and operators notice nothing. */
  async function unharmed(): Promise<void> {
    const ran = await cluster.ssh(cluster.joe, "testnode.main", "echo still here");
    assert.deepEqual([ran.code, ran.out], [0, "still here\n"], ran.err);
    assert.equal((await cluster.tctl("status")).code, 0);
    assert.equal((await fetch(`http://${host}:${cluster.ports.diag}/healthz`)).status, 200);
    const said = cluster.said();
    assert.doesNotMatch(said, /^\s+at |unhandled|uncaught/im);
    assert.doesNotMatch(said, / ERROR /, "nothing a stranger does is an error of the daemon");
  }

  for (const door of doors) {
    test(`S13: a stranger at the ${door} port who never hangs up is hung up on`, async () => {
      const baseline = cluster.files();
      const nonsense = bursts["a version line and random bytes"]?.() ?? "";
      const sockets = await Promise.all(Array.from({ length: 10 }, () => open(door)));
      for (const socket of sockets) {
        socket.write(nonsense);
        await ended(socket, `the ${door} port keeps a stranger`);
      }
      await until(async () => cluster.files() <= baseline + 2, 8000);
      for (const socket of sockets) socket.destroy();
    });

    test(`S05, S06, S07, S14: bursts at the ${door} port end with their connections`, async () => {
      const baseline = cluster.files();
      const before = cluster.memory();
      for (const burst of Object.values(bursts)) {
        const sockets = await Promise.all(Array.from({ length: 6 }, () => open(door)));
        for (const [i, socket] of sockets.entries()) {
          socket.write(burst());
          // Some leave at once, some politely, some stay until they are thrown out or the test has seen enough.
          if (i % 3 === 0) socket.destroy();
          else if (i % 3 === 1) socket.end();
        }
        await pause(10);
        for (const socket of sockets) socket.destroy();
      }
      await until(async () => cluster.files() <= baseline + 2);
      await unharmed();
      assert.ok(
        cluster.memory() - before < 150 * megabyte,
        `${(cluster.memory() - before) / megabyte} MB more`,
      );
    });
  }

  test("a packet of nonsense ends a connection at once, not at the login grace", async () => {
    for (const door of ["node", "proxy"] as const) {
      for (const name of [
        "a version line and a packet of 4 GiB",
        "a version line and random bytes",
        "SSH version 1",
        "a line that never ends",
        "an HTTP request",
      ]) {
        const socket = await open(door);
        socket.write(bursts[name]?.() ?? "");
        await ended(socket, `the ${door} port keeps a stranger who sent ${name}`);
      }
    }
  });

  test("S13: half-done handshakes by the hundred keep nobody out", async () => {
    const baseline = cluster.files();
    const held: Socket[] = [];
    for (const door of ["node", "proxy"] as const) {
      for (let i = 0; i < 150; i++) {
        const socket = await open(door);
        held.push(socket);
        const peer = new RawPeer(socket, "client");
        if (i % 3 === 0) void peer.versions().catch(() => {});
        if (i % 3 === 1) {
          void peer
            .versions()
            .then(() => peer.send(peer.init()))
            .catch(() => {});
        }
      }
    }
    for (const door of ["web", "auth", "diag"] as const) {
      for (let i = 0; i < 100; i++) {
        const socket = await open(door);
        held.push(socket);
        if (i % 2 === 0) socket.write(Buffer.from("16030100ff010000fb0303", "hex"));
      }
    }
    await unharmed();
    for (const socket of held) socket.destroy();
    await until(async () => cluster.files() <= baseline + 2);
  });

  test("S02, S03, S04: messages out of their order after an honest key exchange", async () => {
    const baseline = cluster.files();
    const words = [
      "05", // a service request cut short
      "5a00000007736573736970", // a channel before the login
      "50", // a global request before the login
      "34", // "you are in", from the client
      "32ffffffff", // a login with a name of 4 GiB
      `32${"00".repeat(30_000)}`,
      "15", // new keys again
      "14", // a key exchange without lists
      "ff",
      "",
    ];
    for (const door of ["node", "proxy"] as const) {
      for (const word of words) {
        const socket = await open(door);
        const peer = new RawPeer(socket, "client");
        await peer.versions();
        await peer.exchange({ algorithms: { hostKeys: ["ssh-ed25519"] } });
        peer.send(Uint8Array.fromHex(word));
        await ended(socket, `the ${door} port lives on after ${word.slice(0, 40)}`);
      }
    }
    await until(async () => cluster.files() <= baseline + 2);
    await unharmed();
  });

  test("TLS at an SSH port and SSH at the TLS ports end quickly", async () => {
    for (const door of ["node", "proxy"] as const) {
      const tls = connectTls({ host, port: cluster.ports[door], rejectUnauthorized: false });
      await assert.rejects(
        once(tls, "secureConnect", { signal: AbortSignal.timeout(5000) }),
        (err: Error) => {
          assert.notEqual(err.name, "AbortError", `the ${door} port keeps a TLS client waiting`);
          return true;
        },
      );
      tls.destroy();
    }
    for (const door of ["web", "auth", "diag"] as const) {
      const socket = await open(door);
      socket.write("SSH-2.0-OpenSSH_9.2\r\n");
      await ended(socket, `the ${door} port keeps an SSH client`);
    }
  });

  /** One HTTPS request; the status, or 0 when the connection was ended instead. */
  function https(
    door: "web" | "auth",
    path: string,
    { method = "POST", headers = {}, body = "" as string | Uint8Array } = {},
  ): Promise<{ status: number; body: string }> {
    const { promise, resolve } = Promise.withResolvers<{ status: number; body: string }>();
    const port = cluster.ports[door];
    const all = { "content-type": "application/json", ...headers };
    const sent = request(
      { host, port, path, method, headers: all, rejectUnauthorized: false, agent: false },
      async (answer) => {
        const parts: Buffer[] = [];
        try {
          for await (const part of answer) parts.push(part as Buffer);
        } catch {
          // Cut off in the middle: what came counts.
        }
        resolve({ status: answer.statusCode ?? 0, body: Buffer.concat(parts).toString() });
      },
    );
    sent.once("error", () => resolve({ status: 0, body: "" }));
    sent.setTimeout(10_000, () => sent.destroy(new Error("no answer")));
    sent.end(body);
    return promise;
  }

  const hostilePaths: readonly [string, string, Parameters<typeof https>[2]?][] = [
    ["an unknown path", "/webapi/nothing"],
    ["a path that cannot be decoded", "/%E0%A4%A", { method: "GET" }],
    ["a path that climbs", "/web/..%2f..%2f..%2fetc/passwd", { method: "GET" }],
    ["a path that climbs in the open", "/../../../../etc/passwd", { method: "GET" }],
    ["a zero byte", "/web/%00", { method: "GET" }],
    ["a long path", `/${"a".repeat(10_000)}`, { method: "GET" }],
    ["an unknown method", "/webapi/ping", { method: "PROPFIND" }],
    ["no JSON", "/webapi/sessions", { body: "{" }],
    ["JSON that is no object", "/webapi/ssh/certs", { body: "[[[[]]]]" }],
    ["null", "/webapi/ssh/certs", { body: "null" }],
    ["an empty body", "/webapi/ssh/certs", { body: "" }],
    ["a body of another type", "/webapi/ssh/certs", { headers: { "content-type": "text/plain" }, body: "x" }],
    [
      "a form",
      "/webapi/sessions",
      { headers: { "content-type": "application/x-www-form-urlencoded" }, body: "user=a&pass=b" },
    ],
    [
      "a body said to be gzip",
      "/webapi/sessions",
      { headers: { "content-encoding": "gzip" }, body: randomBytes(100) },
    ],
    ["a body of 10 MB", "/webapi/sessions", { body: `{"user":"${"a".repeat(10 * megabyte)}"}` }],
    ["deep JSON", "/webapi/sessions", { body: `${'{"a":'.repeat(10_000)}1${"}".repeat(10_000)}` }],
    ["__proto__", "/webapi/sessions", { body: '{"__proto__":{"admin":true},"user":"joe","pass":"x"}' }],
    [
      "constructor.prototype",
      "/webapi/sessions",
      { body: '{"constructor":{"prototype":{"admin":true}},"user":"joe","pass":"x"}' },
    ],
    ["an invite of nonsense", "/webapi/users/invites/%2e%2e%2f", { method: "GET" }],
    [
      "too many headers",
      "/webapi/ping",
      { headers: Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`x-${i}`, "y"])) },
    ],
    ["a header of 100 kB", "/webapi/ping", { headers: { cookie: "x".repeat(100_000) } }],
    ["an operation that is not there", "/v2/users.destroy", { body: "{}" }],
    ["an operation of Object's", "/v2/constructor", { body: "{}" }],
    ["an operation named __proto__", "/v2/__proto__", { body: "{}" }],
    ["an upload of nothing known", "/v2/recordings.upload?input=%7B", { method: "PUT", body: "x" }],
    ["an operation for members", "/v2/users.list", { body: "{}" }],
    ["an operation with nonsense", "/v2/hosts.join", { body: '{"role":"Node","token":{"$gt":""}}' }],
    ["events of a stranger", "/v2/audit.emit", { body: '{"events":[{"event":"x"}]}' }],
  ];
  for (const door of ["web", "auth"] as const) {
    test(`S61: requests of strangers at the ${door} port get a sentence and a status below 500`, async () => {
      for (const [what, path, options] of hostilePaths) {
        const { status, body } = await https(door, path, options);
        // Below /web/ every path is the app's page, which says for itself what is not there.
        const page =
          path.startsWith("/web/") && (body.startsWith("<!doctype html>") || body.includes("are not built"));
        assert.ok(page || (status < 500 && status !== 200), `${what}: ${status} ${body}`);
        assert.doesNotMatch(body, /\n\s+at |node_modules|\/src\/|ENOENT|SyntaxError|ZodError/, what);
        if (body.startsWith("{")) assert.equal(typeof JSON.parse(body).message, "string", `${what}: ${body}`);
      }
      await unharmed();
    });
  }

  test("S05: keys to certify that are no keys are refused with a sentence", async () => {
    const base = { user: "joe", password: cluster.password, otp_token: "", ttl: 3600e9, compatibility: "" };
    const b64 = (text: string | Uint8Array): string => Buffer.from(text).toString("base64");
    const line = (type: string, blob: Uint8Array): string => b64(`${type} ${b64(blob)}`);
    for (const pub_key of [
      "",
      "%%%",
      b64(randomBytes(500)),
      b64("ssh-ed25519"),
      b64("ssh-ed25519 AAAA"),
      line("ssh-ed25519", randomBytes(51)),
      line("ssh-rsa", Buffer.from("000000077373682d727361ffffffff", "hex")),
      line("ssh-ed25519", Buffer.from("0000000b7373682d656432353531390000000101", "hex")),
      line("ecdsa-sha2-nistp256", Buffer.from("0000001365636473612d736861322d6e697374703235360000", "hex")),
      "A".repeat(16_000),
    ]) {
      const { status, body } = await cluster.post("/webapi/ssh/certs", { ...base, pub_key });
      assert.equal(status, 400, `${pub_key.slice(0, 60)}: ${body}`);
      assert.match(JSON.parse(body).message, /\w/);
      assert.doesNotMatch(body, /node_modules|\\n\s+at /);
    }
    const good = Buffer.from(
      "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGNqGl1eDxx0nOzT0mfZw2cD3VYyOv+MlRlUlyUUW+tG",
    );
    for (const tls_pub_key of [
      "%%%",
      b64("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"),
      b64(randomBytes(90)),
    ]) {
      const asked = { ...base, pub_key: b64(good), tls_pub_key };
      const { status, body } = await cluster.post("/webapi/ssh/certs", asked);
      assert.equal(status, 400, body);
    }
    await unharmed();
  });

  test("S14: people who send a byte at a time hold up nobody", async () => {
    const slow = await Promise.all(
      doors.flatMap((door) =>
        Array.from({ length: 20 }, async () => {
          const socket = await open(door);
          socket.write(door === "web" || door === "auth" ? "\x16" : "S");
          return socket;
        }),
      ),
    );
    await unharmed();
    for (const socket of slow) socket.destroy();
  });

  test("S13, S14: a TLS handshake that does not go on is ended after 10 s", async () => {
    await until(async () => silent.every((socket) => socket.readableEnded || socket.destroyed), 25_000);
  });
});
