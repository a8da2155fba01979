// A cluster behind an HTTP proxy: what goes through it to another cluster, what does not, and which proxies may not be.
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { connect, isIP } from "node:net";
import { after, before, suite, test } from "node:test";
import { makeSelfSigned } from "#pki";
import {
  type ConnectProxy,
  ownHost,
  skipUnlessOwnHost,
  startConnectProxy,
} from "../support/connect-proxy.ts";
import { eventually } from "../support/eventually.ts";
import type { Ran } from "../support/run.ts";
import { type Server, serve } from "../support/sockets.ts";
import { type Cluster, startCluster } from "./cluster.ts";
import { type Daemon, programs, startDaemon } from "./daemon.ts";

const here = ownHost ?? "";
const site = "main.example.com";

suite("a cluster behind an HTTP proxy", {
  skip: skipUnlessOwnHost,
}, () => {
  const stack = new AsyncDisposableStack();
  let main: Cluster;
  let east: Cluster;
  let daemon: Daemon;
  let plain: ConnectProxy;
  let secure: ConnectProxy;
  /** The web port of main, at an address that is no loopback one. */
  let direct: Server;
  let reached = 0;
  let trusting: string;

  before(async () => {
    main = stack.use(await startCluster({ config: { proxy_service: { public_addr: [`${site}:3080`] } } }));
    const { web } = main.ports;
    const pair = await makeSelfSigned({
      commonName: "gate",
      ...(isIP(here) ? { dnsNames: [], ips: [here] } : { dnsNames: [here], ips: [] }),
      now: Date.now(),
    });
    const bundle = main.folder.at("trusted.pem");
    await writeFile(
      bundle,
      (await readFile(main.folder.at("data", "webproxy_cert.pem"), "utf8")) + pair.cert,
    );
    trusting = `SSL_CERT_FILE=${bundle}`;
    plain = stack.use(
      await startConnectProxy({ [`${site}:3080`]: web, [`${site}:3024`]: main.ports.tunnel }),
    );
    secure = stack.use(await startConnectProxy({ [`${site}:3080`]: web }, pair));
    direct = stack.use(
      await serve(
        undefined,
        (near) => {
          reached++;
          const far = connect({ host: "127.0.0.1", port: web });
          far.on("error", () => near.destroy());
          near.pipe(far).pipe(near);
        },
        here,
      ),
    );
    east = stack.use(
      await startCluster({
        config: { teleport: { nodename: "eastnode" }, auth_service: { cluster_name: "east" } },
        command: environment(`HTTPS_PROXY=https://joe:planted%21@${here}:${secure.port}`),
      }),
    );
    daemon = east.daemon;
  });
  after(() => stack.disposeAsync());

  const environment = (...variables: string[]): string[] => [
    "env",
    trusting,
    ...variables,
    programs.teleport,
  ];
  const again = async (flags: string[], ...variables: string[]): Promise<void> => {
    await daemon.stop();
    daemon = stack.use(await startDaemon(east.config, { flags, command: environment(...variables) }));
    await daemon.ready();
  };

  /** Makes, and unmakes, the link to main by this address of its web proxy. */
  async function link(address: string, { enabled = false, more = "" } = {}): Promise<Ran> {
    const said = await main.mustTctl("tokens", "add", "--type=trusted_cluster", "--ttl=1h");
    const token = /^The cluster invite token: (\S+)$/m.exec(said)?.[1] ?? assert.fail(said);
    const path = east.folder.at("cluster.yaml");
    await writeFile(
      path,
      `kind: trusted_cluster\nversion: v2\nmetadata:\n  name: main\nspec:\n  enabled: ${enabled}\n  token: ${token}\n  web_proxy_addr: ${address}\n${more}  role_map:\n    - remote: admin\n      local: [admin]\n`,
    );
    const ran = await east.tctl("create", path);
    if (ran.code === 0 && !enabled) {
      await east.mustTctl("rm", "tc/main");
      await main.mustTctl("rm", "rc/east");
    }
    return ran;
  }

  test("ACC-43: trust HTTPS goes through the proxy, which is asked by the name and is told who asks", async () => {
    const { code, err } = await link(`${site}:3080`);
    assert.equal(code, 0, err);
    const login = Buffer.from("joe:planted!").toString("base64");
    assert.deepEqual(secure.asked, [`CONNECT ${site}:3080 Basic ${login}`]);
    const told = daemon.program.said + JSON.stringify(await east.events());
    assert.match(told, /go through a proxy.*HTTPS_PROXY/);
    for (const secret of ["planted", login]) assert.ok(!told.includes(secret), secret);
  });

  test("ACC-43: a proxy that refuses is told of in its words (CON-05)", async () => {
    const { code, err } = await link("other.example.com:3080");
    assert.equal(code, 1);
    assert.match(err, /unable to proxy connection: HTTP\/1\.1 403 Not from here$/m);
  });

  test("ACC-43: bare host:port is a proxy too; what NO_PROXY lists is reached directly", async () => {
    await again(
      ["--insecure"],
      `http_proxy=${here}:${plain.port}`,
      `NO_PROXY=.internal,${here}${isIP(here) ? "/32" : ""}`,
    );
    for (const address of [`${site}:3080`, direct.name]) {
      const { code, err } = await link(address);
      assert.equal(code, 0, err);
    }
    assert.deepEqual(plain.asked, [`CONNECT ${site}:3080`]);
    assert.equal(reached, 1);
  });

  test("ACC-43, TUN-13: the tunnel goes through the proxy too, and east is reached over it", async () => {
    const asked = plain.asked.length;
    const more = `  tunnel_addr: ${site}:3024\n`;
    const { code, err } = await link(`${site}:3080`, { more, enabled: true });
    assert.equal(code, 0, err);
    await eventually("east online", async () =>
      /^east +online /m.test(await main.mustTctl("get", "rc", "--format=text")),
    );
    assert.deepEqual(plain.asked.slice(asked), [`CONNECT ${site}:3080`, `CONNECT ${site}:3024`]);
    await east.mustTctl("rm", "tc/main");
    await main.mustTctl("rm", "rc/east");
  });

  test("ACC-97: a proxy at a loopback address is refused with its variable's name, nothing goes past it, and the rest runs", async () => {
    const before = [reached, ...plain.asked];
    await again(["--insecure"], `HTTPS_PROXY=http://localhost:${plain.port}`);
    const why =
      /HTTPS_PROXY: the proxy's host cannot be localhost or a loopback address; give another name of it, or a private address/;
    const line = daemon.program.said.split("\n").filter((one) => why.test(one));
    assert.equal(line.length, 1, daemon.program.said);
    assert.match(line[0] ?? "", /error/i);
    for (const address of [direct.name, `${site}:3080`]) {
      const { code, err } = await link(address);
      assert.equal(code, 1);
      assert.match(err, why);
    }
    assert.deepEqual([reached, ...plain.asked], before);
    await east.mustTctl("users", "ls");
    // What is on this machine never goes through a proxy.
    const own = await link(`127.0.0.1:${main.ports.web}`);
    assert.equal(own.code, 0, own.err);
  });
});
