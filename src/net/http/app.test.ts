import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { Fault, type FaultKind } from "#core/errors";
import { memoryLog, silentLog } from "#core/log";
import { httpApp } from "../index.ts";

suite("an HTTP application of ours", () => {
  test("S47: headers that claim who or where a client is never reach a route; ours and the ordinary do", async () => {
    const app = await httpApp({ log: silentLog });
    app.get("/", ({ headers }) => headers);
    const claims = {
      "X-Forwarded-For": "10.0.0.1",
      "X-Forwarded-Proto": "http",
      "X-Real-IP": "10.0.0.1",
      "X-Original-URL": "/admin",
      "X-Remote-User": "root",
      "X-WebAuth-User": "root",
      "X-Teleport-User": "root",
      "X-Auth-Request-Email": "root@example.com",
      Forwarded: "for=10.0.0.1",
      "Remote-User": "root",
      "True-Client-IP": "10.0.0.1",
    };
    const { headers } = {
      headers: { ...claims, "X-CSRF-Token": "t", Authorization: "Bearer b", Accept: "*/*" },
    };
    const got = (await app.inject({ url: "/", headers })).json() as Record<string, string>;
    const { host: _, "user-agent": __, ...rest } = got;
    assert.deepEqual(rest, { "x-csrf-token": "t", authorization: "Bearer b", accept: "*/*" });
  });

  for (const [kind, status] of [
    ["bad_parameter", 400],
    ["access_denied", 403],
    ["not_found", 404],
    ["already_exists", 409],
    ["compare_failed", 409],
    ["limit_exceeded", 429],
    ["internal", 500],
    ["protocol", 502],
    ["unreachable", 503],
  ] as [FaultKind, number][]) {
    test(`${kind} is ${status} with its sentence; the operator hears of it from 500 on`, async () => {
      const log = memoryLog();
      const app = await httpApp({ log });
      app.get("/", () => {
        throw new Fault(kind, "a sentence", { cause: new Error("inside") });
      });
      const answer = await app.inject("/");
      assert.equal(answer.statusCode, status);
      assert.deepEqual(answer.json(), { message: "a sentence" });
      assert.equal(log.lines.length, status >= 500 ? 1 : 0);
    });
  }

  test("a path that cannot be decoded is 400", async () => {
    const answer = await (await httpApp({ log: silentLog })).inject("/%");
    assert.equal(answer.statusCode, 400);
    assert.deepEqual(answer.json(), { message: "the request cannot be read" });
  });
});
