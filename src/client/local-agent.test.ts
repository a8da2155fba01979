import assert from "node:assert/strict";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, suite, test } from "node:test";
import { hour, TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { generateKey, issueCertificate, type PrivateKey } from "#ssh/keys";
import { openAgent } from "./agent.ts";
import { Keystore } from "./keystore.ts";
import { agentAnswers, LoginKeys, serveAgentAt } from "./local-agent.ts";
import { Profiles } from "./profile.ts";

suite("an agent that holds the logins", () => {
  let folder: string;
  let clock: TestClock;
  let keys: LoginKeys;
  let profiles: Profiles;
  let keystore: Keystore;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "agent-"));
    clock = new TestClock();
    profiles = new Profiles(join(folder, ".tsh"));
    keystore = new Keystore(join(folder, ".tsh"));
    keys = new LoginKeys({ profiles, keystore }, clock);
  });
  afterEach(() => rm(folder, { recursive: true }));

  async function logIn(proxy: string, user: string): Promise<PrivateKey> {
    const [key, ca] = await Promise.all([generateKey("ed25519"), generateKey("ed25519")]);
    const certificate = await issueCertificate(
      {
        key: key.publicKey,
        type: "user",
        keyId: user,
        serial: 0n,
        principals: ["root"],
        validAfter: 0n,
        validBefore: BigInt((clock.now() + hour) / 1000),
      },
      ca.signer(),
    );
    await keystore.save(proxy, {
      ...{ user, key, certificate, tls: undefined },
      ...{ tlsAuthorities: [], hostAuthorities: [], hostKeys: [] },
    });
    await profiles.write({
      ...{ webProxyAddr: `${proxy}:3080`, sshProxyAddr: `${proxy}:3023`, user },
      ...{ authType: "local", cluster: "main", rootCluster: "main" },
    });
    return key;
  }
  const held = async (): Promise<string[]> =>
    (await keys.list()).map(({ signer, comment }) => `${signer.publicKey.type} ${comment}`);
  const certified = "ssh-ed25519-cert-v01@openssh.com";

  test("shows the certificates of all profiles, that of the current one first, then their keys", async () => {
    assert.deepEqual(await held(), []);
    await logIn("one.example.com", "joe");
    await logIn("two.example.com", "ann");
    assert.deepEqual(await held(), [
      `${certified} teleport:ann`,
      `${certified} teleport:joe`,
      "ssh-ed25519 teleport:ann",
      "ssh-ed25519 teleport:joe",
    ]);
  });

  test("shows no login that is over, or that a logout took away", async () => {
    await logIn("one.example.com", "joe");
    await clock.advance(hour);
    assert.deepEqual(await held(), []);
    await logIn("two.example.com", "ann");
    assert.equal((await held()).length, 2);
    await keystore.removeAll();
    assert.deepEqual(await held(), []);
  });

  test("forgets what is removed, until a login brings another key or the same one again", async () => {
    const key = await logIn("one.example.com", "joe");
    await keys.remove(key.publicKey);
    assert.deepEqual(await held(), [`${certified} teleport:joe`]);
    await assert.rejects(keys.remove(key.publicKey), (err) => Fault.is(err, "not_found"));
    await keys.removeAll();
    assert.deepEqual(await held(), []);
    await keys.add({ signer: key.signer(), comment: "teleport:joe" });
    assert.deepEqual(await held(), ["ssh-ed25519 teleport:joe"]);
    await logIn("one.example.com", "joe");
    assert.equal((await held()).length, 2);
  });

  test("S60: takes no key that no login brought, and none for a time", async () => {
    const key = await logIn("one.example.com", "joe");
    const other = await generateKey("ed25519");
    for (const entry of [
      { signer: other.signer(), comment: "teleport:joe" },
      { signer: key.signer(), comment: "teleport:joe", expires: clock.now() + 1000 },
    ])
      await assert.rejects(keys.add(entry), (err) => Fault.is(err, "access_denied"));
    assert.equal((await held()).length, 2);
  });

  test("is served on a socket of its owner's alone, once, until it is told to stop", async () => {
    await logIn("one.example.com", "joe");
    const path = join(folder, "socket");
    const stop = new AbortController();
    const { promise: ready, resolve } = Promise.withResolvers<void>();
    const served = serveAgentAt(path, { keys, clock }, resolve, stop.signal);
    await Promise.race([ready, served]);
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    {
      using client = await openAgent(path, stop.signal);
      assert.equal((await client.identities()).length, 2);
    }
    await assert.rejects(
      serveAgentAt(path, { keys, clock }, () => {}, stop.signal),
      (err) => Fault.is(err, "already_exists"),
    );
    stop.abort();
    await served;
    assert.equal(await agentAnswers(path), false);
    await assert.rejects(stat(path), { code: "ENOENT" });
  });

  test("leaves a file alone that is no socket", async () => {
    const path = join(folder, "file");
    await writeFile(path, "mine");
    await assert.rejects(
      serveAgentAt(path, { keys, clock }, () => {}, new AbortController().signal),
      (err) => Fault.is(err, "unreachable"),
    );
    assert.equal((await stat(path)).size, 4);
  });
});
