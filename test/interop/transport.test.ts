import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { suite, test } from "node:test";
import { systemClock } from "#core/clock";
import { silentLog } from "#core/log";
import { type PacketTransport, startClientTransport, startServerTransport } from "#ssh/transport";
import { ServiceAccept, ServiceRequest } from "#ssh/wire";
import type { Signer } from "../../src/ssh/keys/key.ts";
import { parseTestKey, testSigner } from "../../src/ssh/testing/test-key.ts";
import { dial, listen, runSsh, scratch, sshKeygen, startSshd, withoutOpenSsh } from "./openssh.ts";

const userauth = "ssh-userauth";
const firstPayload = (transport: PacketTransport): Promise<Uint8Array> =>
  new Promise((resolve) => transport.receive(resolve));

suite("our client, stock sshd", { skip: withoutOpenSsh }, () => {
  test("up to SERVICE_ACCEPT, with what sshd tells of itself", async (t) => {
    await using sshd = await startSshd();
    const client = await startClientTransport({
      stream: await dial(sshd.port),
      version: "Teleport",
      algorithms: { hostKeys: ["ssh-ed25519"] },
      parseHostKey: parseTestKey,
      verifyHost() {},
      clock: systemClock,
      log: silentLog,
      signal: t.signal,
    });
    client.send(ServiceRequest.encode({ service: userauth }));
    assert.deepEqual(ServiceAccept.decode(await firstPayload(client)), { service: userauth });
    assert.match(client.remoteVersion, /^SSH-2\.0-OpenSSH_/);
    assert.match(Buffer.from(client.extensions.get("server-sig-algs") ?? []).toString(), /rsa-sha2-512/);
    client.disconnect(11, "done");
    assert.equal(await client.closed, undefined);
  });
});

suite("stock ssh, our server", { skip: withoutOpenSsh }, () => {
  test("up to SERVICE_ACCEPT, with what we tell of ourselves", async (t) => {
    const outcomes: Promise<unknown>[] = [];
    await using server = await listen((socket) => {
      outcomes.push(
        startServerTransport({
          stream: socket,
          version: "Teleport",
          hostKeys: [testSigner()],
          clock: systemClock,
          log: silentLog,
          signal: t.signal,
        }).then(async (transport) => {
          const request = ServiceRequest.decode(await firstPayload(transport));
          transport.send(ServiceAccept.encode(request));
          const next = await firstPayload(transport);
          transport.disconnect(14, "that is all for today");
          return next[0];
        }),
      );
    });
    const said = await runSsh(
      [
        "-p",
        `${server.port}`,
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "UserKnownHostsFile=/dev/null",
        "x@127.0.0.1",
      ],
      t.signal,
    );
    assert.deepEqual(await Promise.all(outcomes), [50]); // SSH_MSG_USERAUTH_REQUEST
    assert.match(said, /SSH2_MSG_SERVICE_ACCEPT received/);
    assert.match(said, /server-sig-algs=<ssh-ed25519,/);
    assert.match(said, /ping@openssh\.com=<0>|kex_input_ext_info/);
    assert.match(said, /that is all for today/);
  });
});

suite("stock ssh, our certified host key", { skip: withoutOpenSsh }, () => {
  test("ssh believes our server by @cert-authority alone, and by nothing else", async (t) => {
    await using folder = await scratch();
    const ca = join(folder.path, "ca");
    const line = join(folder.path, "host.pub");
    const known = join(folder.path, "known_hosts");
    sshKeygen(ca, "-t", "ed25519");
    const plain = testSigner();
    await writeFile(line, `ssh-ed25519 ${Buffer.from(plain.publicKey.blob).toString("base64")}\n`);
    execFileSync("ssh-keygen", ["-q", "-s", ca, "-I", "host", "-h", "-n", "127.0.0.1", line]);
    const [type, base64] = (await readFile(join(folder.path, "host-cert.pub"), "utf8")).split(" ") as [
      string,
      string,
    ];
    const certified: Signer = {
      ...plain,
      publicKey: { ...plain.publicKey, type, blob: Buffer.from(base64, "base64") },
    };
    await writeFile(known, `@cert-authority * ${await readFile(`${ca}.pub`, "utf8")}`);

    const attempt = async (hostKey: Signer): Promise<string> => {
      await using server = await listen((socket) => {
        startServerTransport({
          stream: socket,
          version: "Teleport",
          hostKeys: [hostKey],
          clock: systemClock,
          log: silentLog,
          signal: t.signal,
        }).then(
          (transport) => transport.receive(() => transport.disconnect(14, "enough")),
          () => {}, // ssh left; it says why
        );
      });
      return await runSsh(
        [
          "-p",
          `${server.port}`,
          "-o",
          "StrictHostKeyChecking=yes",
          "-o",
          `UserKnownHostsFile=${known}`,
          "x@127.0.0.1",
        ],
        t.signal,
      );
    };
    const believed = await attempt(certified);
    assert.match(
      believed,
      /Host '\[?127\.0\.0\.1\]?(:\d+)?' is known and matches the ED25519-CERT host certificate/,
    );
    assert.match(believed, /enough/);
    assert.match(await attempt(plain), /Host key verification failed/);
  });
});
