import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { Fault } from "#core/errors";
import { answerUrl, isLoopbackHost, loopbackKey } from "./loopback.ts";

const key = "ab".repeat(32);

suite("where the answer of a login for a command goes", () => {
  for (const host of ["127.0.0.1", "127.1.2.3", "localhost", "[::1]"])
    test(`${host} is one's own machine`, () =>
      assert.equal(loopbackKey(`http://${host}:4242/callback?secret_key=${key}`), key));

  test("the key stays behind, the rest goes along", () =>
    assert.equal(
      answerUrl(`http://127.0.0.1:4242/callback?a=b&secret_key=${key}`, '{"x":"+/="}'),
      "http://127.0.0.1:4242/callback?a=b&response=%7B%22x%22%3A%22%2B%2F%3D%22%7D",
    ));

  for (const url of [
    `https://evil.example.com:80/callback?secret_key=${key}`,
    `http://evil.example.com:4242/callback?secret_key=${key}`,
    `http://127.0.0.1.evil.example.com:4242/?secret_key=${key}`,
    `http://127.0.0.1@evil.example.com:4242/?secret_key=${key}`,
    `http://evil.example.com:4242\\@127.0.0.1:4242/?secret_key=${key}`,
    `http://joe@127.0.0.1:4242/?secret_key=${key}`,
    `http://0.0.0.0:4242/?secret_key=${key}`,
    `http://10.0.0.1:4242/?secret_key=${key}`,
    `http://127.0.0.1/?secret_key=${key}`,
    `//127.0.0.1:4242/?secret_key=${key}`,
    `javascript:alert(1)//127.0.0.1:4242/?secret_key=${key}`,
    "http://127.0.0.1:4242/callback",
    "http://127.0.0.1:4242/callback?secret_key=abc",
    `http://127.0.0.1:4242/?secret_key=${key}&secret_key=${key}`,
    `http://127.0.0.1:4242/?secret_key=${key}#more`,
    "",
  ])
    test(`S67: refuses ${url}`, () =>
      assert.throws(
        () => loopbackKey(url),
        (err) => Fault.is(err, "bad_parameter"),
      ));

  test("a name that only begins like one's own machine is another", () => {
    assert.equal(isLoopbackHost("localhost.example.com"), false);
    assert.equal(isLoopbackHost("127.0.0.1.nip.io"), false);
  });
});
