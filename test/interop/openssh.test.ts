import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { connect as connectTcp, type Socket } from "node:net";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { systemClock } from "#core/clock";
import { memoryLog, silentLog } from "#core/log";
import {
  type Accepted,
  accept,
  type Channel,
  type ClientConnection,
  type Connection,
  connect,
  duplex,
} from "#ssh";
import { AgentClient } from "#ssh/agent";
import { AskedForwards, DirectTcpip, RemoteForwards, splice } from "#ssh/forward";
import {
  checkCertificate,
  formatPrivateKey,
  formatPublicKeyLine,
  generateKey,
  issueCertificate,
  noExpiry,
  type PrivateKey,
  type PublicKey,
  parsePublicKeyLine,
  type Signer,
  sameKey,
} from "#ssh/keys";
import { openSession, readSessionRequest, sendExit } from "#ssh/session";
import { dial, listen, scratch, startSshd, withoutOpenSsh } from "./openssh.ts";

const MiB = 1024 * 1024;
const blob = randomBytes(24 * MiB);
const sum = (data: Uint8Array): string => createHash("sha256").update(data).digest("hex");
const blobSum = sum(blob);

async function certify(
  ca: PrivateKey,
  key: PublicKey,
  type: "user" | "host",
  principal: string,
): Promise<PublicKey> {
  return issueCertificate(
    {
      key,
      type,
      keyId: `${type} ${principal}`,
      serial: 1n,
      principals: [principal],
      validAfter: 0n,
      validBefore: noExpiry,
      ...(type === "user" && {
        extensions: new Map([
          ["permit-pty", ""],
          ["permit-port-forwarding", ""],
        ]),
      }),
    },
    ca.signer(),
  );
}

async function collect(from: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of from) parts.push(part);
  return Buffer.concat(parts);
}

/** Runs one command line as a small shell of our own would. */
async function run(command: string, channel: Channel, connection: Connection): Promise<void> {
  const [word, argument] = command.split(" ");
  let code = 0;
  if (word === "sum") await channel.write(Buffer.from(sum(await collect(channel))));
  else if (word === "blob") {
    for (let at = 0; at < blob.length; at += 50_000) await channel.write(blob.subarray(at, at + 50_000));
  } else if (word === "wait") await collect(channel);
  else if (word === "agent") {
    const said = await connection.open("auth-agent@openssh.com").then(
      async (opened) => {
        using agent = new AgentClient(duplex(opened.channel));
        const types = (await agent.identities()).map(({ publicKey }) => publicKey.type);
        return types.sort().join(" ");
      },
      () => "refused",
    );
    await channel.write(Buffer.from(said));
  } else if (word === "fail") {
    await channel.writeStderr(Buffer.from("this is why\n"));
    code = Number(argument);
  } else await channel.write(Buffer.from(command));
  await sendExit(channel, { code });
  await channel.end();
  await channel.close();
}

function serve({ connection }: Accepted<string>): void {
  connection.onOpen(async (request) => {
    if (request.kind === "session") {
      const channel = request.accept();
      channel.onRequest((name, payload) => {
        const asked = readSessionRequest(name, payload);
        if (asked?.name === "exec") void run(asked.body.command, channel, connection);
        return asked?.name === "exec" || asked?.name === "env";
      });
    } else if (request.kind === "direct-tcpip") {
      const { host, port } = DirectTcpip.decode(request.extra);
      const socket = connectTcp({ host, port, allowHalfOpen: true });
      await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
      void splice(request.accept(), socket).catch(() => {});
    }
  });
  const forwards = new RemoteForwards(connection, async (_bind, visit) => {
    const visited = (stream: Socket): void =>
      visit({ stream, host: "127.0.0.1", port: stream.remotePort ?? 0 });
    return await listen(visited, { allowHalfOpen: true });
  });
  connection.onRequest((name, payload) => forwards.answer(name, payload) ?? false);
}

/** Our server on a free port, with a certified host key, and what a stock client needs to log in to it by certificate. */
async function ourServer(signal: AbortSignal, change: { rekey?: { bytes: number } } = {}) {
  const folder = await scratch();
  const [hostCa, userCa, hostKey, userKey] = (await Promise.all(
    Array.from({ length: 4 }, () => generateKey("ed25519")),
  )) as [PrivateKey, PrivateKey, PrivateKey, PrivateKey];
  const hostCert = await certify(hostCa, hostKey.publicKey, "host", "127.0.0.1");
  const userCert = await certify(userCa, userKey.publicKey, "user", "alice");
  const file = (name: string): string => join(folder.path, name);
  await writeFile(file("id"), formatPrivateKey(userKey), { mode: 0o600 });
  await writeFile(file("id-cert.pub"), `${formatPublicKeyLine({ key: userCert })}\n`);
  await writeFile(
    file("known_hosts"),
    `@cert-authority * ${formatPublicKeyLine({ key: hostCa.publicKey })}\n`,
  );
  const accepted: Accepted<string>[] = [];
  const loggedIn = Promise.withResolvers<void>();
  const log = memoryLog();
  const server = await listen((stream) => {
    accept<string>(
      {
        stream,
        hostKeys: [hostKey.signer(hostCert), hostKey.signer()],
        version: "Teleport",
        check: async ({ key, user }) =>
          checkCertificate(key, {
            type: "user",
            isAuthority: (authority) => sameKey(authority, userCa.publicKey),
            principal: user,
            now: systemClock.now(),
          }).keyId,
        clock: systemClock,
        log,
        ...change,
      },
      signal,
    ).then(
      (one) => {
        accepted.push(one);
        loggedIn.resolve();
        serve(one);
      },
      (err: unknown) => log.warn("refused", { err: String(err) }),
    );
  });
  const args = [
    ...["-F", "none", "-p", `${server.port}`, "-i", file("id")],
    ...["BatchMode=yes", "IdentitiesOnly=yes", `UserKnownHostsFile=${file("known_hosts")}`].flatMap((o) => [
      "-o",
      o,
    ]),
    ...["GlobalKnownHostsFile=/dev/null", "StrictHostKeyChecking=yes"].flatMap((o) => ["-o", o]),
  ];
  return {
    port: server.port,
    folder: folder.path,
    accepted,
    /** Resolves with the first login. */
    loggedIn: loggedIn.promise,
    log,
    /** Arguments of `ssh` up to the host. */
    args,
    async [Symbol.asyncDispose]() {
      for (const { connection } of accepted) connection.disconnect("test is over");
      await server[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}

interface Ran {
  readonly code: number | null;
  readonly out: Buffer;
  readonly err: string;
}
function ssh(
  args: readonly string[],
  input: Uint8Array | "open" = new Uint8Array(0),
  env: NodeJS.ProcessEnv = process.env,
) {
  const child = spawn("ssh", args, { stdio: "pipe", env });
  child.stdin.on("error", () => {}); // a client that gives up does not read its input
  if (input !== "open") child.stdin.end(input);
  const done: Promise<Ran> = (async () => {
    const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
    const [out, err] = await Promise.all([collect(child.stdout), collect(child.stderr)]);
    return { code: await ended, out, err: err.toString() };
  })();
  return { child, done };
}

/** A stock ssh-agent that holds these keys, with their certificates. */
async function startAgent(keys: readonly string[]) {
  const folder = await scratch();
  const path = join(folder.path, "agent");
  const agent = spawn("ssh-agent", ["-D", "-a", path], { stdio: ["ignore", "pipe", "ignore"] });
  await until(agent.stdout, /SSH_AUTH_SOCK/);
  const env = { ...process.env, SSH_AUTH_SOCK: path };
  for (const key of keys) execFileSync("ssh-add", ["-q", key], { env, stdio: "ignore" });
  return {
    path,
    env,
    async [Symbol.asyncDispose]() {
      const ended = new Promise((resolve) => agent.once("exit", resolve));
      agent.kill("SIGTERM");
      await ended;
      await folder[Symbol.asyncDispose]();
    },
  };
}

suite("stock ssh, our server", { skip: withoutOpenSsh, timeout: 180_000 }, () => {
  test("logs in by certificates both ways and runs a command, with its exit code and error output", async (t) => {
    await using server = await ourServer(t.signal);
    const ran = await ssh([...server.args, "alice@127.0.0.1", "hello", "there"]).done;
    assert.deepEqual([ran.code, ran.out.toString()], [0, "hello there"], ran.err);
    assert.equal(server.accepted[0]?.identity, "user alice");
    assert.equal(server.accepted[0]?.user, "alice");
    const failed = await ssh([...server.args, "alice@127.0.0.1", "fail", "42"]).done;
    assert.deepEqual([failed.code, failed.err], [42, "this is why\n"]);
  });

  test("a login that the certificate does not name is refused", async (t) => {
    await using server = await ourServer(t.signal);
    const ran = await ssh([...server.args, "bob@127.0.0.1", "hello"]).done;
    assert.equal(ran.code, 255);
    assert.match(ran.err, /Permission denied \(publickey\)/);
    assert.equal(server.accepted.length, 0);
  });

  test("tens of MiB go through whole both ways while the client changes keys each MiB", async (t) => {
    await using server = await ourServer(t.signal);
    const args = [...server.args, "-o", "RekeyLimit=1M", "alice@127.0.0.1"];
    const [up, down] = await Promise.all([ssh([...args, "sum"], blob).done, ssh([...args, "blob"]).done]);
    assert.equal(up.out.toString(), blobSum, up.err);
    assert.equal(sum(down.out), blobSum, down.err);
  });

  test("the same while we change keys", async (t) => {
    await using server = await ourServer(t.signal, { rekey: { bytes: MiB } });
    const args = [...server.args, "alice@127.0.0.1"];
    const [up, down] = await Promise.all([ssh([...args, "sum"], blob).done, ssh([...args, "blob"]).done]);
    assert.equal(up.out.toString(), blobSum, up.err);
    assert.equal(sum(down.out), blobSum, down.err);
  });

  test("several sessions share one connection (ControlMaster)", async (t) => {
    await using server = await ourServer(t.signal);
    const control = ["-o", `ControlPath=${join(server.folder, "c")}`];
    const master = ssh([...server.args, ...control, "-M", "alice@127.0.0.1", "wait"], "open");
    await server.loggedIn;
    const check = async (): Promise<number | null> =>
      (await ssh([...server.args, ...control, "-O", "check", "alice@127.0.0.1"]).done).code;
    while ((await check()) !== 0);
    const sessions = ["one", "two", "three", "sum"].map(
      (word) => ssh([...server.args, ...control, "alice@127.0.0.1", word], blob).done,
    );
    const said = (await Promise.all(sessions)).map(({ out }) => out.toString());
    assert.deepEqual(said, ["one", "two", "three", blobSum]);
    assert.equal(server.accepted.length, 1);
    master.child.stdin.end();
    assert.equal((await master.done).code, 0);
  });

  test("-L and -R carry connections, half-close and many bytes included", async (t) => {
    await using server = await ourServer(t.signal);
    await using target = await sumServer();
    const near = await freePort();
    const forwarding = ssh(
      [
        ...[...server.args, "-N", "-v", "-o", "ExitOnForwardFailure=yes"],
        ...["-L", `127.0.0.1:${near}:127.0.0.1:${target.port}`],
        ...["-R", `127.0.0.1:0:127.0.0.1:${target.port}`, "alice@127.0.0.1"],
      ],
      "open",
    );
    try {
      const [, far] = await until(forwarding.child.stderr, /Allocated port (\d+) for remote forward/);
      for (const port of [near, Number(far)]) {
        const socket = await dialHalfOpen(port);
        socket.end(blob);
        assert.equal((await collect(socket)).toString(), blobSum);
      }
    } finally {
      forwarding.child.kill("SIGTERM");
      await forwarding.done;
    }
  });

  test("a forwarded agent answers on a channel that the server opens, when the client forwards it", async (t) => {
    await using server = await ourServer(t.signal);
    await using agent = await startAgent([join(server.folder, "id")]);
    const asked = (flag: string) =>
      ssh([...server.args, flag, "alice@127.0.0.1", "agent"], undefined, agent.env);
    const lent = await asked("-A").done;
    assert.equal(lent.out.toString(), "ssh-ed25519 ssh-ed25519-cert-v01@openssh.com", lent.err);
    assert.equal((await asked("-a").done).out.toString(), "refused");
  });

  test("answers the client's keep-alives", async (t) => {
    await using server = await ourServer(t.signal);
    const alive = ["-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=1"];
    const session = ssh([...server.args, "-vvv", ...alive, "alice@127.0.0.1", "wait"], "open");
    // The third would never be sent if the ones before had gone unanswered.
    await until(session.child.stderr, /(send packet: type 80[\s\S]*receive packet: type 81[\s\S]*){3}/);
    session.child.stdin.end();
    const ran = await session.done;
    assert.equal(ran.code, 0, ran.err);
  });
});

suite("our client, stock sshd", { skip: withoutOpenSsh, timeout: 180_000 }, () => {
  interface Site extends AsyncDisposable {
    login(change?: {
      principal?: string;
      rekey?: { bytes: number };
      kind?: "ed25519" | "ecdsa-p256" | "rsa-2048";
      /** Keeps the key and its certificate in a stock agent instead of in memory. */
      inAgent?: boolean;
    }): Promise<ClientConnection>;
  }
  async function site(signal: AbortSignal, config = ""): Promise<Site> {
    const [hostCa, userCa] = await Promise.all([generateKey("ed25519"), generateKey("ed25519")]);
    const sshd = await startSshd({
      config: async (folder) => {
        const { key } = parsePublicKeyLine(await readFile(join(folder, "host_ed25519.pub"), "utf8"));
        const certificate = await certify(hostCa, key, "host", "db.example.com");
        await writeFile(join(folder, "host_cert"), `${formatPublicKeyLine({ key: certificate })}\n`);
        await writeFile(join(folder, "user_ca"), `${formatPublicKeyLine({ key: userCa.publicKey })}\n`);
        return [
          `HostCertificate ${join(folder, "host_cert")}`,
          `TrustedUserCAKeys ${join(folder, "user_ca")}`,
          "PermitRootLogin yes",
          "AuthorizedKeysFile none",
          "AcceptEnv LC_*",
          "LogLevel INFO",
          config,
        ].join("\n");
      },
    });
    return {
      [Symbol.asyncDispose]: () => sshd[Symbol.asyncDispose](),
      async login({ principal = "root", kind = "ed25519", rekey, inAgent = false } = {}) {
        const key = await generateKey(kind);
        const stranger = await generateKey("ed25519");
        const certificate = await certify(userCa, key.publicKey, "user", principal);
        await using stack = new AsyncDisposableStack();
        let signers: Signer[] = [stranger.signer(), key.signer(certificate)];
        if (inAgent) {
          const folder = stack.use(await scratch());
          const file = join(folder.path, "id");
          await writeFile(file, formatPrivateKey(key), { mode: 0o600 });
          await writeFile(`${file}-cert.pub`, `${formatPublicKeyLine({ key: certificate })}\n`);
          const agent = stack.use(await startAgent([file]));
          const client = stack.use(new AgentClient(connectTcp(agent.path)));
          signers = await client.identities();
        }
        return await connect(
          {
            stream: await dial(sshd.port),
            user: "root",
            version: "Teleport",
            signers,
            verifyHost: (hostKey) =>
              void checkCertificate(hostKey, {
                type: "host",
                isAuthority: (authority) => sameKey(authority, hostCa.publicKey),
                principal: "db.example.com",
                now: systemClock.now(),
              }),
            ...(rekey && { rekey }),
            clock: systemClock,
            log: silentLog,
          },
          signal,
        );
      },
    };
  }

  const stop = new AbortController();
  let common: Site;
  before(async () => {
    common = await site(stop.signal);
  });
  after(async () => {
    stop.abort();
    await common?.[Symbol.asyncDispose]();
  });

  async function command(connection: ClientConnection, line: string, input: Uint8Array = new Uint8Array(0)) {
    const session = await openSession(connection);
    assert.equal(await session.exec(line), true);
    const sending = session.channel.write(input).then(() => session.channel.end());
    const [out, err] = await Promise.all([collect(session.channel), collect(session.channel.stderr)]);
    await sending;
    await session.channel.close();
    return { out, err: err.toString(), exit: await session.exit };
  }

  test("logs in by certificates both ways and runs commands: output, error output, input, how it ended", async () => {
    await using connection = await common.login();
    assert.equal(connection.hostKey.type, "ssh-ed25519-cert-v01@openssh.com");
    const plain = await command(connection, "cat; echo why >&2; exit 7", Buffer.from("hello"));
    assert.deepEqual([plain.out.toString(), plain.err, plain.exit], ["hello", "why\n", { code: 7 }]);
    const killed = await command(connection, "kill -TERM $$");
    assert.deepEqual(killed.exit, { signal: "TERM", core: false, message: "" });
  });

  for (const kind of ["ecdsa-p256", "rsa-2048"] as const) {
    test(`a certificate over a key of ${kind} logs in`, async () => {
      await using connection = await common.login({ kind });
      assert.equal((await command(connection, "echo in")).out.toString(), "in\n");
    });
  }

  test("keys and certificates in a stock agent log in, asked about before they sign", async () => {
    for (const kind of ["ed25519", "rsa-2048"] as const) {
      await using connection = await common.login({ kind, inAgent: true });
      assert.equal((await command(connection, "echo in")).out.toString(), "in\n");
    }
  });

  test("a certificate for another login is refused with a sentence that counts the keys", async (t) => {
    await using sshd = await site(t.signal);
    await assert.rejects(
      sshd.login({ principal: "nobody" }),
      /does not let root in: 2 keys tried, none accepted/,
    );
  });

  const wholeBothWays = async (connection: ClientConnection): Promise<void> => {
    const { out, exit } = await command(connection, "cat", blob);
    assert.equal(sum(out), blobSum);
    assert.deepEqual(exit, { code: 0 });
  };
  test("tens of MiB go through whole both ways at once", async () => {
    await using connection = await common.login();
    await wholeBothWays(connection);
  });
  test("the same while we change keys each MiB", async () => {
    await using connection = await common.login({ rekey: { bytes: MiB } });
    await wholeBothWays(connection);
  });
  test("the same while sshd changes keys each MiB", async (t) => {
    await using sshd = await site(t.signal, "RekeyLimit 1M");
    await using connection = await sshd.login();
    await wholeBothWays(connection);
  });

  test("a terminal: size, modes, window change, environment", async () => {
    await using connection = await common.login();
    const session = await openSession(connection);
    const size = { columns: 97, rows: 31, widthPixels: 0, heightPixels: 0 };
    assert.equal(await session.pty({ term: "xterm-256color", ...size, modes: new Map([[53, 0]]) }), true);
    await session.env("LC_TEST", "über");
    assert.equal(await session.exec("tty; stty size; stty -a; echo $TERM $LC_TEST; read x; stty size"), true);
    await session.resize({ ...size, columns: 123 });
    await session.channel.write(Buffer.from("go\n"));
    const out = (await collect(session.channel)).toString();
    assert.match(out, /\/dev\/pts\//);
    assert.match(out, /\b31 (97|123)\b/);
    assert.match(out, /\s-echo\s/);
    assert.match(out, /xterm-256color über/);
    assert.match(out, /31 123\r\n$/);
    assert.deepEqual(await session.exit, { code: 0 });
  });

  test("direct-tcpip and remote forwards", async () => {
    await using connection = await common.login();
    await using target = await sumServer();
    const { channel } = await connection.open(
      "direct-tcpip",
      DirectTcpip.encode({ host: "127.0.0.1", port: target.port, originatorHost: "", originatorPort: 0 }),
    );
    const reading = collect(channel);
    await channel.write(blob);
    await channel.end();
    assert.equal((await reading).toString(), blobSum);

    const asked = new AskedForwards(connection);
    connection.onOpen((request) => void asked.take(request));
    const bind = await asked.ask({ kind: "tcp", host: "127.0.0.1", port: 0 }, (visitor) => {
      void collect(visitor).then(async (got) => {
        await visitor.write(Buffer.from(sum(got)));
        await visitor.close();
      });
    });
    assert.ok(bind.kind === "tcp" && bind.port > 0);
    const socket = await dialHalfOpen(bind.port);
    socket.end(blob);
    assert.equal((await collect(socket)).toString(), blobSum);
    assert.equal(await asked.cancel(bind), true);
  });

  test("a port where nobody listens is told in sshd's words", async () => {
    await using connection = await common.login();
    const extra = DirectTcpip.encode({
      host: "127.0.0.1",
      port: await freePort(),
      originatorHost: "",
      originatorPort: 0,
    });
    await assert.rejects(connection.open("direct-tcpip", extra), {
      kind: "unreachable",
      details: { reason: "Connection refused", code: 2 },
    });
  });

  test("answers sshd's keep-alives", async (t) => {
    await using sshd = await site(t.signal, "ClientAliveInterval 1\nClientAliveCountMax 1");
    await using connection = await sshd.login();
    const { exit } = await command(connection, "sleep 3.5");
    assert.deepEqual(exit, { code: 0 });
  });
});

/** Answers all that it is sent, once it ends, by its digest. */
const sumServer = () =>
  listen(
    (socket) => {
      // Not by iteration, whose end would destroy the socket before it has answered.
      const hash = createHash("sha256");
      socket
        .on("data", (chunk: Buffer) => hash.update(chunk))
        .on("end", () => socket.end(hash.digest("hex")));
    },
    { allowHalfOpen: true },
  );

async function freePort(): Promise<number> {
  await using probe = await listen(() => {});
  return probe.port;
}

const dialHalfOpen = (port: number): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connectTcp({ host: "127.0.0.1", port, allowHalfOpen: true });
    socket.once("connect", () => resolve(socket)).once("error", reject);
  });

/** Waits until a stream that someone else reads has said `what`. */
function until(stream: NodeJS.ReadableStream, what: RegExp): Promise<RegExpExecArray> {
  let said = "";
  return new Promise((resolve, reject) => {
    stream.on("data", (chunk: Buffer) => {
      said += chunk.toString();
      const found = what.exec(said);
      if (found) resolve(found);
    });
    stream.once("close", () => reject(new Error(`never said ${what}: ${said}`)));
  });
}
