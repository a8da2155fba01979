import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { connect as connectTcp, type Socket } from "node:net";
import { join } from "node:path";
import { suite, test } from "node:test";
import { systemClock } from "#core/clock";
import { memoryLog } from "#core/log";
import { type Accepted, accept, type Channel, type Connection, duplex } from "#ssh";
import { AgentClient } from "#ssh/agent";
import { DirectTcpip, RemoteForwards, splice } from "#ssh/forward";
import {
  checkCertificate,
  formatPrivateKey,
  formatPublicKeyLine,
  generateKey,
  type PrivateKey,
  sameKey,
} from "#ssh/keys";
import { readSessionRequest, sendExit } from "#ssh/session";
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
  until,
} from "./both-ways.ts";
import { listen, scratch, withoutOpenSsh } from "./openssh.ts";

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
