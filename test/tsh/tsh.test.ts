import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, readlink, stat, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, suite, test } from "node:test";
import { promisify } from "node:util";
import { systemClock, TestClock } from "#core/clock";
import { systemRandom } from "#core/random";
import { stamp } from "#events";
import { RecordingWriter } from "#recording";
import { duplex } from "#ssh";
import { AgentClient, Keyring, serveAgent } from "#ssh/agent";
import { generateKey } from "#ssh/keys";
import { eventually } from "../support/eventually.ts";
import { type HostOptions, type Program, type ServedSession, TestCluster } from "./cluster.ts";
import { scpHost } from "./scp-host.ts";

const sum = (data: string | Uint8Array): string => createHash("sha256").update(data).digest("hex");

async function collect(from: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of from) parts.push(part);
  return Buffer.concat(parts);
}

/** A small shell: one word, then arguments. */
const shell: Program = async (session) => {
  const { command = "shell", channel } = session;
  const say = (text: string): Promise<void> => channel.write(Buffer.from(text));
  const [word, ...rest] = command.split(" ");
  if (word === "exit") return session.exit(Number(rest[0]));
  if (word === "kill") return session.kill(rest[0] as string);
  if (word === "vanish") return session.connection.disconnect("gone");
  if (word === "sum") await say(sum(await collect(channel)));
  else if (word === "cat") for await (const part of channel) await channel.write(part);
  else if (word === "late") {
    await collect(channel);
    await say("after the end of input");
  } else if (word === "shout") await channel.writeStderr(Buffer.from("this is why\n"));
  else if (word === "env") {
    for (const { name, body } of session.requests)
      if (name === "env") await say(`${body.name}=${body.value}\n`);
  } else if (word === "agent") {
    const { channel: back } = await session.connection.open("auth-agent@openssh.com");
    using agent = new AgentClient(duplex(back));
    await say((await agent.identities()).map(({ comment }) => comment).join("\n"));
  } else await say(command);
  return session.exit(0);
};

suite("tsh against a cluster", () => {
  let cluster: TestCluster;
  const start = async (): Promise<void> => {
    cluster = await TestCluster.start();
    await cluster.node("db", shell);
  };
  const startLoggedIn = async (): Promise<void> => {
    await start();
    await cluster.login();
  };
  const stop = (): Promise<void> => cluster[Symbol.asyncDispose]();

  suite("login", () => {
    beforeEach(start);
    afterEach(stop);
    test("keeps keys and profile where only their owner reads them, and says how it stands", async () => {
      const { code, out, err } = await cluster.login();
      assert.equal(code, 0, err);
      assert.match(
        out,
        /^> Profile URL: {2}https:\/\/127\.0\.0\.1:\d+\n {2}Logged in as:joe|Logged in as: joe\n/,
      );
      assert.match(out, /Cluster: {6}main\n.*Roles: {8}admin\n.*Logins: {7}root, joe\n/s);
      assert.match(out, /Valid until: {2}\S+Z \[valid for (1h0m0s|59m5\ds)\]/);
      assert.equal(err.split("WARNING").length, 2, "one warning for --insecure");
      assert.doesNotMatch(out + err, /secret/);
      const tsh = join(cluster.home, ".tsh");
      assert.deepEqual((await readdir(join(tsh, "keys", "127.0.0.1"))).sort(), [
        "certs.pem",
        "joe",
        "joe-cert.pub",
        "joe-x509-key.pem",
        "joe-x509.pem",
        "joe.pub",
        "known_hosts",
      ]);
      for (const [name, mode] of [
        [".", 0o700],
        ["keys", 0o700],
        ["keys/127.0.0.1", 0o700],
        ["keys/127.0.0.1/joe", 0o600],
        ["keys/127.0.0.1/joe-x509-key.pem", 0o600],
        ["known_hosts", 0o600],
      ] as const) {
        assert.equal((await stat(join(tsh, name))).mode & 0o777, mode, name);
      }
      assert.equal(await readlink(join(tsh, "profile")), "127.0.0.1.yaml");
      assert.match(await readFile(join(tsh, "known_hosts"), "utf8"), /^main ssh-ed25519 \S+\n$/);
    });
    test("a wrong password is one sentence, and nothing is kept", async () => {
      const got = await cluster.tsh(["login", `--proxy=${cluster.proxy}`, "--user=joe", "--insecure"], {
        input: "wrong\n",
      });
      assert.equal(got.code, 1);
      assert.match(got.err, /error: invalid username, password or second factor\n$/);
      assert.equal((await cluster.tsh(["status"])).out, "Not logged in.\n");
    });
    test("without --insecure a certificate of nobody is refused with advice", async () => {
      const got = await cluster.tsh(["login", `--proxy=${cluster.proxy}`, "--user=joe"], {
        input: "secret\n",
      });
      assert.equal(got.code, 1);
      assert.match(got.err, /unknown authority[\s\S]*SSL_CERT_FILE[\s\S]*--insecure/);
      assert.doesNotMatch(got.err, /Enter password/);
    });
    test("TSH-58: the own certificate of a proxy on this host is trusted", async () => {
      const state = join(cluster.home, "state");
      await mkdir(join(state, "teleport"), { recursive: true });
      await writeFile(join(state, "teleport", "webproxy_cert.pem"), cluster.webCertificate);
      const line = ["login", `--proxy=${cluster.proxy}`, "--user=joe"];
      const env = { XDG_STATE_HOME: state };
      const got = await cluster.tsh(line, { input: "secret\n", env });
      assert.equal(got.code, 0, got.err);
    });
    test("with a second factor its code is asked for and sent", async () => {
      cluster.ping = { auth: { type: "local", second_factor: "otp" } };
      const got = await cluster.tsh(
        ["login", `--proxy=${cluster.proxy}`, "--user=joe", "--insecure", "--ttl=5"],
        {
          input: "secret\n123456\n",
        },
      );
      assert.equal(got.code, 0, got.err);
      assert.match(got.err, /Enter password for Teleport user joe: Enter your OTP token: /);
      const body = cluster.requests.at(-1)?.body as Record<string, unknown>;
      assert.equal(body.otp_token, "123456");
      assert.equal(body.ttl, 300_000_000_000);
    });
    test("UPG-02: an old tsh is refused unless told to go on", async () => {
      cluster.ping = { min_client_version: "99.0.0" };
      const refused = await cluster.login();
      assert.equal(refused.code, 1);
      assert.match(refused.err, /needs at least 99\.0\.0.*--skip-version-check/);
      assert.equal((await cluster.login("--skip-version-check")).code, 0);
    });
    test("again while it lasts asks nothing; a cluster switches, an unknown one is refused", async () => {
      await cluster.login();
      const again = await cluster.tsh(["login"]);
      assert.match(again.out, /Logged in as: joe/);
      const east = await cluster.tsh(["login", "--insecure", "east"]);
      assert.match(east.out, /Cluster: {6}east/);
      const west = await cluster.tsh(["login", "--insecure", "west"]);
      assert.equal(west.code, 1);
      assert.match(west.err, /cluster "west" is not found/);
      const main = await cluster.tsh(["login", "main"]);
      assert.match(main.out, /Cluster: {6}main/);
    });
    test("DEC-18: a positional is the cluster if there is one, else the user", async () => {
      const login = ["login", `--proxy=${cluster.proxy}`, "--insecure"];
      const asUser = await cluster.tsh([...login, "joe"], { input: "secret\n" });
      assert.equal(asUser.code, 0, asUser.err);
      assert.match(asUser.out, /Logged in as: joe[\s\S]*Cluster: {6}main/);
      await cluster.tsh(["logout"]);
      const asCluster = await cluster.tsh([...login, "east"], { input: "secret\n" });
      assert.match(asCluster.err, /east is taken for the cluster.*--user=east/);
    });
    test("without any login allowed there is still a login, and tsh says so", async () => {
      cluster.logins = [];
      const got = await cluster.login();
      assert.equal(got.code, 0, got.err);
      assert.match(got.err, /allowed no login anywhere/);
      const ssh = await cluster.tsh(["ssh", "root@db", "true"]);
      assert.equal(ssh.code, 1);
      assert.match(ssh.err, /allowed no login anywhere/);
    });
    for (const [why, proxy, sentence] of [
      ["nobody listens", () => "127.0.0.1:1", /cannot reach the proxy 127\.0\.0\.1:1: connection refused/],
      ["the port is SSH's", () => `127.0.0.1:${cluster.sshPort}`, /does not speak HTTPS; check the port/],
    ] as const) {
      test(`one sentence when ${why}`, async () => {
        const got = await cluster.tsh(["login", `--proxy=${proxy()}`, "--user=joe", "--insecure"], {
          input: "secret\n",
        });
        assert.equal(got.code, 1);
        assert.match(got.err, sentence);
        assert.equal(got.err.trim().split("\n").length, 2, got.err);
      });
    }
    test("S57: a proxy that names clusters or hosts which are no names is not believed", async () => {
      for (const bad of [{ ssh: { public_addr: "..:3080" } }, { ssh: { public_addr: "$(id):3080" } }]) {
        cluster.ping = { proxy: { kube: { enabled: false }, ...bad } };
        assert.notEqual((await cluster.login()).code, 0);
      }
      assert.deepEqual(await readdir(cluster.home).catch(() => []), []);
    });
  });

  suite("with an ssh-agent", () => {
    beforeEach(start);
    afterEach(stop);
    let path: string;
    let server: ReturnType<typeof createServer>;
    const keyring = new Keyring({ clock: systemClock });
    let behaviour: "good" | "refuses" = "good";
    beforeEach(async () => {
      path = join(cluster.home, "agent");
      keyring.removeAll();
      behaviour = "good";
      server = createServer((socket) => {
        void serveAgent(socket, keyring, { peer: behaviour === "good" ? "owner" : "forwarded" }).catch(
          () => {},
        );
      });
      await new Promise<void>((resolve) => server.listen(path, resolve));
    });
    afterEach(() => void server.close());
    const env = (): Record<string, string> => ({ SSH_AUTH_SOCK: path });
    const login = (): Promise<{ code: number; err: string }> =>
      cluster.tsh(["login", `--proxy=${cluster.proxy}`, "--user=joe", "--insecure"], {
        input: "secret\n",
        env: env(),
      });

    test("TSH-54: it gets certificate and key, again and again only once, and logout takes them", async () => {
      await login();
      await cluster.tsh(["logout"], { env: {} });
      await login();
      assert.deepEqual(
        keyring.list().map(({ comment, signer }) => [comment, signer.publicKey.certificate !== undefined]),
        [
          ["teleport:joe", true],
          ["teleport:joe", false],
        ],
      );
      const out = await cluster.tsh(["logout"], { env: env() });
      assert.equal(out.out, "Logged out all users from all proxies.\n");
      assert.equal(keyring.list().length, 0);
    });
    test("TSH-57: one that refuses, or is not there, is only a warning", async () => {
      behaviour = "refuses";
      const refused = await login();
      assert.equal(refused.code, 0);
      assert.match(refused.err, /WARNING: the SSH agent did not take the certificate/);
      await cluster.tsh(["logout"]);
      const gone = await cluster.tsh(["login", `--proxy=${cluster.proxy}`, "--user=joe", "--insecure"], {
        input: "secret\n",
        env: { SSH_AUTH_SOCK: join(cluster.home, "nothing") },
      });
      assert.equal(gone.code, 0);
      assert.match(gone.err, /WARNING: the SSH agent/);
    });
    test("-A lends it to the host, nothing else does", async () => {
      await login();
      const lent = await cluster.tsh(["ssh", "-A", "root@db", "agent"], { env: env() });
      assert.equal(lent.out, "teleport:joe\nteleport:joe");
      const kept = await cluster.tsh(["ssh", "root@db", "agent"], {
        env: env(),
        signal: AbortSignal.any([]),
      });
      assert.notEqual(kept.out, lent.out);
      assert.notEqual(kept.code, 0);
    });
    test("TSH-25: it is lent by itself where the proxy records, unless it must not be", async () => {
      await login();
      cluster.recordsAtProxy = true;
      const lent = await cluster.tsh(["ssh", "root@db", "agent"], { env: env() });
      assert.equal(lent.out, "teleport:joe\nteleport:joe");
      for (const not of [["-a"], ["-o", "ForwardAgent=no"]]) {
        assert.notEqual((await cluster.tsh(["ssh", ...not, "root@db", "agent"], { env: env() })).code, 0);
      }
    });
  });

  suite("logout and status", () => {
    beforeEach(start);
    afterEach(stop);
    test("programs read the status too", async () => {
      await cluster.login();
      const { out } = await cluster.tsh(["status", "--format=json"]);
      const [only, ...more] = JSON.parse(out);
      assert.equal(more.length, 0);
      assert.deepEqual(
        [only.active, only.user, only.cluster, only.roles, only.logins, only.expired, only.extensions],
        [
          true,
          "joe",
          "main",
          ["admin"],
          ["root", "joe"],
          false,
          ["permit-agent-forwarding", "permit-port-forwarding", "permit-pty"],
        ],
      );
    });
    test("TSH-37: of one user from one proxy, then it is over already", async () => {
      await cluster.login();
      const one = ["logout", `--proxy=${cluster.proxy}`, "--user=joe"];
      assert.equal((await cluster.tsh(one)).out, "Logged out joe from 127.0.0.1.\n");
      const again = await cluster.tsh(one);
      assert.deepEqual([again.code, again.err], [1, "User joe already logged out from 127.0.0.1.\n"]);
      const half = await cluster.tsh(["logout", "--user=joe"]);
      assert.equal(half.code, 2);
      assert.match(half.err, /both --proxy and --user/);
    });
    test("an expired login is shown as such, and other commands say how to log in", async () => {
      cluster.loginLife = -1000;
      await cluster.login();
      assert.match((await cluster.tsh(["status"])).out, /\[EXPIRED\]/);
      const ls = await cluster.tsh(["ls"]);
      assert.equal(ls.code, 1);
      assert.match(
        ls.err,
        /^error: your login has expired; log in with: tsh login --proxy=127\.0\.0\.1:\d+\n$/,
      );
    });
  });

  suite("config", () => {
    beforeEach(start);
    afterEach(stop);

    test("prints for OpenSSH how the hosts are reached, by paths that are there", async () => {
      await cluster.login();
      const { code, out, err } = await cluster.tsh(["config", "--port=2022", "--agent"]);
      assert.deepEqual([code, err], [0, ""]);
      assert.match(out, /^Host \*\.main$/m);
      assert.match(out, /^ {4}Port 2022$/m);
      // "tester" is who runs this, and no login: without a line OpenSSH would ask for it.
      assert.match(out, /^ {4}User joe\n {4}ProxyJump teleport-proxy-main$/m);
      assert.match(out, new RegExp(`^ {4}IdentityAgent "${cluster.home}/.tsh/agent.sock"$`, "m"));
      const paths = [...out.matchAll(/^ {4}(?:IdentityFile|CertificateFile|UserKnownHostsFile) "(.*)"$/gm)];
      assert.equal(paths.length, 6);
      for (const [, path = ""] of paths) assert.equal((await stat(path)).mode & 0o777, 0o600);
      const known = await readFile(join(cluster.home, ".tsh/keys/127.0.0.1/known_hosts"), "utf8");
      assert.match(
        known,
        /^@cert-authority \*\.main,remote\.kube\.proxy\.teleport\.cluster\.local ssh-ed25519 \S+\n$/,
      );
    });

    test("names the login that was asked for, and none where it is one's own name", async () => {
      await cluster.login();
      const lines = async (...flags: string[]) => (await cluster.tsh(["config", ...flags])).out;
      assert.match(await lines("--login=root"), /^ {4}Port 3022\n {4}User root$/m);
      cluster.logins = ["tester"];
      await cluster.tsh(["logout"]);
      await cluster.login();
      assert.match(await lines(), /^ {4}Port 3022\n {4}ProxyJump/m);
    });

    test("says in a sentence what to do where there is no login, or none any more, or for nowhere", async () => {
      const none = await cluster.tsh(["config"]);
      assert.deepEqual([none.code, none.out], [1, ""]);
      assert.match(none.err, /^error: you are not logged in; log in with: tsh login --proxy=HOST$/m);
      cluster.loginLife = -1000;
      await cluster.login();
      const over = await cluster.tsh(["config"]);
      assert.match(over.err, /^error: your login has expired; log in with: tsh login --proxy=127/m);
      cluster.loginLife = 3_600_000;
      cluster.logins = [];
      await cluster.login();
      const nowhere = await cluster.tsh(["config"]);
      assert.deepEqual([nowhere.code, nowhere.out], [1, ""]);
      assert.match(nowhere.err, /joe is allowed no login anywhere/);
    });

    test("S57: no name that is more than a name gets into it", async () => {
      await cluster.login();
      const other = await cluster.tsh(["config", "--cluster=x';id;'"]);
      assert.deepEqual([other.code, other.out], [1, ""]);
      const login = await cluster.tsh(["config", "--login=$(id)"]);
      assert.deepEqual([login.code, login.out], [2, ""]);
      cluster.ping = { cluster_name: "main\nProxyCommand id" };
      await cluster.tsh(["logout"]);
      await cluster.login();
      const hostile = await cluster.tsh(["config"]);
      assert.deepEqual([hostile.code, hostile.out], [2, ""]);
      assert.match(hostile.err, /cannot be written into an ssh_config/);
    });
  });

  suite("agent", () => {
    beforeEach(startLoggedIn);
    afterEach(stop);

    for (const [what, ...line] of [
      ["an unknown word", "start"],
      ["two shells at once", "--sh", "--csh"],
      ["a path too long for a socket", `--socket=/${"x".repeat(107)}`],
      ["S57: a path with a line's end", "--socket=/tmp/a\nb"],
    ] as const) {
      test(`${what} is wrong usage`, async () => {
        const { code, out } = await cluster.tsh(["agent", ...line]);
        assert.deepEqual([code, out], [2, ""]);
      });
    }

    test("S57: prints commands in which an odd path is a path and nothing more", async () => {
      const path = `${cluster.home}/$(id)'!`;
      for (const [flag, printed] of [
        ["--sh", `SSH_AUTH_SOCK='${cluster.home}/$(id)'\\''!'; export SSH_AUTH_SOCK;`],
        ["--csh", `setenv SSH_AUTH_SOCK '${cluster.home}/$(id)'\\''\\!';`],
      ] as const) {
        const done = new AbortController();
        const ran = cluster.tsh(["agent", "-D", flag, `--socket=${path}`], { signal: done.signal });
        await eventually("a socket", () => stat(path).catch(() => undefined));
        using agent = new AgentClient(connect(path));
        assert.deepEqual(
          (await agent.identities()).map(({ comment }) => comment),
          ["teleport:joe", "teleport:joe"],
        );
        done.abort();
        const { code, out } = await ran;
        assert.deepEqual([code, out.split("\n")[0]], [0, printed]);
      }
    });
  });

  suite("ls and clusters", () => {
    before(startLoggedIn);
    after(stop);
    const node = (hostname: string, labels: Record<string, string>, addr = "10.0.0.1:3022") => ({
      kind: "node",
      version: "v2",
      metadata: { name: `0000000${hostname.length}-0000-4000-8000-000000000000`, labels },
      spec: { hostname, addr },
    });
    beforeEach(async () => {
      cluster.auth.set("nodes.list", () => [
        node("web", { env: "prod", os: "a very long value that does not fit into the column" }),
        node("db1", { env: "prod" }),
        node("evil\u001b]52;c;aGk=\u0007", { env: "\u001b[2Jtest" }, ""),
      ]);
    });
    test("DEC-06: names sorted, whole ids, long labels cut unless -v", async () => {
      const { out, err } = await cluster.tsh(["ls", "env=prod"]);
      const lines = out.split("\n");
      assert.match(lines[0] ?? err, /^Node Name Node ID +Address +Labels$/);
      assert.match(lines[2] ?? "", /^db1 +00000003-0000-4000-8000-000000000000 10\.0\.0\.1:3022 env=prod$/);
      assert.match(lines[3] ?? "", /^web .*…$/);
      assert.equal(lines.length, 5);
      assert.match((await cluster.tsh(["ls", "-v", "env=prod"])).out, /into the column/);
      assert.equal(JSON.parse((await cluster.tsh(["ls", "--format=json", "env=prod,os=x"])).out).length, 0);
    });
    test("S66: names and labels cannot drive the terminal", async () => {
      const { out } = await cluster.tsh(["ls"]);
      assert.match(out, /evil/);
      assert.equal(out.includes("\u001b"), false);
      assert.equal((await cluster.tsh(["clusters"])).out.includes("\u001b"), false);
    });
    test("clusters, the own one first, -q without header", async () => {
      assert.equal(
        (await cluster.tsh(["clusters"])).out,
        "Cluster Name Status\n------------ -------\nmain         online\neast         offline\n",
      );
      assert.equal((await cluster.tsh(["clusters", "-q"])).out, "main online\neast offline\n");
    });
    test("ssh by label runs on every match, and takes the highest exit code", async () => {
      for (const [id, code] of [
        ["00000003-0000-4000-8000-000000000000", 3],
        ["00000004-0000-4000-8000-000000000000", 5],
      ] as const) {
        await cluster.node(id, (session: ServedSession) => session.exit(code));
      }
      cluster.auth.set("nodes.list", () => [node("web", { env: "prod" }), node("last", { env: "prod" })]);
      const got = await cluster.tsh(["ssh", "root@env=prod", "true"]);
      assert.equal(got.code, 5);
      assert.match(got.err, /WARNING: Multiple nodes matched label selector, running command on all\./);
      const none = await cluster.tsh(["ssh", "root@env=none", "true"]);
      assert.equal(none.code, 1);
      assert.match(none.err, /no nodes match/);
    });
  });

  suite("ssh", () => {
    before(startLoggedIn);
    after(stop);

    for (const [command, code] of [
      ["exit 0", 0],
      ["exit 7", 7],
      ["exit 255", 255],
      ["kill TERM", 143],
      ["kill KILL", 137],
    ] as const) {
      test(`TSH-24: ${command} is exit code ${code}`, async () => {
        assert.equal((await cluster.tsh(["ssh", "root@db", command])).code, code);
      });
    }
    test("words after the host are the command's, flags too", async () => {
      assert.equal((await cluster.tsh(["ssh", "root@db", "ls", "-l", "--proxy=x"])).out, "ls -l --proxy=x");
      assert.equal((await cluster.tsh(["ssh", "-l", "root", "db", "--", "ls", "-a"])).out, "ls -a");
    });
    test("output and error output stay apart", async () => {
      const got = await cluster.tsh(["ssh", "root@db", "shout"]);
      assert.deepEqual([got.code, got.out], [0, ""]);
      assert.match(got.err, /this is why\n$/);
    });
    test("20 MiB pass both ways unharmed", async () => {
      const input = randomBytes(10 * 1024 * 1024).toString("hex");
      const { out } = await cluster.tsh(["ssh", "root@db", "cat"], { input });
      assert.equal(out.length, input.length);
      assert.equal(sum(out), sum(input));
    });
    test("the end of input is passed on and the output goes on", async () => {
      assert.equal(
        (await cluster.tsh(["ssh", "root@db", "late"], { input: "x" })).out,
        "after the end of input",
      );
    });
    test("without a command input goes to the shell", async () => {
      assert.equal((await cluster.tsh(["ssh", "root@db"], { input: "script" })).out, "shell");
    });
    test("language and colours are sent along, nothing else", async () => {
      const env = { LANG: "de_DE.UTF-8", LC_TIME: "C", COLORTERM: "truecolor", SECRET: "x", LC_bad: "y" };
      assert.equal(
        (await cluster.tsh(["ssh", "root@db", "env"], { env })).out,
        "LANG=de_DE.UTF-8\nLC_TIME=C\nCOLORTERM=truecolor\n",
      );
    });
    test("S66: banners are shown without what drives a terminal", async () => {
      const { err } = await cluster.tsh(["ssh", "root@db", "exit 0"]);
      assert.equal(err, "welcome to main\nwelcome to main\n");
    });
    test("a run loads no schemas, no YAML and no X.509 or HTTP packages", async () => {
      const hook = join(cluster.home, "hook.mjs");
      const loaded = join(cluster.home, "loaded");
      await writeFile(
        hook,
        `import { registerHooks } from "node:module"; import { appendFileSync } from "node:fs";
         registerHooks({ load(url, context, next) { appendFileSync(${JSON.stringify(loaded)}, url + "\\n"); return next(url, context); } });`,
      );
      const main = join(import.meta.dirname, "..", "..", "src", "cli", "tsh", "main.js");
      const { stdout } = await promisify(execFile)(
        process.execPath,
        ["--import", hook, main, "ssh", "root@db", "hello"],
        { env: { HOME: cluster.home, PATH: process.env.PATH } },
      );
      assert.equal(stdout, "hello");
      const files = (await readFile(loaded, "utf8")).trim().split("\n");
      const packages = files.flatMap((url) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1] ?? []);
      assert.deepEqual([...new Set(packages)], ["commander"]);
      assert.ok(files.length < 160, `${files.length} files`);
    });
    test("a login that is not allowed is named with the host", async () => {
      const got = await cluster.tsh(["ssh", "joe@db", "true"]);
      assert.equal(got.code, 1);
      assert.match(got.err, /error: access denied to joe connecting to db\n$/);
    });
    test("an unknown host: the proxy's words, made safe", async () => {
      const got = await cluster.tsh(["ssh", "root@nosuch", "true"]);
      assert.equal(got.code, 1);
      assert.match(got.err, /error: failed connecting to node nosuch:0\. there is no such node\n$/);
    });
    test("a command that is not started, and a host that vanishes, are errors", async () => {
      const refused = await cluster.tsh(["ssh", "root@db", "refused"]);
      assert.deepEqual([refused.code, /db did not start it/.test(refused.err)], [1, true]);
      const lost = await cluster.tsh(["ssh", "root@db", "vanish"]);
      assert.deepEqual([lost.code, /lost the connection to db/.test(lost.err)], [1, true]);
    });
    test("an interrupt ends it", async () => {
      const stop = new AbortController();
      await cluster.node("slow", async () => stop.abort(new Error("interrupted")));
      const got = await cluster.tsh(["ssh", "root@slow", "sleep"], { signal: stop.signal });
      assert.match(got.err, /interrupted/);
    });
    for (const host of ["$(id)", "a b", "-oProxyCommand=x", "a;b", "`id`", "a\nb", "..", ""]) {
      test(`S57: the host ${JSON.stringify(host)} is refused before anything is sent`, async () => {
        const got = await cluster.tsh(["ssh", `root@${host}`, "true"]);
        assert.notEqual(got.code, 0);
        assert.doesNotMatch(got.err, /welcome/);
      });
    }
  });

  suite("a proxy that is not ours", () => {
    beforeEach(startLoggedIn);
    afterEach(stop);

    test("the proxy's SSH door closed or somebody else's: one sentence", async () => {
      const profile = join(cluster.home, ".tsh", "127.0.0.1.yaml");
      const text = await readFile(profile, "utf8");
      await writeFile(profile, text.replace(/ssh_proxy_addr: .*/, "ssh_proxy_addr: 127.0.0.1:1"));
      assert.match(
        (await cluster.tsh(["ssh", "root@db", "true"])).err,
        /^error: cannot connect to 127\.0\.0\.1:1: connection refused\n$/,
      );
      await writeFile(profile, text.replace(/ssh_proxy_addr: .*/, `ssh_proxy_addr: ${cluster.proxy}`));
      assert.match(
        (await cluster.tsh(["ssh", "root@db", "true"])).err,
        /^error: no SSH connection to the proxy .*check the SSH port of --proxy\n$/,
      );
    });
    test("a certificate of another cluster is refused with what to do", async () => {
      await using other = await TestCluster.start();
      const profile = join(cluster.home, ".tsh", "127.0.0.1.yaml");
      const text = await readFile(profile, "utf8");
      await writeFile(
        profile,
        text.replace(/ssh_proxy_addr: .*/, `ssh_proxy_addr: 127.0.0.1:${other.sshPort}`),
      );
      assert.match(
        (await cluster.tsh(["ssh", "root@db", "true"])).err,
        /is not the proxy that you logged in to.*log in again/,
      );
    });
  });

  suite("S30: a host that cannot prove its name", () => {
    before(startLoggedIn);
    after(stop);
    const cases: readonly [
      string,
      (foreign: Awaited<ReturnType<typeof generateKey>>) => HostOptions,
      RegExp,
    ][] = [
      [
        "another name in its certificate",
        () => ({ principals: ["other"] }),
        /certificate for other names: other/,
      ],
      ["a certificate of a foreign authority", (ca) => ({ ca }), /authority that is not trusted here/],
      ["an expired certificate", () => ({ validBefore: 10n }), /expired/],
      ["a plain key", () => ({ plain: true }), /error: bad:0@main has no certificate of the cluster/],
    ];
    for (const [why, options, sentence] of cases) {
      test(`with ${why} is refused by ssh and scp`, async () => {
        let reached = false;
        const run: Program = async () => {
          reached = true;
        };
        await cluster.node("bad", run, options(await generateKey("ed25519")));
        for (const line of [
          ["ssh", "root@bad", "true"],
          ["scp", "root@bad:x", cluster.home],
        ]) {
          const got = await cluster.tsh(line);
          assert.equal(got.code, 1, got.out);
          assert.match(got.err, sentence);
        }
        assert.equal(reached, false);
      });
    }
    test("a known authority of another cluster does not vouch for hosts of this one", async () => {
      const leaf = await generateKey("ed25519");
      const known = join(cluster.home, ".tsh", "known_hosts");
      const { formatPublicKeyLine } = await import("#ssh/keys");
      await writeFile(
        known,
        `${await readFile(known, "utf8")}leaf ${formatPublicKeyLine({ key: leaf.publicKey })}\n`,
      );
      await cluster.node("bad", shell, { ca: leaf });
      assert.match((await cluster.tsh(["ssh", "root@bad", "true"])).err, /not trusted here/);
    });
    test("a node that poses as the proxy is refused", async () => {
      await using other = await TestCluster.start({ role: "Node" });
      await other.login();
      const got = await other.tsh(["ssh", "root@db", "true"]);
      assert.equal(got.code, 1);
      await assert.match(got.err, /but no proxy/);
    });
  });

  suite("scp", () => {
    before(startLoggedIn);
    after(stop);
    let folder: string;
    let got: Map<string, string>;
    beforeEach(async () => {
      folder = await mkdtemp(join(cluster.home, "files-"));
      got = new Map();
      await cluster.node("files", scpHost(got));
    });

    test("sends files and folders, one line for each", async () => {
      await mkdir(join(folder, "d"));
      await writeFile(join(folder, "d", "a"), "one");
      await writeFile(join(folder, "b"), "two");
      const { code, out, err } = await cluster.tsh([
        "scp",
        "-r",
        join(folder, "d"),
        join(folder, "b"),
        "root@files:to",
      ]);
      assert.equal(code, 0, err);
      assert.deepEqual(
        [...got],
        [
          ["command", "scp -tdr -- to"],
          ["d/a", "one"],
          ["b", "two"],
        ],
      );
      assert.equal(out, `-> ${folder}/d/a (3)\n-> ${folder}/b (3)\n`);
      assert.equal((await cluster.tsh(["scp", "-q", join(folder, "b"), "root@files:to"])).out, "");
    });
    test("gets a file under its own name or another", async () => {
      assert.equal((await cluster.tsh(["scp", "root@files:dir/name", folder])).code, 0);
      assert.equal(await readFile(join(folder, "name"), "utf8"), "content");
      assert.equal((await cluster.tsh(["scp", "root@files:dir/name", join(folder, "new")])).code, 0);
      assert.equal(await readFile(join(folder, "new"), "utf8"), "content");
    });
    test("S56: what was not asked for is refused, and no mode makes a program somebody else's", async () => {
      for (const path of ["evil-other", "evil-hidden/", "evil-two", "evil-climb"]) {
        const result = await cluster.tsh(["scp", "-r", `root@files:${path}`, folder]);
        assert.equal(result.code, 1, path);
      }
      assert.deepEqual((await readdir(folder)).sort(), ["evil-two"]);
      await cluster.tsh(["scp", "-p", "root@files:evil-mode", folder]);
      assert.equal((await stat(join(folder, "evil-mode"))).mode & 0o7777, 0o755);
    });
    test("S56: a path reaches the host as a path, wildcards as such", async () => {
      await cluster.tsh(["scp", "root@files:a;b/*.txt", folder]);
      assert.equal(got.get("command"), "scp -f -- a';'b/*.txt");
    });
    test("what cannot be read is told, the rest is copied, the exit code is 1", async () => {
      await writeFile(join(folder, "b"), "two");
      const result = await cluster.tsh(["scp", join(folder, "gone"), join(folder, "b"), "root@files:to"]);
      assert.equal(result.code, 1);
      assert.match(result.err, /gone: no such file/);
      assert.equal(got.get("b"), "two");
    });
    test("TSH-42: local copies, and both sides remote, are not served", async () => {
      assert.match((await cluster.tsh(["scp", "a", "b"])).err, /making local copies is not supported/);
      assert.equal((await cluster.tsh(["scp", "root@db:a", "root@db:b"])).code, 2);
      assert.equal((await cluster.tsh(["scp", "a"])).code, 2);
    });
    test("20 MiB arrive whole", async () => {
      const data = randomBytes(20 * 1024 * 1024);
      await writeFile(join(folder, "big"), data);
      assert.equal((await cluster.tsh(["scp", join(folder, "big"), "root@files:to"])).code, 0);
      assert.equal(sum(Buffer.from(got.get("big") ?? "", "latin1")), sum(data));
    });
  });

  suite("play", () => {
    before(startLoggedIn);
    after(stop);
    const sid = "11111111-2222-4333-8444-555555555555";
    test("an id that is none, and one that is unknown", async () => {
      const bad = await cluster.tsh(["play", "x"]);
      assert.match(bad.err, /'x' is not a valid session ID \(must be GUID\)/);
      assert.match((await cluster.tsh(["play", sid])).err, /not found/);
    });
    test("S66: shows what was recorded, which cannot drive the terminal", async () => {
      const writer = new RecordingWriter();
      const clock = new TestClock();
      const start = stamp(
        {
          code: "T2000I",
          user: "joe",
          login: "root",
          server_id: "n",
          sid,
          "addr.remote": "10.0.0.9:1",
          size: "80:25",
        },
        { clock, random: systemRandom },
      );
      const began = writer.event(start);
      const said = writer.output(Buffer.from("hel\u001b]52;c;aGk=\u0007lo\u001b[6n"), clock.now() + 10);
      const files = { bytes: said.bytes, log: Buffer.concat([began.log, said.log]) };
      cluster.auth.set("recordings.read", (input) => {
        const { file, offset, length } = input as { file: "bytes" | "log"; offset: number; length: number };
        return { data: Buffer.from(files[file].subarray(offset, offset + length)).toString("base64") };
      });
      const { code, out, err } = await cluster.tsh(["play", sid]);
      assert.deepEqual([code, out], [0, "hello\nend of session playback\n"], err);
    });
  });
});
