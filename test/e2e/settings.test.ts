import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { connect as connectTcp, createServer, type Server, type Socket } from "node:net";
import { after, before, suite, test } from "node:test";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import { selfSigned } from "../self-signed.ts";
import { eventually } from "../support/eventually.ts";
import { fetchOwn } from "../support/https.ts";
import { freePort } from "../support/port.ts";
import { Program } from "../support/program.ts";
import { type Cluster, login, startCluster } from "./cluster.ts";
import { programs, quiet, startDaemon } from "./daemon.ts";

suite("settings of the file take effect", () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await startCluster({
      config: {
        teleport: {
          ciphersuites: ["tls-ecdhe-ecdsa-with-aes-256-gcm-sha384"],
          log: { severity: "info", format: "json" },
        },
        auth_service: { client_idle_timeout: "2s" },
        ssh_service: { accept_env: ["DEPLOY_*"] },
      },
    });
    await cluster.makeUser("joe");
    await cluster.logIn("joe");
  });
  after(() => cluster[Symbol.asyncDispose]());

  for (const door of ["auth", "web"] as const) {
    test(`CFG-27: the ${door} port takes the cipher suites of the file, and TLS 1.3`, async () => {
      const shake = async (options: object): Promise<string> => {
        const host = "127.0.0.1";
        const socket = connectTls({ host, port: cluster.ports[door], rejectUnauthorized: false, ...options });
        await once(socket, "secureConnect");
        const { name } = socket.getCipher();
        socket.destroy();
        return name;
      };
      const old = (ciphers: string): Promise<string> => shake({ maxVersion: "TLSv1.2", ciphers });
      assert.equal(await old("ECDHE-ECDSA-AES256-GCM-SHA384"), "ECDHE-ECDSA-AES256-GCM-SHA384");
      await assert.rejects(old("ECDHE-ECDSA-AES128-GCM-SHA256"));
      await assert.rejects(old("ECDHE-ECDSA-CHACHA20-POLY1305"));
      assert.match(await shake({ minVersion: "TLSv1.3" }), /^TLS_/);
    });
  }

  test("CFG-52: a client that sends nothing is disconnected after client_idle_timeout", async () => {
    const { code, err } = await cluster.tsh(["ssh", "testnode", "sleep 60"]);
    assert.notEqual(code, 0, err);
    const { reason } = await cluster.event("the reason", ({ code }) => code === "T3006I");
    assert.match(String(reason), /idle|nothing/);
  });

  test("CFG-78: variables of accept_env reach the session, others do not", async () => {
    const sent = ["-o", "SetEnv=DEPLOY_TO=prod", "-o", "SetEnv=OTHER=no"];
    const out = await cluster.mustTsh(["ssh", ...sent, "testnode", "echo $DEPLOY_TO-$OTHER"]);
    assert.equal(out, "prod-\n");
  });

  test("the log is JSON, a line an event", () => {
    const lines = cluster.daemon.program.said.split("\n").filter((line) => line.startsWith("{"));
    assert.ok(lines.length > 3, cluster.daemon.program.said);
    for (const line of lines) {
      const { time, level, message } = JSON.parse(line) as Record<string, string>;
      assert.ok(!Number.isNaN(Date.parse(time ?? "")) && level && message, line);
    }
  });

  test("CFG-146: the banner has a line for each listener", () => {
    const { auth, proxy, web, node } = cluster.ports;
    for (const line of [
      `[AUTH]  Auth service is starting on 127.0.0.1:${auth}`,
      `[PROXY] SSH proxy service is starting on 127.0.0.1:${proxy}`,
      `[PROXY] Web proxy service is starting on 127.0.0.1:${web}`,
      `[SSH]   Service is starting on 127.0.0.1:${node}`,
    ])
      assert.ok(cluster.daemon.program.said.split("\n").includes(line), line);
  });
});

suite("limits of the file take effect", () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await startCluster({
      config: {
        teleport: {
          connection_limits: {
            max_users: 1,
            max_connections: 40,
            rates: [{ period: "1h", average: 1, burst: 60 }],
          },
        },
        auth_service: { keep_alive_interval: "1s", keep_alive_count_max: 2 },
      },
    });
    for (const name of ["joe", "ann"]) {
      await cluster.makeUser(name);
      await cluster.logIn(name, { env: { HOME: cluster.folder.at(name) } });
    }
  });
  after(() => cluster[Symbol.asyncDispose]());
  const by = (name: string) => ({ env: { HOME: cluster.folder.at(name) } });
  const session = async (name: string): Promise<Program> => {
    const { env } = by(name);
    const program = await Program.start(programs.tsh, ["ssh", "testnode", "echo started; exec sleep 600"], {
      env: { ...quiet, ...env },
    });
    await program.line(/started/);
    return program;
  };

  test("CFG-18: max_users is how many different users the proxy serves at a time", async () => {
    await using first = await session("joe");
    const refused = await cluster.tsh(["ssh", "testnode", "true"], by("ann"));
    assert.notEqual(refused.code, 0);
    assert.match(refused.err, /too many users/);
    await cluster.mustTsh(["ssh", "testnode", "true"], by("joe"));
    first.kill();
    await first.ended();
    await eventually(
      "room for another",
      async () => (await cluster.tsh(["ssh", "testnode", "true"], by("ann"))).code === 0,
    );
  });

  test("CFG-54: a client that answers no keep-alive is gone after keep_alive_count_max of them", async () => {
    await using first = await session("joe");
    const open = async (): Promise<number> => {
      const metrics = (await cluster.daemon.diag("/metrics")).text;
      return Number(/^teleport_ssh_connections\{service="proxy"\} (\d+)$/m.exec(metrics)?.[1]);
    };
    assert.equal(await open(), 1);
    first.kill("SIGSTOP");
    try {
      await eventually("the end of a dead client's connection", async () => (await open()) === 0);
    } finally {
      first.kill("SIGCONT");
    }
  });

  test("CFG-17: max_connections is how many connections one address has at a port, the auth port too", async () => {
    const port = cluster.ports.auth;
    const sockets = Array.from({ length: 45 }, () => connectTcp({ host: "127.0.0.1", port }));
    let closed = 0;
    for (const socket of sockets) socket.on("error", () => {}).once("close", () => closed++);
    await eventually("the end of what is too much", () => closed >= 5);
    assert.equal(closed, 5);
    for (const socket of sockets) socket.destroy();
    assert.match(await cluster.mustTctl("nodes", "ls"), /testnode/);
  });

  test("CFG-19: who comes more often than rates allow is turned away, and the cluster goes on", async () => {
    const statuses = new Set<number>();
    for (let i = 0; i < 61; i++) statuses.add((await cluster.web("/webapi/ping")).status);
    assert.deepEqual([...statuses], [200, 429]);
    await eventually("a refusal at the proxy's port", async () =>
      /^Too many connections/.test(await greeting(cluster.ports.proxy)),
    );
    const metrics = (await cluster.daemon.diag("/metrics")).text;
    assert.match(metrics, /^teleport_ssh_connections_refused_total\{service="proxy",reason="rate"\} [1-9]/m);
    // The node does not count again whom the proxy brings, and here that is this machine.
    assert.match(await greeting(cluster.ports.node), /^SSH-2\.0-/);
    // The administrator and the members are no clients.
    for (let i = 0; i < 3; i++) assert.match(await cluster.mustTctl("nodes", "ls"), /testnode/);
  });
});

/** The first line that a port says. */
async function greeting(port: number): Promise<string> {
  const socket = connectTcp({ host: "127.0.0.1", port });
  socket.on("error", () => {});
  for await (const chunk of socket) return String(chunk).split("\r\n")[0] ?? "";
  return "";
}

suite("addresses that hosts announce", () => {
  test("CFG-16, CFG-108: are advertise_ip where others would not reach what they listen on; --advertise-ip wins", async () => {
    await using cluster = await startCluster({
      config: {
        teleport: { advertise_ip: "192.0.2.1" },
        auth_service: { public_addr: ["auth.example.com"] },
      },
      flags: ["--advertise-ip=192.0.2.10"],
    });
    const { auth, node, proxy } = cluster.ports;
    assert.match(await cluster.mustTctl("get", "nodes"), new RegExp(`addr: 192\\.0\\.2\\.10:${node}$`, "m"));
    assert.match(
      await cluster.mustTctl("get", "proxies"),
      new RegExp(`addr: 192\\.0\\.2\\.10:${proxy}$`, "m"),
    );
    const authServers = await cluster.mustTctl("get", "auth_servers");
    assert.match(authServers, new RegExp(`^ *addr: 192\\.0\\.2\\.10:${auth}$`, "m"));
    assert.match(authServers, /public_addr: auth\.example\.com:3025$/m);
  });
});

suite("the name of the cluster", () => {
  test("ACC-77: is a GUID when nobody gives one, stays over restarts, and cannot be changed", async () => {
    await using cluster = await startCluster({ config: { auth_service: { cluster_name: undefined } } });
    const name = async (): Promise<string> =>
      /^Cluster\s+(\S+)$/m.exec(await cluster.mustTctl("status"))?.[1] ?? "";
    const first = await name();
    assert.match(first, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    await cluster.daemon.stop();
    {
      await using again = await startDaemon(cluster.config);
      await again.ready();
      assert.equal(await name(), first);
      assert.doesNotMatch(again.program.said, /rename/);
    }
    const text = await readFile(cluster.config, "utf8");
    await writeFile(
      cluster.config,
      text.replace("auth_service:\n", "auth_service:\n  cluster_name: other\n"),
    );
    await using renamed = await startDaemon(cluster.config);
    await renamed.ready();
    assert.equal(await name(), first);
    assert.match(
      renamed.program.said,
      new RegExp(`warning: Cannot rename cluster to other: continuing with ${first}.*empty storage`),
    );
  });
});

/** Stands in front of a port until it is disposed of. */
async function inFront(
  serverOf: (take: (socket: Socket) => void) => Server,
  open: () => Socket,
  before = "",
): Promise<AsyncDisposable & { readonly port: number }> {
  const sockets = new Set<Socket>();
  const server = serverOf((socket) => {
    const behind = open();
    for (const one of [socket, behind]) {
      sockets.add(one);
      one.on("error", () => {});
      one.once("close", () => {
        socket.destroy();
        behind.destroy();
      });
    }
    behind.write(before);
    socket.pipe(behind).pipe(socket);
  });
  const port = await freePort();
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return {
    port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

suite("behind a load balancer", { concurrency: 2 }, () => {
  const withTls = (take: (socket: Socket) => void): Server => createTlsServer(selfSigned(), take);
  const clear = (port: number) => (): Socket => connectTcp({ host: "127.0.0.1", port });
  const secure = (port: number) => (): Socket =>
    connectTls({ host: "127.0.0.1", port, rejectUnauthorized: false });

  for (const [what, flag, backend] of [
    ["that encrypts again, with --insecure", "--insecure", secure],
    ["that speaks clear HTTP to us, with --insecure", "--insecure", clear],
    ["that speaks clear HTTP to us, with --insecure-no-tls", "--insecure-no-tls", clear],
  ] as const) {
    test(`ACC-89: the web pages and tsh work behind one ${what}`, async () => {
      const web = await freePort();
      await using balancer = await inFront(withTls, () => backend(web)());
      await using cluster = await startCluster({
        flags: [flag],
        config: {
          proxy_service: {
            web_listen_addr: `127.0.0.1:${web}`,
            public_addr: [`127.0.0.1:${balancer.port}`],
          },
        },
        webPort: balancer.port,
      });
      const outside = `127.0.0.1:${balancer.port}`;
      await cluster.makeUser("joe");
      const invitation = await cluster.mustTctl("users", "add", "ann", login);
      assert.match(invitation, new RegExp(`https://${outside}/web/newuser/`));
      const page = await fetchOwn(`https://${outside}/web/login`);
      assert.equal(page.status, 200, page.text);
      assert.match(String(page.headers["strict-transport-security"]), /max-age/);
      for (const cookie of page.headers["set-cookie"] ?? []) assert.match(cookie, /; Secure/);
      await cluster.logIn("joe");
      assert.equal(await cluster.mustTsh(["ssh", "testnode", "echo here"]), "here\n");
      // Who comes past the balancer finds clear HTTP only where that was asked for.
      const past = fetchOwn(`https://127.0.0.1:${web}/webapi/ping`);
      if (flag === "--insecure-no-tls") await assert.rejects(past);
      else assert.equal((await past).status, 200);
    });
  }

  test("ACC-89: without either flag nothing is served in the clear", async () => {
    await using cluster = await startCluster();
    await assert.rejects(fetchOwn(`http://127.0.0.1:${cluster.ports.web}/webapi/ping`));
  });

  const line = "PROXY TCP4 192.0.2.9 198.51.100.1 5000 443\r\n";
  for (const setting of ["on", "off"]) {
    test(`CFG-88: a PROXY line tells who the client is where proxy_protocol is ${setting === "on" ? "on, and is refused where it is off" : "off"}`, async () => {
      const ports = { auth: 0, proxy: 0, web: 0 };
      const before = (door: keyof typeof ports) =>
        inFront(
          (take) => createServer(take),
          () => clear(ports[door])(),
          line,
        );
      await using web = await before("web");
      await using ssh = await before("proxy");
      await using auth = await before("auth");
      await using cluster = await startCluster({
        config: {
          auth_service: { proxy_protocol: setting },
          proxy_service: { proxy_protocol: setting, ssh_public_addr: [`127.0.0.1:${ssh.port}`] },
        },
      });
      Object.assign(ports, cluster.ports);
      const asked = fetchOwn(`https://127.0.0.1:${auth.port}/v2/cluster.ca`, { body: {} });
      if (setting === "on") assert.equal((await asked).status, 200);
      else await assert.rejects(asked);
      await cluster.makeUser("joe");
      const logIn = (port: number) =>
        cluster.tsh(["login", "--insecure", `--proxy=127.0.0.1:${port}`, "--user=joe"], {
          input: "correct horse\n",
        });
      if (setting === "off") {
        assert.notEqual((await logIn(web.port)).code, 0);
        const { code, err } = await logIn(cluster.ports.web);
        assert.equal(code, 0, err);
        assert.notEqual((await cluster.tsh(["ssh", "testnode", "true"])).code, 0);
        return;
      }
      const { code, err } = await logIn(web.port);
      assert.equal(code, 0, err);
      // The first was the sign-up, which came to the port itself.
      const [, login] = (await cluster.events()).filter((event) => event.event === "user.login");
      assert.equal(login?.["addr.remote"], "192.0.2.9:5000");
      await cluster.mustTsh(["ssh", "testnode", "true"]);
      const exec = await cluster.event("the command", (event) => event.event === "exec");
      assert.equal(exec["addr.remote"], "192.0.2.9:5000");
    });
  }
});
