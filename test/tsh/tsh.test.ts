import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, suite, test } from "node:test";
import { promisify } from "node:util";
import { TestClock } from "#core/clock";
import { systemRandom } from "#core/random";
import { stamp } from "#events";
import { RecordingWriter } from "#recording";
import { generateKey } from "#ssh/keys";
import { type HostOptions, TestCluster } from "./cluster.ts";
import type { Program, ServedSession } from "./program.ts";
import { scpHost } from "./scp-host.ts";
import { shell, sum } from "./shell.ts";

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
      assert.ok(files.length < 170, `${files.length} files`);
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
      ["a certificate of next century", () => ({ validAfter: 4_200_000_000n }), /not valid (yet|before)/],
      ["a certificate for a user", () => ({ type: "user" }), /user certificate|certificate .*user/],
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
    test("-J and -o are those of tsh ssh, with another proxy in place of the profile's", async () => {
      await writeFile(join(folder, "b"), "b");
      const profile = join(cluster.home, ".tsh", "127.0.0.1.yaml");
      const text = await readFile(profile, "utf8");
      await writeFile(profile, text.replace(/ssh_proxy_addr: .*/, "ssh_proxy_addr: 127.0.0.1:1"));
      try {
        const proxy = `127.0.0.1:${cluster.sshPort}`;
        assert.equal((await cluster.tsh(["scp", join(folder, "b"), "root@files:to"])).code, 1);
        for (const flags of [
          ["-J", proxy],
          ["-o", `ProxyJump=${proxy}`],
          ["-J", proxy, "-o", "User=root"],
        ]) {
          const host = flags.includes("User=root") ? "files" : "root@files";
          const went = await cluster.tsh(["scp", ...flags, join(folder, "b"), `${host}:to`]);
          assert.equal(went.code, 0, went.err);
        }
        const over = await cluster.tsh(["scp", "-q", "-J", `${proxy},root@files`, "root@files:x", folder]);
        assert.match(over.err, /error: /);
        assert.doesNotMatch(over.err, /welcome/, "no banners with -q");
      } finally {
        await writeFile(profile, text);
      }
    });
    test("-o with a name that OpenSSH does not know is an error, a host without a certificate goes by its options", async () => {
      await writeFile(join(folder, "b"), "b");
      assert.match(
        (await cluster.tsh(["scp", "-o", "Prot=1", "a", "root@files:b"])).err,
        /did you mean Port\?/,
      );
      const warned = await cluster.tsh(["scp", "-o", "Compression=yes", join(folder, "b"), "root@files:to"]);
      assert.match(warned.err, /Option 'Compression' is not supported/);
      await cluster.node("bare", scpHost(got), { plain: true });
      const line = ["-o", "UserKnownHostsFile=/dev/null", join(folder, "b"), "root@bare:to"];
      assert.equal((await cluster.tsh(["scp", ...line])).code, 1);
      const trusted = await cluster.tsh(["scp", "-o", "StrictHostKeyChecking=no", ...line]);
      assert.equal(trusted.code, 0, trusted.err);
      assert.match(trusted.err, /WARNING: nobody verified the key of bare/);
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
