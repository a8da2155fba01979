import assert from "node:assert/strict";
import { createServer } from "node:net";
import { suite, test } from "node:test";
import { Fault } from "#core/errors";
import { dial, formatAddress, listen, parseAddress } from "./index.ts";

suite("addresses", () => {
  for (const [text, host, port] of [
    ["db", "db", 3022],
    ["db:22", "db", 22],
    ["tcp://10.0.0.1:3025", "10.0.0.1", 3025],
    ["[::1]:22", "::1", 22],
    ["[::1]", "::1", 3022],
    ["::1", "::1", 3022],
  ] as const) {
    test(`${text} is ${host} and ${port}`, () => assert.deepEqual(parseAddress(text, 3022), { host, port }));
  }
  for (const text of ["", ":22", "db:", "db:70000", "a:b", "[db]:22", "http://x", "db:22:22"]) {
    test(`refuses ${JSON.stringify(text)}`, () =>
      assert.throws(
        () => parseAddress(text, 1),
        (err) => Fault.is(err, "bad_parameter"),
      ));
  }
  test("an IPv6 host is written in brackets", () => {
    assert.equal(formatAddress({ host: "::1", port: 22 }), "[::1]:22");
    assert.equal(formatAddress({ host: "db", port: 22 }), "db:22");
  });
});

suite("listening and dialling", () => {
  const here = { host: "127.0.0.1", port: 0 };

  test("port 0 becomes a real port, and a taken one is named with the setting to change", async () => {
    const first = createServer();
    const bound = await listen(first, here, "auth_service.listen_addr");
    await assert.rejects(
      listen(createServer(), bound, "auth_service.listen_addr"),
      (err) =>
        Fault.is(err, "unreachable") &&
        err.message.includes(`127.0.0.1:${bound.port}`) &&
        err.message.includes("auth_service.listen_addr"),
    );
    first.close();
  });

  test("a refused connection says so", async () => {
    const server = createServer();
    const bound = await listen(server, here, "x");
    await new Promise((done) => server.close(done));
    await assert.rejects(dial(bound, AbortSignal.timeout(5000)), /127\.0\.0\.1:\d+: connection refused/);
  });

  test("an aborted dial ends with the reason", async () => {
    await assert.rejects(
      dial({ host: "127.0.0.1", port: 1 }, AbortSignal.abort(new Error("enough"))),
      /enough/,
    );
  });
});
