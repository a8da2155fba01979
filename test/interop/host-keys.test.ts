import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { systemClock } from "#core/clock";
import { Fault } from "#core/errors";
import { silentLog } from "#core/log";
import { accept } from "#ssh";
import {
  formatPublicKeyLine,
  generateKey,
  issueCertificate,
  noExpiry,
  type PrivateKey,
  parsePublicKeyLine,
  type Signer,
  sameKey,
} from "#ssh/keys";
import { sendExit } from "#ssh/session";
import { listen, runSsh, scratch, sshKeygen, withoutOpenSsh } from "./openssh.ts";

const line = (key: PrivateKey): string => formatPublicKeyLine({ key: key.publicKey });

/** A signer, and when it has signed for the first time. */
function watched(signer: Signer): { signer: Signer; signed: Promise<void> } {
  const { promise: signed, resolve } = Promise.withResolvers<void>();
  const sign: Signer["sign"] = async (data, algorithm) => {
    const signature = await signer.sign(data, algorithm);
    resolve();
    return signature;
  };
  return { signer: { ...signer, sign }, signed };
}

suite("host keys that OpenSSH learns (hostkeys-00@openssh.com)", { skip: withoutOpenSsh }, () => {
  let keys: { ed25519: PrivateKey; ecdsa: PrivateKey; rsa: PrivateKey; ca: PrivateKey };
  let folder: Awaited<ReturnType<typeof scratch>>;
  before(async () => {
    keys = {
      ed25519: await generateKey("ed25519"),
      ecdsa: await generateKey("ecdsa-p256"),
      rsa: await generateKey("rsa-2048"),
      ca: await generateKey("ed25519"),
    };
    folder = await scratch();
    sshKeygen(join(folder.path, "user"), "-t", "ed25519");
  });
  after(() => folder[Symbol.asyncDispose]());

  /**
   * What OpenSSH has in its known hosts after one visit to a server of ours with these keys, and what it said. The command
   * of the visit ends after `proofs`.
   */
  async function visit(
    hostKeys: readonly Signer[],
    known: string,
    proofs: Promise<unknown> = Promise.resolve(),
  ): Promise<{ after: string; said: string }> {
    const user = parsePublicKeyLine(await readFile(join(folder.path, "user.pub"), "utf8")).key;
    await using server = await listen(
      (stream) => {
        const signal = AbortSignal.timeout(20_000);
        const check = async ({ key }: { key: typeof user }): Promise<string> => {
          if (!sameKey(key, user)) throw new Fault("access_denied", "unknown key");
          return "who";
        };
        accept(
          { stream, hostKeys, version: "Teleport", check, clock: systemClock, log: silentLog },
          signal,
        ).then(
          ({ connection }) =>
            connection.onOpen((request) => {
              const channel = request.accept();
              channel.onRequest((name) => {
                if (name !== "exec") return false;
                // Proofs are answered before what follows them.
                const leave = async (): Promise<void> => {
                  await proofs;
                  await connection.request("keepalive@openssh.com", new Uint8Array(0), true);
                  await sendExit(channel, { code: 0 });
                  await channel.close();
                };
                void leave().catch(() => {});
                return true;
              });
            }),
          () => {}, // said by ssh itself
        );
      },
      { allowHalfOpen: true },
    );
    const file = join(folder.path, "known_hosts");
    await writeFile(file, known.replaceAll("HOST", `[127.0.0.1]:${server.port}`));
    const options = [
      `UserKnownHostsFile=${file}`,
      "GlobalKnownHostsFile=/dev/null",
      "StrictHostKeyChecking=yes",
      "UpdateHostKeys=yes",
      "HashKnownHosts=no",
      "IdentityAgent=none",
      `IdentityFile=${join(folder.path, "user")}`,
    ].flatMap((option) => ["-o", option]);
    const said = await runSsh(
      [...options, "-p", String(server.port), "root@127.0.0.1", "true"],
      AbortSignal.timeout(20_000),
    );
    return { after: await readFile(file, "utf8"), said };
  }

  test("who trusts one plain key learns the others, which prove themselves", async () => {
    const { ed25519, ecdsa, rsa } = keys;
    const proven = [ecdsa, rsa].map((key) => watched(key.signer()));
    const { after: known, said } = await visit(
      [ed25519.signer(), ...proven.map(({ signer }) => signer)],
      `HOST ${line(ed25519)}\n`,
      Promise.all(proven.map(({ signed }) => signed)),
    );
    for (const key of [ed25519, ecdsa, rsa])
      assert.ok(known.includes(line(key).trim()), `${line(key)} is not in ${known}\n${said}`);
  });

  test("a key that is gone is forgotten", async () => {
    const { ed25519, ecdsa } = keys;
    const { after: known, said } = await visit(
      [ed25519.signer()],
      `HOST ${line(ed25519)}\nHOST ${line(ecdsa)}\n`,
    );
    assert.ok(known.includes(line(ed25519).trim()));
    assert.ok(!known.includes(line(ecdsa).trim()), said);
  });

  test("who trusts the authority stays with it", async () => {
    const { ed25519, ca } = keys;
    const certificate = await issueCertificate(
      {
        key: ed25519.publicKey,
        type: "host",
        keyId: "host",
        serial: 1n,
        principals: ["127.0.0.1"],
        validAfter: 0n,
        validBefore: noExpiry,
      },
      ca.signer(),
    );
    const before = `@cert-authority HOST ${line(ca)}\n`;
    const { after: known, said } = await visit([ed25519.signer(certificate), ed25519.signer()], before);
    assert.match(known, /@cert-authority/);
    assert.match(said, /Server host certificate|host certificate/i);
    assert.equal(known.trim().split("\n").length, 1, said);
  });
});
