import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { request } from "node:https";
import { connect } from "node:net";
import { after, before, suite, test } from "node:test";
import { fetchOwn } from "../support/https.ts";
import { skipUnless } from "../support/installed.ts";
import { mustRun, type Ran, run } from "../support/run.ts";
import { ask, type Server, serve, shouting } from "../support/sockets.ts";
import { startSshd } from "../support/sshd.ts";
import { type Cluster, type Event, login, password, signUp, startCluster } from "./cluster.ts";
import { programs, quiet } from "./daemon.ts";

const node = "testnode";

suite("what roles decide", { skip: skipUnless("ssh", "sshd", "ssh-agent") }, () => {
  const stack = new AsyncDisposableStack();
  let cluster: Cluster;
  let there: Server;
  /** A way to the proxy that comes from 127.0.0.2. */
  let away: string;
  let awaySsh: number;
  /** Of the last of the users. */
  let invitation: string;

  before(async () => {
    there = stack.use(await shouting());
    cluster = stack.use(
      await startCluster({ config: { proxy_service: { openssh_targets: ["127.0.0.1:*"] } } }),
    );
    const [web, ssh] = [await relay(cluster.ports.web), await relay(cluster.ports.proxy)];
    awaySsh = ssh;
    away = `127.0.0.1:${web},${ssh}`;
    const line = await cluster.mustTctl("auth", "export", "--type=host");
    await writeFile(file("known_hosts"), line.replace("*.main", "*.main,127.0.0.1"));
    const env = { env: "test" };
    const roles = [
      ["right", { forward_agent: true }, { node_labels: env }, {}],
      ["label", {}, { node_labels: { env: "production" } }, {}],
      ["denied", {}, { node_labels: env }, { node_labels: env }],
      ["login", {}, { logins: ["nobody"] }, {}],
      ["ports", { port_forwarding: false }, {}, {}],
      ["some", {}, { forward_to: [`localhost:${portOf(there)}`, "/run/some", "listen:127.0.0.1:*"] }, {}],
      [
        "not",
        { record_session: "off" },
        {},
        { forward_to: [`127.0.0.0/8:${portOf(there)}`, "listen:*:*", "/*", "listen:/*"] },
      ],
      ["pinned", { pin_source_ip: true }, {}, {}],
      ["office", { source_addresses: ["127.0.0.2/31", "10.0.0.0/8"] }, {}, {}],
    ] as const;
    const written = roles.map(([name, options, allow, deny]) => ({
      kind: "role",
      version: "v3",
      metadata: { name },
      spec: { options, allow: { logins: [login], ...allow }, deny },
    }));
    await writeFile(file("roles.yaml"), JSON.stringify(written));
    await cluster.mustTctl("create", file("roles.yaml"));
    for (const [user] of roles) {
      invitation = await cluster.mustTctl("users", "add", user, login, `--roles=${user}`);
      if (user !== "office") await signUp(cluster.web, invitation);
    }
    for (const user of ["right", "label", "denied", "login", "ports", "some", "not"])
      await cluster.logIn(user);
  });
  after(() => stack.disposeAsync());

  const file = (name: string): string => cluster.folder.at(name);

  /** To a port of this machine, from 127.0.0.2. */
  async function relay(port: number): Promise<number> {
    const server = stack.use(
      await serve(undefined, (socket) => {
        const far = connect({ host: "127.0.0.1", port, localAddress: "127.0.0.2", allowHalfOpen: true });
        far.on("error", () => socket.destroy());
        socket.pipe(far).pipe(socket);
        socket.once("close", () => far.destroy());
      }),
    );
    return portOf(server);
  }

  const as = (user: string, ...args: string[]): Promise<Ran> =>
    cluster.tsh(["--insecure", `--proxy=${cluster.proxy}`, `--user=${user}`, ...args]);
  const asAway = (user: string, ...args: string[]): Promise<Ran> =>
    cluster.tsh([
      "--insecure",
      `--proxy=127.0.0.1:${cluster.ports.web},${awaySsh}`,
      `--user=${user}`,
      ...args,
    ]);
  const loginAway = (user: string): Promise<Ran> =>
    cluster.tsh(["login", "--insecure", `--proxy=${away}`, `--user=${user}`], { input: `${password}\n` });
  const key = (user: string): string => `${cluster.home}/.tsh/keys/127.0.0.1/${user}`;
  /** Stock ssh with the user's certificate, from an address of this machine to a port of it. */
  const ssh = (user: string, from: string, port: number, ...args: string[]): Promise<Ran> =>
    asking(user, from, port, "", ...args);
  /** The same, with something to say. */
  const asking = (user: string, from: string, port: number, input: string, ...args: string[]): Promise<Ran> =>
    run(
      "ssh",
      [
        ...["-F", "none", "-b", from, "-p", String(port), "-i", key(user), "-o", "IdentitiesOnly=yes"],
        ...["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", `User=${login}`],
        ...["-o", `UserKnownHostsFile=${file("known_hosts")}`, "-o", "GlobalKnownHostsFile=/dev/null"],
        ...args,
      ],
      { env: { ...quiet, HOME: cluster.home }, input },
    );
  const told = (what: string, fields: object): Promise<Event> =>
    cluster.event(`${what} ${JSON.stringify(fields)}`, (event) =>
      Object.entries(fields).every(([name, value]) =>
        value instanceof RegExp ? value.test(String(event[name])) : event[name] === value,
      ),
    );
  async function explained(user: string, ...args: string[]): Promise<{ allowed: boolean; reason: string }> {
    return JSON.parse(await cluster.mustTctl("access", "explain", user, ...args, "--format=json")) as {
      allowed: boolean;
      reason: string;
    };
  }
  const quoted = (text: string): RegExp => new RegExp(text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));

  test("TP-04: the right role lets in, and its session is told", async () => {
    const got = await as("right", "ssh", `${login}@${node}`, "echo in");
    assert.deepEqual([got.code, got.out], [0, "in\n"], got.err);
    await told("a command", { code: "T3002I", user: "right", login, command: "echo in" });
    assert.equal((await explained("right", `${login}@${node}`)).allowed, true);
  });

  for (const [user, why] of [
    ["label", /role label allows the login \S+, but label env is test, not production/],
    ["denied", /role denied denies nodes of these labels/],
  ] as const) {
    test(`TP-04: refused by label (${user}), with the reason that tctl access explain tells`, async () => {
      const got = await as(user, "ssh", `${login}@${node}`, "true");
      assert.notEqual(got.code, 0);
      // By the proxy; the node itself is asked without it.
      await told("a refusal", { code: "T3007W", user, login, error: why });
      const direct = await ssh(user, "127.0.0.1", cluster.ports.node, "127.0.0.1", "true");
      assert.equal(direct.code, 255);
      const { allowed, reason } = await explained(user, `${login}@${node}`);
      assert.equal(allowed, false);
      assert.match(reason, why);
      await told("a refusal", {
        code: "T3007W",
        user,
        error: quoted(`not authorized to login as ${login}@main: access to server denied: ${reason}`),
      });
    });
  }

  test("TP-04: refused by login, with the same reason", async () => {
    const got = await as("login", "ssh", `${login}@${node}`, "true");
    assert.notEqual(got.code, 0);
    const { reason } = await explained("login", `${login}@${node}`);
    assert.equal(reason, "role login matches the node, but allows only the logins nobody");
    const direct = await ssh("login", "127.0.0.1", cluster.ports.node, "127.0.0.1", "true");
    assert.equal(direct.code, 255);
    await told("a refusal", { code: "T3007W", user: "login", login, error: quoted(reason) });
  });

  test("TP-04: the agent is lent by the role that says so, and by no other; both are told", async () => {
    const agent = await mustRun("sh", ["-c", "ssh-agent -s"], { env: quiet });
    const [, socket = "", pid = ""] = /SSH_AUTH_SOCK=([^;]+);.*SSH_AGENT_PID=(\d+)/s.exec(agent) ?? [];
    try {
      const lend = (user: string): Promise<Ran> =>
        run(
          programs.tsh,
          [
            ...["ssh", "-A", "--insecure", `--proxy=${cluster.proxy}`, `--user=${user}`],
            ...[`${login}@${node}`, `test -S "$SSH_AUTH_SOCK" && echo lent || echo none`],
          ],
          { env: { ...quiet, HOME: cluster.home, SSH_AUTH_SOCK: socket } },
        );
      assert.equal((await lend("right")).out, "lent\n");
      await told("a loan", { code: "T4120I", user: "right", login });
      assert.equal((await lend("ports")).out, "none\n");
      const { reason } = await explained("ports", `${login}@${node}`, "--action=agent");
      await told("a refusal", { code: "T4120W", user: "ports", login, error: quoted(reason) });
    } finally {
      process.kill(Number(pid));
    }
  });

  test("TP-04: ports are forwarded by the role that lets, and by no other; both are told", async () => {
    const through = (user: string): Promise<Ran> =>
      run(
        programs.tsh,
        [
          "ssh",
          "--insecure",
          `--proxy=${cluster.proxy}`,
          `--user=${user}`,
          "-W",
          there.name,
          `${login}@${node}`,
        ],
        { env: { ...quiet, HOME: cluster.home }, input: "hello" },
      );
    assert.equal((await through("right")).out, "HELLO");
    await told("a forward", { code: "T3003I", user: "right", addr: there.name });
    const refused = await through("ports");
    assert.notEqual(refused.code, 0);
    assert.match(refused.err, /port forwarding not allowed/);
    const { reason } = await explained("ports", `${login}@${node}`, `--action=forward:${there.name}`);
    await told("a refusal", {
      code: "T3003E",
      user: "ports",
      error: `port forwarding not allowed: ${reason}`,
    });
  });

  test("record_session: off leaves a role's sessions out, and their events are kept", async () => {
    const sidOf = async (user: string): Promise<unknown> => {
      await ssh(user, "127.0.0.1", cluster.ports.node, "127.0.0.1", "echo recorded?");
      return (await told("a command", { code: "T3002I", user, command: "echo recorded?" })).sid;
    };
    assert.equal(await sidOf("not"), undefined);
    assert.match(String(await sidOf("some")), /^[0-9a-f-]{36}$/);
  });

  test("forward_to: by name and by address, whatever it is spelled like; the node decides on the address that it dials", async () => {
    const port = portOf(there);
    // By stock ssh, at the node itself.
    const through = (user: string, place: string): Promise<Ran> =>
      asking(user, "127.0.0.1", cluster.ports.node, "hello", "-W", place, "127.0.0.1");
    for (const [user, place, open] of [
      ["some", `localhost:${port}`, true],
      ["some", `127.0.0.1:${port}`, true],
      ["some", `127.0.0.2:${port}`, false],
      ["some", `127.0.0.1:${cluster.ports.web}`, false],
      ["not", `127.0.0.1:${port}`, false],
      ["not", `localhost:${port}`, false],
      ["not", `0.0.0.0:${port}`, false],
      ["not", `[::ffff:127.0.0.1]:${port}`, false],
      ["not", `2130706433:${port}`, false],
      ["not", `0x7f.1:${port}`, false],
    ] as const) {
      const got = await through(user, place);
      const what = `${user} ${place}: ${got.err}`;
      if (open) assert.equal(got.out, "HELLO", what);
      else {
        assert.notEqual(got.code, 0, what);
        assert.match(got.err, /port forwarding not allowed/, what);
      }
    }
    await told("a refusal", {
      code: "T3003E",
      user: "not",
      addr: `localhost:${port}`,
      error: new RegExp(`role not denies forwarding to localhost:${port} \\(127\\.0\\.0\\.1\\)|\\(::1\\)`),
    });
    const { allowed, reason } = await explained(
      "not",
      `${login}@${node}`,
      `--action=forward:127.0.0.1:${port}`,
    );
    assert.deepEqual([allowed, reason], [false, `role not denies forwarding to 127.0.0.1:${port}`]);
  });

  test("forward_to: sockets and listening on the node, too", async () => {
    const open = (user: string, ...args: string[]): Promise<Ran> =>
      ssh(
        user,
        "127.0.0.1",
        cluster.ports.node,
        "-o",
        "ExitOnForwardFailure=yes",
        ...args,
        "127.0.0.1",
        "echo in",
      );
    for (const [user, bind, fine] of [
      ["some", "127.0.0.1:0", true],
      ["some", "*:0", false],
      ["some", file("listening"), false],
      ["not", "127.0.0.1:0", false],
      ["not", "*:0", false],
      ["not", file("listening"), false],
      ["right", "127.0.0.1:0", true],
    ] as const) {
      const got = await open(user, "-R", `${bind}:${there.name}`);
      assert.equal(got.code, fine ? 0 : 255, `${user} ${bind}: ${got.err}`);
    }
    await told("a refusal", {
      code: "T4032E",
      user: "some",
      error: /role some does not list listening at \*:0/,
    });
    await told("a refusal", {
      code: "T4033E",
      user: "not",
      direction: "remote",
      error: /role not denies listening at /,
    });
    await using socket = await shouting(file("a-socket"));
    for (const user of ["some", "not"]) {
      const near = file(`near-${user}`);
      const done = open(user, "-L", `${near}:${socket.name}`, "127.0.0.1", "sleep 2;");
      assert.equal(await ask(near, "hello").catch(() => "broken off"), "broken off");
      await done;
      await told("a refusal", { code: "T4033E", user, path: socket.name, direction: "local" });
    }
  });

  test("forward_to holds at the proxy for hosts that are no nodes", async () => {
    const jump = (user: string): Promise<Ran> =>
      ssh(user, "127.0.0.1", cluster.ports.proxy, "-W", there.name, "127.0.0.1");
    for (const user of ["some", "not"]) {
      const got = await jump(user);
      if (user === "some") assert.doesNotMatch(got.err, /administratively prohibited/);
      else assert.match(got.err, /administratively prohibited/);
    }
    await told("a refusal", {
      code: "T3007W",
      user: "not",
      error: /role not denies forwarding to 127\.0\.0\.1/,
    });
  });

  test("pin_source_ip: a certificate is good at the address of its login only, for ssh, tsh, the API and sshd", async () => {
    await using sshd = await startSshd({ config: [`TrustedUserCAKeys ${await userCa()}`] });
    await writeFile(file("known_sshd"), await readFile(sshd.authorities.knownHosts, "utf8"));
    const logged = await loginAway("pinned");
    assert.equal(logged.code, 0, logged.err);
    assert.match(logged.out, /^ *Good from: +127\.0\.0\.2\/32$/m);
    const listed = await mustRun("ssh-keygen", ["-L", "-f", `${key("pinned")}-cert.pub`]);
    assert.match(listed, /source-address 127\.0\.0\.2\/32/);

    // The node sees the proxy's address; the proxy says, and signs, where the client is.
    const inside = await asAway("pinned", "ssh", `${login}@${node}`, "echo in");
    assert.deepEqual([inside.code, inside.out], [0, "in\n"], inside.err);
    // So does the API, which people reach through the proxy.
    const seen = await asAway("pinned", "ls");
    assert.match(seen.out, /testnode/, seen.err);

    const outside = await as("pinned", "ssh", `${login}@${node}`, "true");
    assert.notEqual(outside.code, 0);
    await told("a refusal", { code: "T3007W", user: "pinned", error: /may not be used from 127\.0\.0\.1/ });

    for (const [from, code] of [
      ["127.0.0.2", 0],
      ["127.0.0.1", 255],
      ["127.0.0.3", 255],
    ] as const) {
      const direct = await ssh("pinned", from, cluster.ports.node, "127.0.0.1", "true");
      assert.equal(direct.code, code, `the node from ${from}: ${direct.err}`);
      const stock = await run(
        "ssh",
        [
          ...["-F", "none", "-b", from, "-p", String(sshd.port), "-i", key("pinned"), "-l", login],
          ...[
            "-o",
            "BatchMode=yes",
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            `UserKnownHostsFile=${file("known_sshd")}`,
          ],
          ...["127.0.0.1", "true"],
        ],
        { env: { ...quiet, HOME: cluster.home } },
      );
      assert.equal(stock.code, code, `sshd from ${from}: ${stock.err}`);
      const status = await api("pinned", from);
      assert.equal(status, code === 0 ? 200 : 403, `the API from ${from}`);
    }
    await told("a refusal", {
      code: "T4051W",
      user: "pinned",
      "addr.remote": /^127\.0\.0\.3:/,
      error: /may not be used from 127\.0\.0\.3/,
    });
  });

  test("a client's own word about its address is not believed", async () => {
    const lying = async (port: number): Promise<number> => {
      const server = await serve(undefined, (socket) => {
        const far = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
        far.on("error", () => socket.destroy());
        far.write(`Teleport-Proxy${JSON.stringify({ clientAddr: "127.0.0.2:1234", vouched: "1.AAAA" })}\0`);
        socket.pipe(far).pipe(socket);
      });
      return portOf(stack.use(server));
    };
    const got = await ssh("pinned", "127.0.0.1", await lying(cluster.ports.node), "127.0.0.1", "true");
    assert.equal(got.code, 255);
    assert.equal(await api("pinned", "127.0.0.1", "nodes.list", await lying(cluster.ports.auth)), 403);
  });

  test("source_addresses: logins and certificates are good there only", async () => {
    await assert.rejects(signUp(cluster.web, invitation), /you come from 127\.0\.0\.1/);
    const webAway = (path: string, asked: Parameters<typeof fetchOwn>[1]) =>
      fetchOwn(`https://${away.split(",")[0]}${path}`, asked);
    await signUp(webAway, invitation);
    const here = await cluster.tsh(["login", "--insecure", `--proxy=${cluster.proxy}`, "--user=office"], {
      input: `${password}\n`,
    });
    assert.notEqual(here.code, 0);
    assert.match(here.err, /only from 10\.0\.0\.0\/8, 127\.0\.0\.2\/31, and you come from 127\.0\.0\.1/);
    await told("a refusal", { code: "T1000W", user: "office", error: /you come from 127\.0\.0\.1/ });
    assert.equal((await loginAway("office")).code, 0);
    const got = await asAway("office", "ssh", `${login}@${node}`, "echo in");
    assert.equal(got.out, "in\n", got.err);
    // By stock ssh: sshd or the proxy, who is asked makes no difference.
    const sites = (from: string, port: number): Promise<Ran> =>
      ssh("office", from, port, "-s", "127.0.0.1", "proxysites");
    assert.match((await sites("127.0.0.3", awaySsh)).out, /"main"/);
    assert.match((await sites("127.0.0.3", cluster.ports.proxy)).out, /"main"/);
    assert.match((await sites("127.0.0.1", cluster.ports.proxy)).err, /Permission denied/);
  });

  test("what the API refuses to people is told with the reason", async () => {
    assert.equal(await api("right", "127.0.0.1", "tokens.list"), 403);
    const { reason } = await explained("right", "--action=list:token");
    assert.equal(reason, "no role of the user allows list of token");
    await told("a refusal", {
      code: "T4051W",
      user: "right",
      action: "list",
      resource: "token",
      error: quoted(reason),
    });
  });

  test("tctl access explain tells the rule, what would be without it, and what is unknown", async () => {
    const said = await cluster.mustTctl("access", "explain", "denied", `${login}@${node}.main`);
    assert.match(said, /^denied as \S+ on testnode \(\S+\), ssh: denied$/m);
    assert.match(said, /^ {2}Rule +role denied, deny\.node_labels: \{"env":\["test"\]\}$/m);
    assert.match(said, /^ {2}Without it +role denied allows the login \S+ on this node$/m);
    for (const [args, why] of [
      [["righd", `${login}@${node}`], /there is no user "righd"; do you mean right\?/],
      [["right", `${login}@testnod`], /there is no node "testnod"; do you mean testnode\?/],
    ] as const) {
      const got = await cluster.tctl("access", "explain", ...args);
      assert.notEqual(got.code, 0);
      assert.match(got.err, why);
    }
  });

  async function userCa(): Promise<string> {
    const exported = await cluster.mustTctl("auth", "export", "--type=user");
    const line = exported.split("\n").find((one) => one.includes("ssh-ed25519")) ?? "";
    await writeFile(file("user-ca.pub"), `${line.slice(line.indexOf("ssh-ed25519"))}\n`);
    return file("user-ca.pub");
  }

  /** The status of a call of the auth API, straight to its port from an address of this machine. */
  async function api(
    user: string,
    from: string,
    name = "nodes.list",
    port = cluster.ports.auth,
  ): Promise<number> {
    const [cert, secret] = await Promise.all([
      readFile(`${key(user)}-x509.pem`),
      readFile(`${key(user)}-x509-key.pem`),
    ]);
    return new Promise((resolve, reject) => {
      const asked = request(
        {
          ...{ host: "127.0.0.1", port, localAddress: from, agent: false },
          ...{ method: "POST", path: `/v2/${name}`, cert, key: secret, rejectUnauthorized: false },
          headers: { "content-type": "application/json" },
        },
        (response) => {
          response.resume();
          resolve(response.statusCode ?? 0);
        },
      );
      asked.on("error", reject);
      asked.end("{}");
    });
  }
});

const portOf = ({ name }: Server): number => Number(name.split(":")[1]);
