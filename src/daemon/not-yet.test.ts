import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { type Config, load } from "#config";
import { Fault } from "#core/errors";
import { notYet } from "./not-yet.ts";

const { configure, parseConfigFile } = await load();
const read = (yaml: string): Config =>
  configure({
    file: parseConfigFile(yaml, "file"),
    flags: {},
    defaults: { nodename: "host", dataDir: "/nowhere" },
  }).config;

suite("settings of the admin guide that this version does not carry out", () => {
  for (const [section, said] of [
    ["auth_service: {session_recording: proxy}", /would not be recorded/],
    ["ssh_service: {pam: {enabled: yes}}", /would not pass PAM/],
  ] as const) {
    test(`${section} is refused`, () =>
      assert.throws(
        () => notYet(read(section)),
        (err) => Fault.is(err, "bad_parameter") && said.test(err.message),
      ));
  }

  test("security keys are offered", () => {
    const asked = "second_factor: u2f, u2f: {app_id: 'https://proxy.example.com:3080'}";
    assert.deepEqual(notYet(read(`auth_service: {authentication: {${asked}}}`)), []);
  });

  test("a service that does not run here asks for nothing", () => {
    const asked = "session_recording: proxy, trusted_clusters: [{name: a, token: b, web_proxy_addr: 'c:1'}]";
    assert.deepEqual(notYet(read(`auth_service: {enabled: no, ${asked}}`)), []);
  });

  test("others are told of, a line each", () => {
    const yaml = `
proxy_service: {kubernetes: {enabled: yes}}
`;
    assert.deepEqual(notYet(read(yaml)), ["proxy_service.kubernetes has no effect in this version"]);
  });

  test("the defaults ask for nothing else", () => assert.deepEqual(notYet(read("")), []));
});
