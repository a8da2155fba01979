import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import { systemClock } from "#core/clock";
import { silentLog } from "#core/log";
import { connect } from "#ssh";
import {
  checkCertificate,
  formatPrivateKey,
  formatPublicKeyLine,
  generateKey,
  issueCertificate,
  noExpiry,
  PrivateKey,
  type PublicKey,
  sameKey,
} from "#ssh/keys";
import { openSession } from "#ssh/session";
import { Program } from "../../support/program.ts";
import { type TempDir, tempDir } from "../../support/temp-dir.ts";
import { dial, startSshd, withoutOpenSsh } from "../openssh.ts";
import { versionOf, withPeer } from "./peer.ts";
import { python, pythonVersion, withoutPython } from "./python.ts";

const against = "a client of src/ssh, by certificates and plain keys";
const what = "command, error output, exit code, 3 MiB both ways with new keys each MiB";
const text = randomBytes(2_250_000).toString("base64");
const stack = new AsyncDisposableStack();
let dir: TempDir;
/** Of users, one of each type. */
let keys: PrivateKey[];
let [userCa, hostCa]: PrivateKey[] = [];
before(async () => {
  dir = stack.use(await tempDir());
  const curves = ["P-256", "P-384", "P-521"];
  [userCa, hostCa] = [await generateKey("ed25519"), await generateKey("ed25519")];
  keys = [
    await generateKey("ed25519"),
    ...curves.map((namedCurve) => new PrivateKey(generateKeyPairSync("ec", { namedCurve }).privateKey)),
    await generateKey("rsa-2048"),
  ];
  const host = await generateKey("ed25519");
  await writeFile(dir.at("host"), formatPrivateKey(host), { mode: 0o600 });
  const certificate = await certify(hostCa, host.publicKey, "host", "db.example.com");
  await writeFile(dir.at("host-cert.pub"), formatPublicKeyLine({ key: certificate }));
  await writeFile(dir.at("user-ca"), `${formatPublicKeyLine({ key: userCa.publicKey })}\n`);
  const plain = keys.map(({ publicKey }) => `${formatPublicKeyLine({ key: publicKey })}\n`);
  await writeFile(dir.at("plain"), plain.join(""));
  const both = [`cert-authority ${formatPublicKeyLine({ key: userCa.publicKey })}\n`, ...plain];
  await writeFile(dir.at("authorized"), both.join(""));
});
after(() => stack.disposeAsync());

const certify = (ca: PrivateKey | undefined, key: PublicKey, type: "user" | "host", principal: string) => {
  const about = { serial: 1n, keyId: "test", validAfter: 0n, validBefore: noExpiry };
  assert.ok(ca);
  return issueCertificate({ ...about, key, type, principals: [principal] }, ca.signer());
};

/** Logs in by each key, certified and plain, and runs what gives its input back, says why and ends with 7. */
async function visit(
  port: number,
  user: string,
  rekey: { bytes?: number },
  signal: AbortSignal,
): Promise<void> {
  for (const key of keys) {
    for (const signer of [key.signer(await certify(userCa, key.publicKey, "user", user)), key.signer()]) {
      await using connection = await connect(
        {
          stream: await dial(port),
          user,
          version: "Teleport",
          signers: [signer],
          verifyHost: (shown) =>
            void checkCertificate(shown, {
              type: "host",
              isAuthority: (authority) => hostCa !== undefined && sameKey(authority, hostCa.publicKey),
              principal: "db.example.com",
              now: systemClock.now(),
            }),
          rekey,
          clock: systemClock,
          log: silentLog,
        },
        signal,
      );
      const session = await openSession(connection);
      assert.equal(await session.exec("cat; echo why >&2; exit 7"), true);
      const sending = session.channel.write(Buffer.from(text)).then(() => session.channel.end());
      const [out, err] = await Promise.all([read(session.channel), read(session.channel.stderr), sending]);
      assert.ok(out === text);
      // What a login's shell reads at its start may write before.
      assert.ok(err.endsWith("why\n"), err);
      await session.channel.close();
      assert.deepEqual(await session.exit, { code: 7 });
    }
  }
}

async function read(from: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const part of from) parts.push(part);
  return Buffer.concat(parts).toString();
}

withPeer(
  {
    peer: "OpenSSH sshd",
    against,
    version: () => versionOf(/OpenSSH_([\w.]+)/, "ssh", ["-V"]),
    skip: withoutOpenSsh,
  },
  (check) => {
    check(what, async (signal) => {
      const config = [
        `HostKey ${dir.at("host")}`,
        `HostCertificate ${dir.at("host-cert.pub")}`,
        `TrustedUserCAKeys ${dir.at("user-ca")}`,
        `AuthorizedKeysFile ${dir.at("plain")}`,
        "PermitRootLogin yes",
        "LogLevel INFO",
      ];
      await using sshd = await startSshd({ config: config.join("\n"), hostKeys: [] });
      await visit(sshd.port, userInfo().username, { bytes: 1024 * 1024 }, signal);
    });
  },
);

withPeer(
  {
    peer: "asyncssh server",
    against,
    version: () => pythonVersion("asyncssh"),
    skip: withoutPython("asyncssh"),
  },
  (check) => {
    check("command, error output, exit code, 3 MiB both ways", async (signal) => {
      const script = join(import.meta.dirname, "asyncssh-server.py");
      await using server = await Program.start(python, [
        ...["-W", "ignore", script, dir.at("host"), dir.at("authorized")],
      ]);
      const [, port] = await server.line(/port (\d+)\n/);
      await visit(Number(port), "joe", {}, signal);
    });
  },
);
