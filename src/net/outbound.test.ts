import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { after, suite, test } from "node:test";
import { createServer as createTlsServer } from "node:tls";
import { second, systemClock, TestClock } from "#core/clock";
import { Fault, type FaultKind } from "#core/errors";
import { selfSigned } from "../../test/self-signed.ts";
import { ownAddress, ownHost, skipUnlessOwnHost } from "../../test/support/connect-proxy.ts";
import { outbound } from "./outbound.ts";

const here = ownHost ?? "";
const skip = skipUnlessOwnHost;
const patience = () => AbortSignal.timeout(20 * second);
const target = { host: "main.example.com", port: 3024 };

suite("connections to the outside", () => {
  const stack = new AsyncDisposableStack();
  after(() => stack.disposeAsync());

  /** A proxy of the test's own: `answer` gets each request's header. Its port, and the headers so far. */
  async function proxy(answer: (socket: Socket, header: string) => void, secure = false) {
    const seen: string[] = [];
    const open = new Set<Socket>();
    const take = (socket: Socket): void => {
      open.add(socket);
      socket.on("error", () => {});
      let header = "";
      const read = (chunk: Buffer): void => {
        header += chunk.toString("latin1");
        if (!header.includes("\r\n\r\n")) return;
        socket.off("data", read);
        seen.push(header);
        answer(socket, header);
      };
      socket.on("data", read);
    };
    const server = secure ? createTlsServer(selfSigned(), take) : createServer(take);
    server.on("tlsClientError", () => {});
    server.listen(0);
    await once(server, "listening");
    stack.defer(() => {
      for (const socket of open) socket.destroy();
      server.close();
    });
    return { port: (server.address() as AddressInfo).port, seen };
  }

  const saysOk = (socket: Socket): void => void socket.write("HTTP/1.1 200 OK\r\n\r\nSSH-2.0-first\r\n");

  async function firstBytes(socket: Socket): Promise<string> {
    for await (const chunk of socket) return String(chunk);
    return "";
  }

  const refused =
    (kind: FaultKind, why: RegExp) =>
    (err: unknown): boolean =>
      Fault.is(err, kind) && why.test(err.message);

  for (const [what, env, authorization] of [
    ["http://host:port", (at: string) => ({ HTTPS_PROXY: `http://${at}` }), undefined],
    ["http://host:port/", (at: string) => ({ http_proxy: `http://${at}/` }), undefined],
    ["bare host:port", (at: string) => ({ HTTP_PROXY: ` ${at} ` }), undefined],
    ["user:password@host:port", (at: string) => ({ https_proxy: `joe:s%3Ae%20c@${at}` }), "joe:s:e c"],
    ["user@host:port", (at: string) => ({ https_proxy: `http://100%25@${at}` }), "100%:"],
    [
      "the first of the variables that is not empty",
      (at: string) => ({ HTTPS_PROXY: "", https_proxy: at, HTTP_PROXY: "http://127.0.0.1:1" }),
      undefined,
    ],
  ] as const) {
    test(`${what} asks the proxy, and no byte behind its answer is lost`, { skip }, async () => {
      const { port, seen } = await proxy(saysOk);
      const { dial, refusal } = outbound(env(`${here}:${port}`), systemClock);
      assert.equal(refusal, undefined);
      const socket = await dial(target, patience());
      assert.equal(await firstBytes(socket), "SSH-2.0-first\r\n");
      const login = authorization && `Basic ${Buffer.from(authorization).toString("base64")}`;
      assert.deepEqual(seen, [
        `CONNECT main.example.com:3024 HTTP/1.1\r\nHost: main.example.com:3024\r\n${login ? `Proxy-Authorization: ${login}\r\n` : ""}\r\n`,
      ]);
    });
  }

  test("an IPv6 target has brackets; one with addresses is asked for by its name, once", {
    skip,
  }, async () => {
    const { port, seen } = await proxy((socket, header) =>
      header.includes("main.") ? socket.end("HTTP/1.1 502 no\r\n\r\n") : saysOk(socket),
    );
    const { dial } = outbound({ HTTP_PROXY: `${here}:${port}` }, systemClock);
    (await dial({ host: "2001:db8::7", port: 22 }, patience())).destroy();
    await assert.rejects(
      dial({ ...target, addresses: ["203.0.113.1", "203.0.113.2"] }, patience()),
      refused("unreachable", /502 no/),
    );
    assert.deepEqual(
      seen.map((header) => header.split(" ")[1]),
      ["[2001:db8::7]:22", "main.example.com:3024"],
    );
    await assert.rejects(
      dial({ ...target, addresses: [] }, patience()),
      refused("unreachable", /no such host/),
    );
  });

  test("a proxy's header may come byte by byte", { skip }, async () => {
    const answer = [..."HTTP/1.1 200 OK\r\nVia: x\r\n\r\nabc"];
    const { port } = await proxy(function say(socket) {
      const byte = answer.shift();
      if (byte === undefined) socket.end();
      else socket.write(byte, () => setImmediate(say, socket));
    });
    const { dial } = outbound({ HTTP_PROXY: `${here}:${port}` }, systemClock);
    let said = "";
    for await (const chunk of await dial(target, patience())) said += String(chunk);
    assert.equal(said, "abc");
  });

  for (const [what, answer, kind, why] of [
    [
      "that refuses",
      "HTTP/1.1 403 Not \x1byou\r\n\r\n",
      "unreachable",
      /^unable to proxy connection: HTTP\/1\.1 403 Not {2}you$/,
    ],
    [
      "that says another kind of yes",
      "HTTP/1.1 204 None\r\n\r\n",
      "unreachable",
      /^unable to proxy connection: HTTP\/1\.1 204 None$/,
    ],
    ["that hangs up", "", "unreachable", /hung up without an answer/],
    ["that is none", "SSH-2.0-x\r\n", "protocol", /does not answer like one of HTTP/],
    ["that says too much", `HTTP/1.1 200 OK\r\n${"A: b\r\n".repeat(4000)}`, "protocol", /header without end/],
  ] as const) {
    test(`CON-05: a proxy ${what} is told of, and its connection ended`, { skip }, async () => {
      const { promise: closed, resolve } = Promise.withResolvers<void>();
      const { port } = await proxy((socket) => {
        socket.once("close", () => resolve());
        socket.resume();
        if (answer === "") socket.end();
        else socket.write(answer, "latin1");
      });
      const { dial } = outbound({ HTTP_PROXY: `joe:planted@${here}:${port}` }, systemClock);
      await assert.rejects(dial(target, patience()), (err) => {
        assert.doesNotMatch(JSON.stringify(err) + String(err), /planted/);
        return refused(kind, why)(err);
      });
      await closed;
    });
  }

  test("S13: one that says nothing is left after 30 s, and at once when nobody waits any more", {
    skip,
  }, async () => {
    const { promise: asked, resolve } = Promise.withResolvers<void>();
    const { port } = await proxy(() => resolve());
    const clock = new TestClock();
    const { dial } = outbound({ HTTP_PROXY: `${here}:${port}` }, clock);
    const failed = assert.rejects(
      dial(target, patience()),
      refused("unreachable", /HTTP_PROXY: .* within 30 s/),
    );
    await asked;
    await clock.advance(30 * second);
    await failed;
    const stop = new AbortController();
    const left = assert.rejects(dial(target, stop.signal), /enough/);
    stop.abort(new Error("enough"));
    await left;
    assert.equal(clock.sleeping, 0);
  });

  test("with https:// the proxy's certificate has to verify before anything is said", { skip }, async () => {
    const { port, seen } = await proxy(saysOk, true);
    const { dial } = outbound({ HTTPS_PROXY: `https://joe:planted@${here}:${port}` }, systemClock);
    await assert.rejects(
      dial(target, patience()),
      refused("unreachable", /^HTTPS_PROXY: no TLS with the proxy .*self-signed/),
    );
    assert.deepEqual(seen, []);
  });

  test("a proxy that is not there is named with its variable", { skip }, async () => {
    const server = createServer().listen(0);
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    const { dial } = outbound({ http_proxy: `${here}:${port}` }, systemClock);
    await assert.rejects(
      dial(target, patience()),
      refused("unreachable", /^http_proxy: cannot connect to .* refused$/),
    );
  });

  test("a host that would be another line of the request is not asked for", async () => {
    const { dial } = outbound({ http_proxy: "http://203.0.113.1:1" }, systemClock);
    for (const host of ["a b", "a\r\nX: y", ""])
      await assert.rejects(dial({ host, port: 1 }, patience()), refused("bad_parameter", /is no host/));
  });

  for (const [what, env, names] of [
    ["without a proxy", {}, ["127.0.0.1", "localhost"]],
    [
      "to this machine, whatever the proxy",
      { HTTPS_PROXY: "http://203.0.113.1:1" },
      ["127.0.0.1", "localhost"],
    ],
  ] as const) {
    test(`directly ${what}`, async () => {
      const server = createServer((socket) => socket.end("direct"));
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      stack.defer(() => void server.close());
      const { port } = server.address() as AddressInfo;
      const { dial } = outbound(env, systemClock);
      for (const host of names)
        assert.equal(await firstBytes(await dial({ host, port }, patience())), "direct");
    });
  }

  test("directly to what NO_PROXY lists, by its name or by an address that it is known by", {
    skip: ownAddress === undefined && "this machine has no address but loopback ones",
  }, async () => {
    const server = createServer((socket) => socket.end("direct"));
    server.listen(0);
    await once(server, "listening");
    stack.defer(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const proxied = { HTTP_PROXY: "http://127.0.0.1:1" };
    for (const NO_PROXY of [`${ownAddress}/32`, `x, ${ownAddress}:${port}`, "main.example.com"]) {
      const { dial } = outbound({ ...proxied, NO_PROXY }, systemClock);
      const socket = await dial(
        { host: "main.example.com", port, addresses: [ownAddress ?? ""] },
        patience(),
      );
      assert.equal(await firstBytes(socket), "direct");
    }
  });

  for (const value of [
    ...[
      "http://localhost:3128",
      "localhost:3128",
      "127.0.0.1:3128",
      "https://joe:planted@127.1:1",
      "[::1]:3128",
    ],
    ...["http://LOCALHOST.", "http://[::ffff:127.0.0.1]:1", "0.0.0.0:3128", "http://2130706433:3128"],
  ]) {
    test(`CON-03: the proxy ${value} is refused, and nothing goes past it`, async () => {
      const { dial, refusal = "", proxy: used } = outbound({ https_proxy: value }, systemClock);
      assert.match(
        refusal,
        /^https_proxy: .*localhost or a loopback address; give another name of it, or a private address$/,
      );
      assert.equal(used, undefined);
      await assert.rejects(dial({ host: "203.0.113.1", port: 1 }, patience()), {
        kind: "bad_parameter",
        message: refusal,
      });
    });
  }

  for (const value of [
    "socks5://joe:planted@gate:1080",
    "http://",
    "http://gate:99999",
    "http://gate:0",
    "a b",
  ]) {
    test(`${JSON.stringify(value)} is no proxy, and nothing goes past it`, async () => {
      const { dial, refusal } = outbound({ HTTP_PROXY: value }, systemClock);
      assert.equal(refusal, "HTTP_PROXY is not the address of an HTTP proxy; write it as http://host:port");
      await assert.rejects(dial(target, patience()), { kind: "bad_parameter", message: refusal });
    });
  }
});
