import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile, stat, writeFile } from "node:fs/promises";
import type { Socket } from "node:net";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/port.ts";
import { TestCluster } from "./cluster.ts";
import { say, startShouting } from "./forwarding.ts";
import type { Program, ServedSession } from "./program.ts";

const local = (port: number) => ({ host: "127.0.0.1", port });

suite("tsh ssh and its flags", () => {
  let cluster: TestCluster;
  /** What a command does at the other end while the forwards of its line stand. */
  let meanwhile: (session: ServedSession) => Promise<string | number> = async () => 0;
  const program: Program = async (session) => {
    const came = await meanwhile(session);
    if (typeof came === "string") await session.channel.write(Buffer.from(came));
    await session.exit(typeof came === "number" ? came : 0);
  };
  before(async () => {
    cluster = await TestCluster.start();
    await cluster.login();
    await cluster.node("db", program, { forwards: true });
    await cluster.node("closed", program);
  });
  after(() => cluster[Symbol.asyncDispose]());
  const ssh = (...line: string[]) => cluster.tsh(["ssh", ...line]);
  const file = (name: string): string => join(cluster.home, name);

  suite("forwards", () => {
    test("-L carries both directions and the end of one", async () => {
      using there = await startShouting({ host: "127.0.0.1", port: 0 });
      const port = await freePort();
      meanwhile = () => say("hello", local(port));
      const got = await ssh("-L", `${port}:127.0.0.1:${there.port}`, "root@db", "probe");
      assert.deepEqual([got.code, got.out], [0, "HELLO"], got.err);
    });
    test("-L between Unix sockets: only their owner gets in, and nothing is left", async () => {
      const [here, there] = [file("here.sock"), file("there.sock")];
      using _ = await startShouting({ path: there });
      meanwhile = async () => {
        assert.equal((await stat(here)).mode & 0o777, 0o600);
        return say("hello", { path: here });
      };
      const got = await ssh("-L", `${here}:${there}`, "root@db", "probe");
      assert.deepEqual([got.code, got.out], [0, "HELLO"], got.err);
      await assert.rejects(stat(here), { code: "ENOENT" });
    });
    test("-L does not touch what lies at its path, unless it is a socket and it was told to", async () => {
      const precious = file("precious");
      await writeFile(precious, "keep me");
      for (const more of [[], ["-o", "StreamLocalBindUnlink=yes"]]) {
        meanwhile = async () => "ran";
        const got = await ssh(...more, "-L", `${precious}:db:80`, "root@db", "probe");
        assert.deepEqual([got.code, got.out], [0, "ran"]);
        assert.match(got.err, /WARNING: cannot listen on .*precious .*something is there already/);
      }
      assert.equal(await readFile(precious, "utf8"), "keep me");
    });
    test("-D serves SOCKS 5 to where the host reaches", async () => {
      using there = await startShouting({ host: "127.0.0.1", port: 0 });
      const port = await freePort();
      const request = (to: number) => async (socket: Socket) => {
        socket.write(Uint8Array.of(5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, to >> 8, to & 255));
        await once(socket, "readable");
      };
      meanwhile = async () => {
        const good = await say("hello", local(port), request(there.port));
        const bad = await say("", local(port), request(1));
        return `${good.slice(12)} ${bad.charCodeAt(3)}`;
      };
      const got = await ssh("-D", String(port), "root@db", "probe");
      assert.deepEqual([got.code, got.out], [0, "HELLO 5"], got.err);
      assert.match(got.err, /WARNING: -D \d+: no connection to 127\.0\.0\.1:1: nobody is there\n/);
    });
    test("-R brings a port of this side to the host, which may choose its own", async () => {
      using here = await startShouting({ host: "127.0.0.1", port: 0 });
      const port = await freePort();
      meanwhile = () => say("hello", local(port));
      const got = await ssh("-R", `127.0.0.1:${port}:127.0.0.1:${here.port}`, "root@db", "probe");
      assert.deepEqual([got.code, got.out], [0, "HELLO"], got.err);
      meanwhile = async () => "";
      const chosen = await ssh("-R", `0:127.0.0.1:${here.port}`, "root@db", "probe");
      assert.match(chosen.err, /^db listens on port \d+ for -R 0:127/m);
    });
    test("-R with a port alone serves SOCKS there", async () => {
      using here = await startShouting({ host: "127.0.0.1", port: 0 });
      const port = await freePort();
      meanwhile = async () => {
        const answer = await say("hello", local(port), async (socket) => {
          socket.write(Uint8Array.of(4, 1, here.port >> 8, here.port & 255, 127, 0, 0, 1, 0));
          await once(socket, "readable");
        });
        return answer.slice(8);
      };
      const got = await ssh("-R", `127.0.0.1:${port}`, "root@db", "probe");
      assert.deepEqual([got.code, got.out], [0, "HELLO"], got.err);
    });
    test("a host that refuses -R is told of, and the session goes on", async () => {
      meanwhile = async () => "ran";
      const got = await ssh("-R", "8080:localhost:80", "root@closed", "probe");
      assert.deepEqual([got.code, got.out], [0, "ran"]);
      assert.match(got.err, /WARNING: the server does not listen on localhost:8080 for us/);
    });
    test("TSH-24: a port that is taken is named with what to do; with ExitOnForwardFailure it is the end", async () => {
      using taken = await startShouting({ host: "127.0.0.1", port: 0 });
      const spec = `${taken.port}:db:80`;
      meanwhile = async () => "ran";
      const got = await ssh("-L", spec, "root@db", "probe");
      assert.deepEqual([got.code, got.out], [0, "ran"]);
      assert.match(
        got.err,
        /WARNING: 127\.0\.0\.1:\d+ is taken by another program; .*choose another.*`-L \d+:db:80`/,
      );
      for (const flags of [["-o", "ExitOnForwardFailure=yes"], ["-N"]]) {
        const ended = await ssh(...flags, "-L", spec, "root@db", ...(flags[0] === "-N" ? [] : ["probe"]));
        assert.deepEqual([ended.code, ended.out], [1, ""]);
        assert.match(ended.err, /error: /);
      }
    });
    test("S66: a refusal in the host's words cannot drive the terminal", async () => {
      const port = await freePort();
      meanwhile = () => say("x", local(port)).catch(() => "");
      const got = await ssh("-L", `${port}:127.0.0.1:1`, "root@db", "probe");
      assert.match(got.err, /WARNING: -L .*nobody is there\n/);
      assert.equal(got.err.includes("\u001b"), false);
    });
    test("-N opens no session, forwards until it is stopped, and then lets go of its port", async () => {
      using there = await startShouting({ host: "127.0.0.1", port: 0 });
      const port = await freePort();
      let sessions = 0;
      meanwhile = async () => sessions++;
      const stop = new AbortController();
      const line = ["ssh", "-N", "-L", `${port}:127.0.0.1:${there.port}`, "root@db"];
      const running = cluster.tsh(line, { signal: stop.signal });
      assert.equal(await eventually("a forward", () => say("hello", local(port))), "HELLO");
      stop.abort(new Error("stopped"));
      assert.match((await running).err, /error: stopped/);
      await assert.rejects(say("hello", local(port)), { code: "ECONNREFUSED" });
      assert.equal(sessions, 0);
    });
    test("a connection that is forwarded outlives the command", async () => {
      using there = await startShouting({ host: "127.0.0.1", port: 0 });
      const port = await freePort();
      const answer = Promise.withResolvers<string>();
      meanwhile = async () => {
        const begun = Promise.withResolvers<void>();
        answer.resolve(
          say("!", local(port), async (socket) => {
            await new Promise<void>((resolve) => socket.write("begun", () => resolve()));
            begun.resolve();
            await new Promise((resolve) => setImmediate(resolve));
          }),
        );
        await begun.promise;
        return 0;
      };
      await ssh("-L", `${port}:127.0.0.1:${there.port}`, "root@db", "probe");
      assert.equal(await answer.promise, "BEGUN!");
    });
    test("--local runs the command here while they stand", async () => {
      const script =
        "const s = require('net').connect(+process.argv[1]); s.end('hello'); s.pipe(process.stdout)";
      using there = await startShouting({ host: "127.0.0.1", port: 0 });
      const port = await freePort();
      const forward = ["-L", `${port}:127.0.0.1:${there.port}`];
      const code = `${script}; s.on('close', () => process.exit(7))`;
      const got = await ssh("--local", ...forward, "root@db", process.execPath, "-e", code, String(port));
      assert.equal(got.code, 7, got.err);
      const none = await ssh("--local", "root@db", "/nonexistent/program");
      assert.deepEqual([none.code, /cannot run .*no such program/.test(none.err)], [1, true]);
    });
    test("-W connects input and output to a port there, and nothing is run", async () => {
      using there = await startShouting({ host: "127.0.0.1", port: 0 });
      const got = await cluster.tsh(["ssh", "-W", `127.0.0.1:${there.port}`, "root@db"], { input: "hello" });
      assert.deepEqual([got.code, got.out], [0, "HELLO"], got.err);
      const refused = await ssh("-W", "127.0.0.1:1", "root@db");
      assert.deepEqual([refused.code, /error: nobody is there\n$/.test(refused.err)], [1, true]);
      for (const bad of ["80", "/run/x", "a:b"]) assert.equal((await ssh("-W", bad, "root@db")).code, 2);
      assert.equal((await ssh("-W", "127.0.0.1:1", "root@db", "true")).code, 2);
    });
    for (const spec of ["80", "80:db", "x:db:80", "80:db:http"]) {
      test(`TSH-26: -L ${spec} is refused with an example before anything is sent`, async () => {
        const got = await ssh("-L", spec, "root@db", "true");
        assert.equal(got.code, 2);
        assert.match(
          got.err,
          /error: Invalid port forwarding spec: '.*'\. Could be like `80:remote\.host:80`\.\n$/,
        );
      });
    }
  });

  suite("options", () => {
    test("SetEnv and SendEnv send variables, - takes one back", async () => {
      meanwhile = async ({ requests }) =>
        requests
          .flatMap(({ name, body }) => (name === "env" ? [`${body.name}=${body.value}`] : []))
          .join(" ");
      const options = ["SetEnv=A=1 2", "SendEnv=MY_* -LC_TIME", "setenv A=ignored"].flatMap((one) => [
        "-o",
        one,
      ]);
      const env = { LC_TIME: "C", MY_ONE: "x", LANG: "C", OTHER: "y" };
      const got = await cluster.tsh(["ssh", ...options, "root@db", "env"], { env });
      assert.deepEqual(got.out.split(" ").sort(), ["2", "A=1", "LANG=C", "MY_ONE=x"], got.err);
    });
    test("RequestTTY=force asks for a terminal where there is none, -T never", async () => {
      meanwhile = async ({ requests }) => requests.map(({ name }) => name).join(" ");
      assert.equal((await ssh("-o", "RequestTTY=force", "root@db", "x")).out, "pty-req exec");
      assert.equal((await ssh("-T", "-o", "RequestTTY=force", "root@db", "x")).out, "exec");
      assert.match((await ssh("-t", "root@db", "x")).err, /standard input is not a terminal/);
    });
    test("what git and Ansible give their ssh is taken; -n gives no input", async () => {
      meanwhile = async ({ channel, command }) => {
        let input = "";
        for await (const part of channel) input += Buffer.from(part).toString();
        return `${command}: ${input}`;
      };
      const git = ["-o", "SendEnv=GIT_PROTOCOL", "-p", "22", "root@db", "git-upload-pack 'x'"];
      assert.equal((await cluster.tsh(["ssh", ...git], { input: "want" })).out, "git-upload-pack 'x': want");
      const ansible = [
        "-C",
        "-o",
        "ControlMaster=no",
        "-o",
        "KbdInteractiveAuthentication=no",
        "-o",
        'User="root"',
      ];
      const got = await cluster.tsh(["ssh", ...ansible, "-n", "-x", "-a", "db", "true"], { input: "lost" });
      assert.deepEqual([got.out, got.err.includes("WARNING")], ["true: ", false]);
    });
    test("User and Port are taken where no flag says more", async () => {
      meanwhile = async () => "in";
      assert.equal((await ssh("-o", "User=root", "-o", "LogLevel=QUIET", "db", "x")).err, "");
      assert.match((await ssh("-o", "User=joe", "db", "x")).err, /access denied to joe/);
      assert.equal((await ssh("-o", "User=joe", "-l", "root", "db", "x")).out, "in");
      assert.match((await ssh("-o", "Port=22", "root@nosuch", "x")).err, /nosuch:22/);
      assert.match((await ssh("-p", "23", "-o", "Port=22", "root@nosuch", "x")).err, /nosuch:23/);
    });
    for (const [option, code, sentence] of [
      ["Foo=1", 2, /error: -o: OpenSSH has no option "Foo"; .*tsh help ssh/],
      ["StrictHostKeyCheking=no", 2, /did you mean StrictHostKeyChecking\?/],
      ["RequestTTY=maybe", 2, /-o RequestTTY: "maybe" is not one of auto, no, yes, force/],
      ["Compression=yes", 0, /WARNING: Option 'Compression' is not supported\./],
      ["LocalForward=80", 2, /Invalid port forwarding spec: '80'/],
      ["Ciphers=aes128-ctr", 0, /WARNING: Option 'Ciphers' is not supported\./],
    ] as const) {
      test(`TSH-23: -o ${option}`, async () => {
        meanwhile = async () => 0;
        const got = await ssh("-o", option, "root@db", "x");
        assert.equal(got.code, code);
        assert.match(got.err, sentence);
      });
    }
    test("StrictHostKeyChecking and UserKnownHostsFile decide about a host without certificate", async () => {
      await cluster.node("plain", program, { plain: true });
      meanwhile = async () => "in";
      const known = file("own_known_hosts");
      const mine = ["-o", `UserKnownHostsFile=${known}`];
      assert.equal((await ssh("-o", "StrictHostKeyChecking=yes", "root@plain", "x")).code, 1);
      assert.equal((await ssh("root@plain", "x")).code, 1, "nobody is there to be asked");
      const nowhere = ["-o", "UserKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=no"];
      const once = await ssh(...nowhere, "root@plain", "x");
      assert.deepEqual([once.code, once.out], [0, "in"]);
      assert.match(once.err, /WARNING: nobody verified the key of plain/);
      assert.equal((await ssh("root@plain", "x")).code, 1, "not remembered");
      assert.equal((await ssh(...mine, "-o", "StrictHostKeyChecking=accept-new", "root@plain", "x")).code, 0);
      assert.match(await readFile(known, "utf8"), /^plain ssh-ed25519 \S+\n$/);
      assert.equal((await ssh(...mine, "-o", "StrictHostKeyChecking=yes", "root@plain", "x")).out, "in");
      assert.equal((await ssh("root@plain", "x")).code, 1, "the other file knows nothing of it");
    });
    test("S30: a changed key is refused whatever the options say", async () => {
      await cluster.node("changing", program, { plain: true });
      const mine = ["-o", `UserKnownHostsFile=${file("changing_hosts")}`, "-o", "StrictHostKeyChecking=no"];
      meanwhile = async () => "in";
      assert.equal((await ssh(...mine, "root@changing", "x")).code, 0);
      await cluster.node("changing", program, { plain: true });
      const got = await ssh(...mine, "root@changing", "x");
      assert.equal(got.code, 1);
      assert.match(got.err, /another key than the known one/);
    });
  });

  suite("-J", () => {
    const profileWithout = async (work: () => Promise<void>): Promise<void> => {
      const profile = join(cluster.home, ".tsh", "127.0.0.1.yaml");
      const text = await readFile(profile, "utf8");
      await writeFile(profile, text.replace(/ssh_proxy_addr: .*/, "ssh_proxy_addr: 127.0.0.1:1"));
      try {
        await work();
      } finally {
        await writeFile(profile, text);
      }
    };
    test("names another proxy in place of the profile's", async () => {
      meanwhile = async () => "in";
      await profileWithout(async () => {
        assert.equal((await ssh("root@db", "x")).code, 1);
        assert.equal((await ssh("-J", `127.0.0.1:${cluster.sshPort}`, "root@db", "x")).out, "in");
        assert.equal((await ssh("-o", `ProxyJump=127.0.0.1:${cluster.sshPort}`, "root@db", "x")).out, "in");
      });
    });
    test("or --proxy names its SSH port, for this command only", async () => {
      meanwhile = async () => "in";
      await profileWithout(async () => {
        const proxy = `--proxy=127.0.0.1:${cluster.webPort},${cluster.sshPort}`;
        const got = await ssh(proxy, "root@db", "x");
        assert.equal(got.out, "in", got.err);
        assert.equal((await ssh(`--proxy=127.0.0.1:${cluster.webPort}`, "root@db", "x")).code, 1);
      });
      const wrong = await ssh(`--proxy=127.0.0.1:${cluster.webPort},1`, "root@db", "x");
      assert.match(wrong.err, /127\.0\.0\.1:1\b/);
      assert.equal((await ssh("root@db", "x")).out, "in");
    });
    test("goes over a node to a host that this reaches, end to end", async () => {
      const { createServer } = await import("node:net");
      const target = await cluster.host({ principals: ["127.0.0.1"] }, program);
      const server = createServer((socket) => target.serve(socket)).listen(0, "127.0.0.1");
      await once(server, "listening");
      const { port } = server.address() as { port: number };
      try {
        meanwhile = async () => "over";
        const jump = `127.0.0.1:${cluster.sshPort},root@db`;
        const got = await ssh("-J", jump, "-p", String(port), "root@127.0.0.1", "x");
        assert.equal(got.out, "over", got.err);
        const labels = await ssh("-J", jump, "root@env=prod", "x");
        assert.match(labels.err, /is no proxy/);
      } finally {
        server.close();
      }
    });
    test("S30: what cannot prove that it is of a known cluster is not jumped over", async () => {
      await using other = await TestCluster.start();
      const got = await ssh("-J", `127.0.0.1:${other.sshPort}`, "root@db", "x");
      assert.equal(got.code, 1);
      assert.match(got.err, /error: cannot jump over 127\.0\.0\.1: /);
      await using node = await TestCluster.start({
        role: "Node",
        principals: ["elsewhere"],
        ca: cluster.hostCa,
      });
      const named = await ssh("-J", `127.0.0.1:${node.sshPort}`, "root@db", "x");
      assert.match(named.err, /has a certificate for other names: elsewhere/);
    });
    test("S57: a jump host that is no host is refused", async () => {
      for (const jump of ["$(id)", "-oProxyCommand=x", "a b", "a;b"]) {
        assert.equal((await ssh(`-J${jump}`, "root@db", "x")).code, 2, jump);
      }
    });
  });
});
