import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { promisify } from "node:util";
import { TestClock } from "#core/clock";
import { AgentClient, Keyring, serveAgent } from "#ssh/agent";
import {
  checkCertificate,
  formatPrivateKey,
  formatPublicKeyLine,
  generateKey,
  issueCertificate,
  noExpiry,
  parsePrivateKey,
  parsePublicKeyLine,
  sameKey,
} from "#ssh/keys";

const run = promisify(execFile);
const kinds = ["ed25519", "ecdsa-p256", "rsa-2048"] as const;

/** A folder of its own for one test, removed behind it. */
async function folder(): Promise<{ at: (name: string) => string; [Symbol.asyncDispose](): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), "keys-"));
  return { at: (name) => join(path, name), [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}

async function keygen(...args: string[]): Promise<string> {
  // So that times are printed in UTC.
  return (await run("ssh-keygen", args, { env: { ...process.env, TZ: "UTC" } })).stdout;
}

suite("ssh-keygen", () => {
  for (const kind of kinds) {
    test(`takes our ${kind} private key and finds the same public key in it`, async () => {
      await using dir = await folder();
      const key = await generateKey(kind);
      await writeFile(dir.at("key"), formatPrivateKey(key, "joe"), { mode: 0o600 });
      assert.equal(
        (await keygen("-y", "-f", dir.at("key"))).trim(),
        formatPublicKeyLine({ key: key.publicKey, comment: "joe" }),
      );
    });

    test(`reads our user certificate of ${kind}, signed by an authority of ${kind}`, async () => {
      await using dir = await folder();
      const authority = await generateKey(kind);
      const { publicKey } = await generateKey(kind);
      const certificate = await issueCertificate(
        {
          key: publicKey,
          type: "user",
          keyId: "joe the user",
          serial: 2n ** 64n - 2n,
          principals: ["joe", "root"],
          validAfter: BigInt(Date.UTC(2026, 0, 1) / 1000),
          validBefore: BigInt(Date.UTC(2027, 0, 1) / 1000),
          criticalOptions: new Map([
            ["source-address", "10.0.0.0/8"],
            ["force-command", "/bin/date"],
          ]),
          extensions: new Map([
            ["permit-pty", ""],
            ["permit-agent-forwarding", ""],
            ["teleport-roles", "admin"],
          ]),
        },
        authority.signer(),
      );
      await writeFile(dir.at("cert.pub"), `${formatPublicKeyLine({ key: certificate })}\n`);
      const text = await keygen("-L", "-f", dir.at("cert.pub"));
      for (const said of [
        `Type: ${certificate.type} user certificate`,
        'Key ID: "joe the user"',
        "Serial: 18446744073709551614",
        "Valid: from 2026-01-01T00:00:00 to 2027-01-01T00:00:00",
        "force-command /bin/date",
        "source-address 10.0.0.0/8",
        "permit-agent-forwarding",
        "permit-pty",
        "teleport-roles UNKNOWN OPTION",
      ])
        assert.ok(text.includes(said), `${said} in ${text}`);
      assert.match(text, /Principals:\s+joe\s+root\s/);
    });

    test(`issues certificates with our ${kind} authority that we believe`, async () => {
      await using dir = await folder();
      const ca = await generateKey(kind);
      const joe = await generateKey("ed25519");
      await writeFile(dir.at("ca"), formatPrivateKey(ca), { mode: 0o600 });
      await writeFile(dir.at("joe.pub"), formatPublicKeyLine({ key: joe.publicKey }));
      await keygen("-q", "-s", dir.at("ca"), "-h", "-I", "db", "-n", "db.example.com", dir.at("joe.pub"));
      const { key } = parsePublicKeyLine(await readFile(dir.at("joe-cert.pub"), "utf8"));
      const certificate = checkCertificate(key, {
        type: "host",
        isAuthority: (by) => sameKey(by, ca.publicKey),
        principal: "db.example.com",
        now: Date.UTC(2026, 5, 1),
      });
      assert.ok(sameKey(certificate.key, joe.publicKey));
    });
  }

  test("sees a host certificate without end as valid forever", async () => {
    await using dir = await folder();
    const { publicKey } = await generateKey("ed25519");
    const request = {
      type: "host",
      keyId: "db",
      serial: 0n,
      principals: ["db"],
      validAfter: 0n,
      validBefore: noExpiry,
    } as const;
    const certificate = await issueCertificate(
      { ...request, key: publicKey },
      (await generateKey("ed25519")).signer(),
    );
    await writeFile(dir.at("cert.pub"), formatPublicKeyLine({ key: certificate }));
    assert.match(await keygen("-L", "-f", dir.at("cert.pub")), /Valid: forever/);
  });

  test("writes keys of every kind that we read", async () => {
    await using dir = await folder();
    for (const [type, bits] of [
      ["ed25519", ""],
      ["ecdsa", "256"],
      ["ecdsa", "384"],
      ["ecdsa", "521"],
      ["rsa", "2048"],
    ] as const) {
      const path = dir.at(type + bits);
      await keygen(
        "-q",
        "-t",
        type,
        ...(bits === "" ? [] : ["-b", bits]),
        "-N",
        "",
        "-C",
        "a comment",
        "-f",
        path,
      );
      const { key, comment } = parsePrivateKey(await readFile(path, "utf8"));
      assert.equal(comment, "a comment");
      assert.ok(sameKey(key.publicKey, parsePublicKeyLine(await readFile(`${path}.pub`, "utf8")).key));
    }
  });
});

suite("ssh-agent", () => {
  test("takes our key with its certificate, shows both, signs with both, and gives them back", async () => {
    await using dir = await folder();
    const path = dir.at("agent.sock");
    const process = spawn("ssh-agent", ["-D", "-a", path], { stdio: ["ignore", "pipe", "inherit"] });
    try {
      await once(process.stdout, "data"); // it says where it listens once it does
      const socket = connect(path);
      await once(socket, "connect");
      using client = new AgentClient(socket);
      const env = { SSH_AUTH_SOCK: path };

      for (const kind of kinds) {
        const key = await generateKey(kind);
        const certificate = await issueCertificate(
          {
            key: key.publicKey,
            type: "user",
            keyId: "joe",
            serial: 1n,
            principals: ["joe"],
            validAfter: 0n,
            validBefore: noExpiry,
          },
          (await generateKey("ed25519")).signer(),
        );
        await client.add({ key, certificate }, { comment: "teleport:joe" });
        await client.add({ key }, { comment: "teleport:joe" });
        await client.add({ key: await generateKey("ed25519") }, { comment: "mine", lifetime: 600 });

        const { stdout } = await run("ssh-add", ["-L"], { env });
        assert.ok(
          stdout.includes(`${formatPublicKeyLine({ key: certificate, comment: "teleport:joe" })}\n`),
          stdout,
        );
        assert.ok(
          stdout.includes(`${formatPublicKeyLine({ key: key.publicKey, comment: "teleport:joe" })}\n`),
          stdout,
        );

        const data = Buffer.from("what is signed");
        const held = await client.identities();
        assert.equal(held.filter(({ comment }) => comment === "teleport:joe").length, 2);
        for (const identity of held)
          for (const algorithm of identity.publicKey.algorithms)
            assert.ok(identity.publicKey.verify(data, await identity.sign(data, algorithm), algorithm));

        assert.equal(await client.removeWhere((comment) => comment.startsWith("teleport:")), 2);
      }
      assert.deepEqual(
        (await client.identities()).map(({ comment }) => comment),
        kinds.map(() => "mine"),
      );
    } finally {
      process.kill();
      await once(process, "exit");
    }
  });
});

suite("our agent", () => {
  test("ssh-add lists it, adds to it with a lifetime, not with confirmation, and removes; ssh-keygen signs by it", async () => {
    await using dir = await folder();
    const clock = new TestClock();
    const keyring = new Keyring({ clock });
    const server = createServer((socket) => {
      serveAgent(socket, keyring, { peer: "owner" }).catch(() => {});
    });
    const path = dir.at("agent.sock");
    server.listen(path);
    await once(server, "listening");
    // Whatever asks for a PIN gets an empty one instead of waiting at the terminal.
    const env = { SSH_AUTH_SOCK: path, SSH_ASKPASS: "/bin/true", SSH_ASKPASS_REQUIRE: "force" };
    try {
      for (const kind of kinds) {
        const key = await generateKey(kind);
        keyring.add({ signer: key.signer(), comment: `held ${kind}` });
        const { stdout } = await run("ssh-add", ["-L"], { env });
        assert.ok(
          stdout.includes(formatPublicKeyLine({ key: key.publicKey, comment: `held ${kind}` })),
          stdout,
        );

        await writeFile(dir.at("key.pub"), formatPublicKeyLine({ key: key.publicKey }));
        await writeFile(dir.at("message"), "what is signed");
        await rm(dir.at("message.sig"), { force: true });
        await run("ssh-keygen", ["-Y", "sign", "-f", dir.at("key.pub"), "-n", "file", dir.at("message")], {
          env,
        });
        await writeFile(dir.at("signers"), `joe ${formatPublicKeyLine({ key: key.publicKey })}\n`);
        const verify = [
          "-Y",
          "verify",
          "-f",
          dir.at("signers"),
          "-I",
          "joe",
          "-n",
          "file",
          "-s",
          dir.at("message.sig"),
        ];
        const verifier = spawn("ssh-keygen", verify, { stdio: ["pipe", "ignore", "inherit"] });
        verifier.stdin.end("what is signed");
        assert.deepEqual(await once(verifier, "exit"), [0, null]);
      }

      keyring.removeAll();
      await keygen("-q", "-t", "ed25519", "-N", "", "-C", "theirs", "-f", dir.at("theirs"));
      await run("ssh-keygen", ["-q", "-s", dir.at("theirs"), "-I", "x", "-n", "joe", dir.at("key.pub")]);
      await assert.rejects(run("ssh-add", ["-c", dir.at("theirs")], { env }), /agent refused/);
      assert.equal(keyring.list().length, 0);
      await run("ssh-add", ["-t", "60", dir.at("theirs")], { env });
      assert.deepEqual(
        keyring.list().map(({ comment, expires }) => [comment, expires]),
        [["theirs", clock.now() + 60_000]],
      );
      await assert.rejects(
        run("ssh-add", ["-s", "/usr/lib/none.so"], { env }),
        /agent refused|Could not add/,
      );
      await run("ssh-add", ["-d", dir.at("theirs")], { env });
      assert.equal(keyring.list().length, 0);
      await run("ssh-add", [dir.at("theirs")], { env });
      await run("ssh-add", ["-D"], { env });
      assert.equal(keyring.list().length, 0);
    } finally {
      server.close();
      await once(server, "close");
    }
  });
});
