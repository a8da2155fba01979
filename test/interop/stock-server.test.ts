import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { connect as connectTcp } from "node:net";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { systemClock } from "#core/clock";
import { silentLog } from "#core/log";
import { type ClientConnection, connect } from "#ssh";
import { AgentClient } from "#ssh/agent";
import { AskedForwards, DirectTcpip } from "#ssh/forward";
import {
  checkCertificate,
  formatPrivateKey,
  formatPublicKeyLine,
  generateKey,
  parsePublicKeyLine,
  type Signer,
  sameKey,
} from "#ssh/keys";
import { openSession } from "#ssh/session";
import { freePort } from "../support/port.ts";
import {
  blob,
  blobSum,
  certify,
  collect,
  dialHalfOpen,
  MiB,
  startAgent,
  sum,
  sumServer,
} from "./both-ways.ts";
import { dial, scratch, startSshd, withoutOpenSsh } from "./openssh.ts";

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
