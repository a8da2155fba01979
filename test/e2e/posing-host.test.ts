import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { after, before, suite, test } from "node:test";
import { systemClock } from "#core/clock";
import { silentLog } from "#core/log";
import { accept } from "#ssh";
import { generateKey, issueCertificate, noExpiry, parsePrivateKey, type Signer } from "#ssh/keys";
import { skipUnless } from "../support/installed.ts";
import { type Ran, run } from "../support/run.ts";
import { type Cluster, login, startCluster } from "./cluster.ts";
import { quiet } from "./daemon.ts";

/** What every host of these tests says before the login. */
const banner = "come in\u001b]0;evil\u0007\u001b[2J\n";

suite("a host that poses as another, behind the proxy", { skip: skipUnless("ssh") }, () => {
  const stack = new AsyncDisposableStack();
  let cluster: Cluster;
  let port: number;
  let hostKeys: Signer[];
  /** Who was let in by it, or told it a key. */
  let visitors = 0;

  before(async () => {
    const server = createServer((stream) => {
      stream.on("error", () => {});
      const options = { stream, hostKeys, version: "Posing", banner, clock: systemClock, log: silentLog };
      const check = async (): Promise<void> => void visitors++;
      accept<void>({ ...options, check }, new AbortController().signal).catch(() => {});
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    stack.defer(() => void server.close());
    ({ port } = server.address() as AddressInfo);
    const openssh_targets = [`127.0.0.1:${port}`];
    cluster = stack.use(await startCluster({ config: { proxy_service: { openssh_targets } } }));
    await cluster.makeUser("joe");
    await cluster.logIn("joe");
    const config = await cluster.mustTsh(["config", `--port=${cluster.ports.node}`]);
    await writeFile(cluster.folder.at("ssh_config"), config);
  });
  after(() => stack.disposeAsync());

  const ssh = (...args: string[]): Promise<Ran> =>
    run("ssh", ["-F", cluster.folder.at("ssh_config"), "-o", "BatchMode=yes", ...args], {
      env: { ...quiet, HOME: cluster.home },
    });
  /** Reached by its address, and taken for a host of the cluster. */
  const posing = ["-o", "HostName=127.0.0.1", "-o", "HostKeyAlias=posing.main"];

  interface Form {
    readonly by?: "host" | "user" | "nobody";
    readonly type?: "host" | "user";
    readonly principals?: readonly string[];
    readonly validBefore?: bigint;
  }

  async function certified({
    by = "host",
    type = "host",
    principals = ["posing.main", "127.0.0.1"],
    validBefore = noExpiry,
  }: Form): Promise<Signer> {
    const key = await generateKey("ed25519");
    const authority =
      by === "nobody"
        ? await generateKey("ed25519")
        : parsePrivateKey(await cluster.mustTctl("auth", "export", `--type=${by}`, "--keys")).key;
    const body = {
      key: key.publicKey,
      type,
      keyId: "",
      serial: 1n,
      principals,
      validAfter: 0n,
      validBefore,
    };
    const certificate = await issueCertificate(
      { ...body, extensions: new Map([["x-teleport-role", "Node"]]) },
      authority.signer(),
    );
    return key.signer(certificate);
  }

  test("S30: the same host with a certificate of the cluster for its name is spoken to: the others fail for what they lack", async () => {
    hostKeys = [await certified({})];
    visitors = 0;
    const stock = await ssh(...posing, "-p", String(port), `${login}@posing.main`, "true");
    assert.match(stock.err, /come in/);
    const ours = await cluster.tsh(["ssh", "-p", String(port), `${login}@127.0.0.1`, "true"]);
    assert.match(ours.err, /come in/);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
    assert.doesNotMatch(ours.err, /[\u0007\u001b]/);
    assert.ok(visitors >= 2);
  });
  for (const [what, make] of [
    ["a key and no certificate", async () => (await generateKey("ed25519")).signer()],
    ["a certificate of an authority that nobody knows", () => certified({ by: "nobody" })],
    ["a certificate of the authority for users", () => certified({ by: "user" })],
    ["a certificate for a user", () => certified({ type: "user" })],
    ["a certificate for another name", () => certified({ principals: ["other.main"] })],
    ["a certificate that has expired", () => certified({ validBefore: 10n })],
  ] as const) {
    test(`S30: with ${what} gets neither a login nor a word of stock ssh and tsh`, async () => {
      hostKeys = [await make()];
      visitors = 0;
      const stock = await ssh(...posing, "-p", String(port), `${login}@posing.main`, "true");
      assert.equal(stock.code, 255);
      assert.match(stock.err, /Host key verification failed|Certificate invalid/);
      const ours = await cluster.tsh(["ssh", "-p", String(port), `${login}@127.0.0.1`, "true"]);
      assert.equal(ours.code, 1);
      assert.match(
        ours.err,
        /error: (.*127\.0\.0\.1.*(no certificate of the cluster|could not prove|other names))/,
      );
      for (const { err } of [stock, ours]) assert.doesNotMatch(err, /come in/);
      assert.equal(visitors, 0);
    });
  }
  test("S30: a node of the cluster is refused by stock ssh under another node's name", async () => {
    const own = await ssh(`${login}@testnode.main`, "echo in");
    assert.deepEqual([own.code, own.out], [0, "in\n"], own.err);
    const other = await ssh(
      "-o",
      "HostName=testnode.main",
      "-o",
      "HostKeyAlias=other.main",
      `${login}@other.main`,
      "echo in",
    );
    assert.deepEqual([other.code, other.out], [255, ""]);
    assert.match(other.err, /name is not a listed principal|Host key verification failed/);
  });
});
