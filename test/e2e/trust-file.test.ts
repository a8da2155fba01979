// A link that stands in the configuration file, and nobody makes by hand.
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { suite, test } from "node:test";
import { parse, stringify } from "yaml";
import { eventually } from "../support/eventually.ts";
import { skipUnless } from "../support/installed.ts";
import { run } from "../support/run.ts";
import { type Cluster, login, startCluster } from "./cluster.ts";
import { programs, quiet, startDaemon } from "./daemon.ts";

suite("clusters of the file", () => {
  test("ACC-98: an entry under auth_service.trusted_clusters of east links it to main without tctl create", async () => {
    await using main = await startCluster();
    const said = await main.mustTctl("tokens", "add", "--type=trusted_cluster", "--ttl=1h");
    const token = /^The cluster invite token: (\S+)$/m.exec(said)?.[1] ?? assert.fail(said);
    const entry = {
      name: "main",
      enabled: "yes",
      token,
      tunnel_addr: `127.0.0.1:${main.ports.tunnel}`,
      web_proxy_addr: `127.0.0.1:${main.ports.web}`,
      role_map: [{ remote: "admin", local: ["admin"] }],
    };
    await using east = await startCluster({
      flags: ["--insecure"],
      config: {
        teleport: { nodename: "eastnode" },
        auth_service: {
          cluster_name: "east",
          trusted_clusters: [entry, { ...entry, name: "west", web_proxy_addr: "127.0.0.1:1" }],
        },
      },
    });
    await eventually("the link", async () =>
      /^main /m.test(await east.mustTctl("get", "tc", "--format=text")),
    );
    const printed = await east.mustTctl("get", "tc/main");
    assert.match(printed, /^kind: trusted_cluster\n/);
    assert.match(printed, / enabled: true\n/);
    assert.match(await main.mustTctl("get", "rc", "--format=text"), /^east /m);
    // One that cannot be reached keeps neither the start nor the other waiting, and is told of.
    assert.match(
      east.daemon.program.said,
      /key=auth_service\.trusted_clusters\.1 why="https:\/\/127\.0\.0\.1:1 cannot be reached/,
    );

    // The next start makes nothing anew; the file has its way with `enabled`.
    await east.daemon.stop();
    const before = await readFile(east.config, "utf8");
    await writeFile(east.config, before.replace(/(name: main\n +enabled: )"?yes"?/, "$1no"));
    const tested = await run(programs.teleport, ["configure", "--test", east.config], { env: quiet });
    assert.deepEqual([tested.code, tested.out], [0, `${east.config} can be started with\n`], tested.err);
    await using again = await startDaemon(east.config, { flags: ["--insecure"] });
    await again.ready();
    await eventually("what the file says now", async () =>
      / enabled: false\n/.test(await east.mustTctl("get", "tc/main")),
    );
    const codesOf = async (cluster: Cluster): Promise<string[]> =>
      (await cluster.events()).map(({ code }) => String(code)).filter((code) => /^T419/.test(code));
    assert.deepEqual(await codesOf(main), ["T4193I"]);
    assert.deepEqual(
      (await codesOf(east)).filter((code) => code !== "T4190W"),
      ["T4190I", "T4191I"],
    );
    const logs = [main.daemon, east.daemon, again].map(({ program }) => program.said).join("");
    assert.ok(!(logs + JSON.stringify([await main.events(), await east.events()])).includes(token));

    // Without the entry the link stays, and a wrong entry is told of before a start.
    const config = await readFile(east.config, "utf8");
    await writeFile(east.config, config.replace("name: west", "name: main"));
    const wrong = await run(programs.teleport, ["configure", "--test", east.config], { env: quiet });
    assert.equal(wrong.code, 2);
    assert.match(wrong.err, /trusted_clusters\.1: name: "main" is there twice/);
    assert.ok(!wrong.err.includes(token));
  });

  test("CFG-61: authorities and tunnels of older files link two clusters that only know each other's SSH keys", {
    skip: skipUnless("ssh"),
  }, async () => {
    await using main = await startCluster();
    const keys = async (of: Cluster, type: string) => ({
      type,
      domain_name: of === main ? "main" : "east",
      checking_keys: (await of.mustTctl("auth", "export", `--type=${type}`)).trim().split("\n"),
    });
    await using east = await startCluster({
      config: {
        teleport: { nodename: "eastnode" },
        auth_service: {
          cluster_name: "east",
          authorities: [await keys(main, "host"), await keys(main, "user")],
          reverse_tunnels: [{ domain_name: "main", addresses: [`127.0.0.1:${main.ports.tunnel}`] }],
        },
      },
    });
    await main.makeUser("joe");
    const of = await keys(east, "host");
    await main.daemon.stop();
    const file = parse(await readFile(main.config, "utf8"));
    file.auth_service.authorities = [of];
    await writeFile(main.config, stringify(file));
    await using again = await startDaemon(main.config);
    await again.ready();
    await main.logIn("joe");
    await eventually("east online", async () => /^east +online/m.test(await main.mustTsh(["clusters"])), {
      every: 300,
    });
    const told = (cluster: Cluster) => cluster.event("the authorities", ({ code }) => code === "T4195I");
    await Promise.all([told(main), told(east)]);
    const ran = await main.tsh(["ssh", "--cluster=east", `${login}@eastnode`, "echo in"]);
    assert.deepEqual([ran.code, ran.out], [0, "in\n"], ran.err);
    const listed = await main.tsh(["ls", "--cluster=east"]);
    assert.match(listed.out, /^eastnode /m, listed.err);
    for (const { program } of [east.daemon, again])
      assert.doesNotMatch(program.said, /auth_service\.authorities/);
  });
});
