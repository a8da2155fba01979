import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { load } from "#config";
import { Fault } from "#core/errors";
import type { FromChild, FromParent } from "./own-process.ts";
import { companionConfig, vouchedBy } from "./processes.ts";

suite("a further process of a proxy", () => {
  test("is a proxy and nothing else, with a data folder of its own", async () => {
    const { configure, parseConfigFile } = await load();
    const { config } = configure({
      file: parseConfigFile("teleport: {pid_file: /run/teleport.pid}\nproxy_service: {processes: 3}", "file"),
      flags: { diagAddr: "127.0.0.1:3000" },
      defaults: { nodename: "host", dataDir: "/data" },
    });
    const own = companionConfig(config, 3);
    assert.deepEqual(
      [own.auth_service.enabled, own.ssh_service.enabled, own.proxy_service.enabled],
      [false, false, true],
    );
    assert.equal(own.teleport.data_dir, "/data/proxies/3");
    assert.deepEqual([own.teleport.pid_file, own.process.diag_addr], [undefined, undefined]);
    assert.deepEqual(own.proxy_service, config.proxy_service);
    assert.deepEqual(own.teleport.auth_servers, config.teleport.auth_servers);
  });

  test("has the process that started it ask for its certificates, again when that was refused", async () => {
    const sent: FromChild[] = [];
    let answer: (message: FromParent) => void = () => {};
    let listeners = 0;
    const certify = vouchedBy({
      inherited: [],
      companion: 2,
      send: (message) => void sent.push(message),
      onMessage: (listener) => {
        listeners++;
        answer = listener;
      },
      onGone: () => {},
    });
    const asked = { node_name: "host", additional_principals: [], dns_names: [] };
    const keys = { ...asked, public_ssh_key: "ssh", public_tls_key: "tls" };
    const certs = { cert: "a", tls_cert: "b", tls_ca_certs: ["c"], ssh_ca_certs: ["d"] };
    const first = certify(keys);
    answer({ refused: "come again" });
    await assert.rejects(first, (err) => Fault.is(err, "access_denied") && err.message === "come again");
    const second = certify(keys);
    answer({ leave: { replaced: false } });
    answer({ certified: certs });
    assert.deepEqual(await second, certs);
    assert.deepEqual(sent, [{ certify: keys }, { certify: keys }]);
    assert.equal(listeners, 1);
  });
});
