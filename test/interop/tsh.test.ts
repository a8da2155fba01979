import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { appendFile, readFile, stat, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { skipUnless } from "../support/installed.ts";
import { freePort } from "../support/port.ts";
import { type Sshd, startSshd } from "../support/sshd.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";
import { TestCluster } from "../tsh/cluster.ts";
import { startShouting } from "../tsh/forwarding.ts";

const login = userInfo().username;

suite("tsh against stock sshd", { skip: skipUnless("sshd", "ssh-keygen"), timeout: 120_000 }, () => {
  const stack = new AsyncDisposableStack();
  let cluster: TestCluster;
  let sshd: Sshd;
  let folder: TempDir;
  /** Says hello to a place, given as JSON, and shows the answer: what is run on either side of a forward. */
  let probe: string;

  before(async () => {
    cluster = stack.use(await TestCluster.start());
    folder = stack.use(await tempDir());
    cluster.logins = [login];
    await cluster.login();
    await writeFile(folder.at("user-ca.pub"), `${cluster.userAuthority}\n`);
    sshd = stack.use(
      await startSshd({
        names: ["stock"],
        config: [
          `TrustedUserCAKeys ${folder.at("user-ca.pub")}`,
          "AcceptEnv MY_*",
          "StreamLocalBindUnlink yes",
        ],
      }),
    );
    // The authority of ssh-keygen's making is the cluster's too.
    const hostCa = await readFile(sshd.authorities.hostCa, "utf8");
    await appendFile(join(cluster.home, ".tsh", "known_hosts"), `main ${hostCa}`);
    cluster.hosts.set("stock", {
      serve(stream) {
        const socket = connect({ port: sshd.port, host: "127.0.0.1", allowHalfOpen: true });
        socket.on("error", () => stream.destroy());
        stream.on("error", () => socket.destroy());
        stream.pipe(socket).pipe(stream);
      },
    });
    probe = folder.at("probe.cjs");
    await writeFile(
      probe,
      "const s = require('net').connect({ ...JSON.parse(process.argv[2]), allowHalfOpen: true }); s.end('hello'); s.pipe(process.stdout);",
    );
  });
  after(() => stack.disposeAsync());

  const ssh = (...line: string[]) => cluster.tsh(["ssh", ...line]);
  const asking = (place: object): string[] => [process.execPath, probe, `'${JSON.stringify(place)}'`];
  const tcp = (port: number) => ({ host: "127.0.0.1", port });

  test("a command, its exit code and its signal", async () => {
    const got = await ssh(`${login}@stock`, "echo out; echo err >&2; exit 5");
    assert.deepEqual([got.code, got.out], [5, "out\n"], got.err + sshd.log());
    assert.match(got.err, /err\n$/);
    assert.equal((await ssh(`${login}@stock`, "kill -TERM $$")).code, 143);
  });
  test("SetEnv reaches it, a forced terminal is one", async () => {
    assert.equal((await ssh("-o", "SetEnv=MY_X=a b", `${login}@stock`, 'echo "$MY_X"')).out, "a b\n");
    assert.match(
      (await ssh("-o", "RequestTTY=force", `${login}@stock`, "tty; stty size")).out,
      /\/dev\/\S+\r\n24 80/,
    );
  });
  test("-L and -D, to a port and to a Unix socket", async () => {
    using there = await startShouting({ host: "127.0.0.1", port: 0 });
    using _ = await startShouting({ path: folder.at("there") });
    const [port, socks] = [await freePort(), await freePort()];
    const flags = [
      "-L",
      `${port}:127.0.0.1:${there.port}`,
      "-L",
      `${folder.at("here")}:${folder.at("there")}`,
    ];
    for (const place of [tcp(port), { path: folder.at("here") }]) {
      // Run at the other end, which is this machine.
      const got = await ssh(...flags, "-D", String(socks), `${login}@stock`, ...asking(place));
      assert.deepEqual([got.code, got.out], [0, "HELLO"], got.err);
    }
  });
  test("-R of a port, of a port that sshd chooses, and of a Unix socket", async () => {
    using here = await startShouting({ host: "127.0.0.1", port: 0 });
    const port = await freePort();
    const path = folder.at("remote");
    const target = `127.0.0.1:${here.port}`;
    for (const [spec, place] of [
      [`${port}:${target}`, tcp(port)],
      [`127.0.0.1:${port}:${target}`, tcp(port)],
      [`${path}:${target}`, { path }],
    ] as const) {
      const got = await ssh("-o", "ExitOnForwardFailure=yes", "-R", spec, `${login}@stock`, ...asking(place));
      assert.deepEqual([got.code, got.out], [0, "HELLO"], got.err);
    }
    const chosen = await ssh("-R", `0:${target}`, `${login}@stock`, "true");
    assert.match(chosen.err, /stock listens on port \d+ for -R 0:/);
  });
  test("-R that sshd refuses is told", async () => {
    using taken = await startShouting({ host: "127.0.0.1", port: 0 });
    const got = await ssh("-R", `127.0.0.1:${taken.port}:127.0.0.1:1`, `${login}@stock`, "echo ran");
    assert.deepEqual([got.code, got.out], [0, "ran\n"]);
    assert.match(got.err, /WARNING: the server does not listen on 127\.0\.0\.1:\d+ for us/);
  });
  test("-J over it to itself", async () => {
    const jump = `127.0.0.1:${cluster.sshPort},${login}@stock`;
    // By its address it is not in the certificate; the name is not one that resolves.
    const got = await ssh("-J", jump, "-p", String(sshd.port), `${login}@127.0.0.1`, "echo over");
    assert.match(got.err, /certificate for other names: stock/);
  });
  test("scp with -r and -p keeps contents, modes and times", async () => {
    const content = randomBytes(300_000);
    await writeFile(folder.at("file"), content, { mode: 0o640 });
    const there = folder.at("copy");
    const up = await cluster.tsh(["scp", "-p", folder.at("file"), `${login}@stock:${there}`]);
    assert.equal(up.code, 0, up.err);
    assert.ok(content.equals(await readFile(there)));
    const [a, b] = [await stat(folder.at("file")), await stat(there)];
    assert.deepEqual([b.mode & 0o777, Math.floor(b.mtimeMs / 1000)], [0o640, Math.floor(a.mtimeMs / 1000)]);
    const down = await cluster.tsh(["scp", "-rp", `${login}@stock:${there}`, folder.at("back")]);
    assert.equal(down.code, 0, down.err);
    assert.ok(content.equals(await readFile(folder.at("back"))));
  });
});
