import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { type Config, load } from "#config";
import { keyPageTrouble } from "./key-pages.ts";

const { configure, parseConfigFile } = await load();
const read = (yaml: string): Config =>
  configure({
    file: parseConfigFile(yaml, "file"),
    flags: {},
    defaults: { nodename: "host", dataDir: "/nowhere" },
  }).config;
const factor = "second_factor: webauthn, u2f: {app_id: 'https://example.com'}";
const withKeys = (publicAddr: string): Config =>
  read(`{auth_service: {authentication: {${factor}}}, proxy_service: {public_addr: [${publicAddr}]}}`);

suite("pages on which browsers ask for security keys", () => {
  for (const [what, addresses, selfSigned, said] of [
    ["a self-signed certificate", "example.com", true, /self-signed/],
    [
      "an address as the only name",
      "10.0.0.1",
      false,
      /are for example\.com .* no proxy_service\.public_addr/,
    ],
    ["another host's name", "notexample.com", false, /no proxy_service\.public_addr lies there/],
  ] as const)
    test(`the operator is told of ${what}`, () =>
      assert.match(keyPageTrouble(withKeys(addresses), selfSigned) ?? "", said));

  for (const addresses of ["", "example.com", "proxy.Example.com:443", "'10.0.0.1', 'example.com:3080'"])
    test(`public_addr: [${addresses}] is fine`, () =>
      assert.equal(keyPageTrouble(withKeys(addresses), false), undefined));

  test("where no security key is asked for, or auth is elsewhere, nothing is said", () => {
    assert.equal(keyPageTrouble(read("{}"), true), undefined);
    const elsewhere = `{auth_service: {enabled: no, authentication: {${factor}}}}`;
    assert.equal(keyPageTrouble(read(elsewhere), true), undefined);
  });
});
