// Two clusters that are linked: what it takes, what it does not let in, and how it ends.
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { request } from "node:https";
import { after, before, suite, test } from "node:test";
import { skipUnless } from "../support/installed.ts";
import { type Ran, run } from "../support/run.ts";
import { type Cluster, login, startCluster } from "./cluster.ts";
import { type Daemon, programs, quiet, startDaemon } from "./daemon.ts";

suite("trusted clusters", { skip: skipUnless("ssh") }, () => {
  const stack = new AsyncDisposableStack();
  let main: Cluster;
  let east: Cluster;
  /** East's, after its first. */
  let again: Daemon;

  before(async () => {
    [main, east] = await Promise.all([
      startCluster(),
      startCluster({
        config: {
          teleport: { nodename: "eastnode" },
          auth_service: { cluster_name: "east" },
          ssh_service: { labels: { env: "east" } },
        },
      }),
    ]);
    stack.use(main);
    stack.use(east);
  });
  after(() => stack.disposeAsync());

  const invite = async (): Promise<string> => {
    const said = await main.mustTctl("tokens", "add", "--type=trusted_cluster", "--ttl=1h");
    return /^The cluster invite token: (\S+)$/m.exec(said)?.[1] ?? assert.fail(said);
  };
  const clusterYaml = (token: string, enabled = "enabled: false"): string =>
    `kind: trusted_cluster\nversion: v2\nmetadata:\n  name: main\nspec:\n  ${enabled}\n  token: ${token}\n  tunnel_addr: 127.0.0.1:${main.ports.tunnel}\n  web_proxy_addr: 127.0.0.1:${main.ports.web}\n  role_map:\n    - remote: admin\n      local: [admin]\n`;
  const create = async (yaml: string, ...flags: string[]): Promise<Ran> => {
    const path = east.folder.at("cluster.yaml");
    await writeFile(path, yaml);
    return east.tctl("create", ...flags, path);
  };
  const codesOf = async (cluster: Cluster): Promise<unknown[]> =>
    (await cluster.events()).map(({ code }) => code).filter((code) => /^T419/.test(String(code)));

  test("TC-05: a certificate that nobody vouches for is refused, and with it the token is kept back", async () => {
    const { code, err } = await create(clusterYaml(await invite()));
    assert.equal(code, 1);
    assert.match(err, /the trusted cluster uses misconfigured HTTP\/TLS certificate/);
    assert.deepEqual([await codesOf(east), await codesOf(main)], [["T4190W"], []]);
  });

  test("ACC-35: with --insecure the authorities are exchanged; a bad token is told", async () => {
    await east.daemon.stop();
    again = stack.use(await startDaemon(east.config, { flags: ["--insecure"] }));
    await again.ready();
    const refused = await create(clusterYaml("planted-guess"));
    assert.equal(refused.code, 1);
    assert.match(refused.err, /^error: access denied: the cluster token has been rejected/);
    const token = await invite();
    const { code, out, err } = await create(clusterYaml(token));
    assert.deepEqual([code, out, err], [0, 'trusted cluster "main" has been created\n', ""]);
    assert.match(await main.mustTctl("get", "rc"), /^kind: remote_cluster\nmetadata:\n {2}name: east\n/);
    assert.match(await main.mustTctl("get", "rc", "--format=text"), /^east +offline +never$/m);
    const { "addr.remote": from } = await main.event("the link", (e) => e.code === "T4193I");
    assert.match(String(from), /^127\.0\.0\.1:\d+$/);
    for (const cluster of [main, east]) {
      const said = JSON.stringify(await cluster.events()) + cluster.daemon.program.said + again.program.said;
      for (const secret of [token, "planted-guess"]) assert.ok(!said.includes(secret), secret);
    }
  });

  test("what is printed can be sent back; it is not changed in place (TC-09, RES-08)", async () => {
    const printed = await east.mustTctl("get", "tc/main");
    assert.doesNotMatch(printed, /token/);
    const same = await create(printed, "-f");
    assert.deepEqual([same.code, same.out], [0, 'trusted cluster "main" has been updated\n'], same.err);
    const other = await create(printed.replace("- admin", "- ops"), "-f");
    assert.equal(other.code, 2);
    assert.match(other.err, /can not update role map for existing trusted cluster "main"/);
    const editor = east.folder.at("editor.sh");
    await writeFile(editor, '#!/bin/sh\nsed -i "s/web_proxy_addr: 127/web_proxy_addr: 128/" "$1"\n', {
      mode: 0o755,
    });
    const edited = await run(programs.tctl, ["-c", east.config, "edit", "tc/main"], {
      env: { ...quiet, HOME: east.home, VISUAL: undefined, EDITOR: editor, TMPDIR: east.folder.at("data") },
    });
    assert.equal(edited.code, 2);
    assert.match(edited.err, /can not update proxy address for existing trusted cluster "main"/);
    assert.equal(await east.mustTctl("get", "tc/main"), printed);
  });

  test("S32: a certificate of the other cluster opens nothing, whatever name and roles are in it", async () => {
    const user = `kind: user\nversion: v2\nmetadata: {name: joe}\nspec:\n  roles: [admin]\n  traits: {logins: [${login}]}\n`;
    const files = new Map<Cluster, string>();
    for (const cluster of [main, east]) {
      const path = cluster.folder.at("joe");
      await writeFile(`${path}.yaml`, user);
      await cluster.mustTctl("create", `${path}.yaml`);
      await cluster.mustTctl("auth", "sign", "--user=joe", `--out=${path}`);
      await cluster.mustTctl("auth", "sign", "--user=joe", "--format=openssh", `--out=${path}-ssh`);
      files.set(cluster, path);
    }
    const ssh = (of: Cluster, port: number, ...command: string[]): Promise<Ran> =>
      run("ssh", [
        ...["-F", "none", "-i", `${files.get(of)}-ssh`, "-p", String(port)],
        ...["IdentitiesOnly=yes", "BatchMode=yes", "StrictHostKeyChecking=no", "LogLevel=ERROR"].flatMap(
          (option) => ["-o", option],
        ),
        ...["-o", "UserKnownHostsFile=/dev/null", `${login}@127.0.0.1`, ...command],
      ]);
    for (const [of, at] of [
      [main, east],
      [east, main],
    ] as const) {
      const path = files.get(of) ?? "";
      // Each way in is open to who belongs there.
      const ways: [string, (to: Cluster) => Promise<string>, RegExp, RegExp][] = [
        ["node", async (to) => said(await ssh(of, to.ports.node, "echo in")), /^0 in/, /^255 .*denied/s],
        [
          "proxy",
          async (to) => said(await ssh(of, to.ports.proxy, "-s", "proxysites")),
          /"name":"\w+"/,
          /^255 .*denied/s,
        ],
        ["auth API", (to) => callAuth(path, to.ports.auth), /^200 /, /^403 .*not of this cluster/],
        [
          "tsh",
          async (to) => said(await to.tsh(["-i", path, "--insecure", `--proxy=${to.proxy}`, "ls"])),
          /^0 /,
          /^1 /,
        ],
      ];
      for (const [way, go, open, closed] of ways) {
        assert.match(await go(of), open, `${way} of its own`);
        assert.match(await go(at), closed, way);
      }
    }
    const seen = await east.event("the refusal", (e) => e.code === "T3007W");
    assert.equal(seen.success, "false");
  });

  test("ACC-90: removal on one side leaves the other's record, over a restart too; both together end all trust", async () => {
    assert.equal(await main.mustTctl("rm", "tc/east"), 'remote cluster "east" has been deleted\n');
    const gone = await main.tctl("rm", "tc/east");
    assert.deepEqual([gone.code, gone.err], [1, "error: trusted_cluster east not found\n"]);
    await again.stop();
    const trusting = `SSL_CERT_FILE=${main.folder.at("data", "webproxy_cert.pem")}`;
    again = stack.use(await startDaemon(east.config, { command: ["env", trusting, programs.teleport] }));
    await again.ready();
    assert.match(await east.mustTctl("get", "tc", "--format=text"), /^main +false /m);
    assert.equal(await east.mustTctl("rm", "tc/main"), 'trusted cluster "main" has been deleted\n');
    assert.deepEqual(await Promise.all([main, east].map((c) => c.mustTctl("get", "tc"))), ["", ""]);
    // Without --insecure, by a certificate that verifies.
    const { code, err } = await create(clusterYaml(await invite()));
    assert.equal(code, 0, err);
    assert.deepEqual(await codesOf(main), ["T4193W", "T4193I", "T4194I", "T4193I"]);
    assert.deepEqual(await codesOf(east), ["T4190W", "T4190W", "T4190I", "T4191I", "T4192I", "T4190I"]);
  });
});

const said = ({ code, out, err }: Ran): string => `${code} ${out}${err}`;

/** Asks the auth API with the TLS part of an identity file; status and body. */
async function callAuth(identity: string, port: number): Promise<string> {
  const text = await readFile(identity, "utf8");
  const key = /-----BEGIN PRIVATE KEY-----[\s\S]*?-----END PRIVATE KEY-----/.exec(text)?.[0] ?? assert.fail();
  const cert =
    /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/.exec(text)?.[0] ?? assert.fail();
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const asked = request(
    `https://127.0.0.1:${port}/v2/cluster.status`,
    {
      method: "POST",
      key,
      cert,
      rejectUnauthorized: false,
      agent: false,
      headers: { "content-type": "application/json" },
    },
    async (response) => {
      const parts: Uint8Array[] = [];
      for await (const part of response) parts.push(part as Uint8Array);
      resolve(`${response.statusCode} ${Buffer.concat(parts)}`);
    },
  );
  asked.once("error", reject);
  asked.end("{}");
  return promise;
}
