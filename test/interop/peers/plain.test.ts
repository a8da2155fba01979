import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { after, before } from "node:test";
import { ciphers, hostKeyAlgorithms, keyExchanges, macs } from "#ssh/crypto";
import {
  fingerprint,
  formatPrivateKey,
  formatPublicKeyLine,
  generateKey,
  PrivateKey,
  parsePublicKeyLine,
} from "#ssh/keys";
import { eventually } from "../../support/eventually.ts";
import { findProgram, skipUnless } from "../../support/installed.ts";
import { freePort } from "../../support/port.ts";
import { Program } from "../../support/program.ts";
import { mustRun, type Ran, run } from "../../support/run.ts";
import { type TempDir, tempDir } from "../../support/temp-dir.ts";
import { dial, listen } from "../openssh.ts";
import { pairwise } from "../pairwise.ts";
import { startPlainServer } from "../plain-server.ts";
import { versionOf, withPeer } from "./peer.ts";

const against = "a server of src/ssh, by plain keys";
const stack = new AsyncDisposableStack();
let dir: TempDir;
/** One of each type. */
let keys: PrivateKey[];
const types = ["ed25519", "p256", "p384", "p521", "rsa"];
before(async () => {
  dir = stack.use(await tempDir());
  keys = [
    await generateKey("ed25519"),
    ...["P-256", "P-384", "P-521"].map(
      (namedCurve) => new PrivateKey(generateKeyPairSync("ec", { namedCurve }).privateKey),
    ),
    await generateKey("rsa-2048"),
  ];
});
after(() => stack.disposeAsync());
/** Some are built with libssh, which takes other flags. */
const withoutLibssh2 =
  findProgram("curl") !== undefined &&
  !execFileSync("curl", ["-V"]).includes("libssh2") &&
  "curl is not built with libssh2";
const hostKey = (): PrivateKey => keys[0] as PrivateKey;
const text = randomBytes(2_250_000).toString("base64");

withPeer(
  {
    peer: "dropbear dbclient",
    against,
    version: () => versionOf(/v(\S+)/, "dbclient", ["-V"]),
    skip: skipUnless("dbclient", "dropbearkey"),
  },
  (check) => {
    const dbclient = async (
      identity: string,
      server: { readonly port: number },
      args: readonly string[],
      input = "",
    ): Promise<Ran> =>
      run("dbclient", ["-y", "-i", identity, "-p", String(server.port), ...args], {
        input,
        env: { HOME: dir.at("dropbear") },
      });
    const identities = new Map<string, Awaited<ReturnType<typeof parsePublicKeyLine>>["key"]>();
    before(async () => {
      await mkdir(dir.at("dropbear"));
      for (const [type, ...size] of [
        ["ed25519"],
        ["ecdsa", "-s", "256"],
        ["ecdsa", "-s", "521"],
        ["rsa"],
      ] as [string, ...string[]][]) {
        const file = dir.at(`dropbear-${type}${size.join("")}`);
        await mustRun("dropbearkey", ["-t", type, ...size, "-f", file]);
        const said = await mustRun("dropbearkey", ["-y", "-f", file]);
        const [line = ""] = /^(ssh|ecdsa)-\S+ \S+/m.exec(said) ?? [];
        identities.set(file, parsePublicKeyLine(line).key);
      }
    });
    const start = (change: Partial<Parameters<typeof startPlainServer>[0]> = {}) =>
      startPlainServer({
        home: dir.at("dropbear"),
        hostKeys: [hostKey()],
        authorized: [...identities.values()],
        ...change,
      });
    const first = (): string => [...identities.keys()][0] as string;

    check("Ed25519, ECDSA and RSA keys of users and hosts; command, error output, exit code", async () => {
      for (const host of keys) {
        await using server = await start({ hostKeys: [host] });
        for (const identity of identities.keys()) {
          const ran = await dbclient(
            identity,
            server,
            ["joe@127.0.0.1", "cat; echo why >&2; exit 7"],
            "hello",
          );
          assert.deepEqual([ran.code, ran.out], [7, "hello"], ran.err);
          assert.match(ran.err, /^why$/m);
        }
        assert.deepEqual(
          server.logins.map(({ algorithm }) => algorithm),
          ["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp521", "rsa-sha2-256"],
        );
      }
    });

    check("3 MiB both ways, new keys each MiB of ours; its ciphers and MACs", async () => {
      await using server = await start({ rekey: { bytes: 1024 * 1024 } });
      for (const sealing of [
        ["-c", "chacha20-poly1305@openssh.com"],
        ["-c", "aes128-ctr", "-m", "hmac-sha2-256"],
        ["-c", "aes256-ctr", "-m", "hmac-sha2-256"],
      ]) {
        const ran = await dbclient(first(), server, [...sealing, "joe@127.0.0.1", "cat"], text);
        assert.ok(ran.out === text, ran.err);
      }
      for (const { exchanges } of server.logins) assert.ok(exchanges.length > 2);
    });

    check("forwarded ports both ways", async () => {
      await using server = await start();
      await using echo = await listen((socket) => socket.pipe(socket), { allowHalfOpen: true });
      const [near, far] = [await freePort(), await freePort()];
      await using forwarding = await Program.start(
        "dbclient",
        [
          ...["-y", "-N", "-i", first(), "-p", String(server.port)],
          ...["-L", `127.0.0.1:${near}:127.0.0.1:${echo.port}`],
          ...["-R", `127.0.0.1:${far}:127.0.0.1:${echo.port}`, "joe@127.0.0.1"],
        ],
        { env: { HOME: dir.at("dropbear") } },
      );
      for (const port of [near, far]) {
        const socket = await eventually("a forwarded port", () => dial(port));
        socket.write("through");
        const [heard] = (await once(socket, "data")) as [Buffer];
        assert.equal(heard.toString(), "through");
        socket.destroy();
      }
      assert.ok(!forwarding.hasEnded);
    });
  },
);

withPeer(
  {
    peer: "curl (libssh2)",
    against,
    version: () =>
      versionOf(/^curl (\S+ .*libssh2\/[\d.]+)/, "curl", ["-V"]).then((said) =>
        said.replace(/ .* /, " with "),
      ),
    skip: skipUnless("curl") || withoutLibssh2,
  },
  (check) => {
    const curl = async (
      key: string,
      { port, home }: { readonly port: number; readonly home: string },
      args: readonly string[],
    ): Promise<Ran> => {
      const flags = ["-sS", "-k", "--key", key, "--pubkey", `${key}.pub`, "--hostpubsha256", hostSha256];
      return run("curl", [
        ...flags,
        "-u",
        "joe:",
        ...args.map((arg) => arg.replace("//HERE", `//127.0.0.1:${port}${home}`)),
      ]);
    };
    let hostSha256 = "";
    before(async () => {
      hostSha256 = fingerprint(hostKey().publicKey).replace("SHA256:", "");
      await mkdir(dir.at("curl"));
      for (const [i, key] of keys.entries()) {
        await writeFile(dir.at("curl", types[i] as string), formatPrivateKey(key), { mode: 0o600 });
        await writeFile(dir.at("curl", `${types[i]}.pub`), formatPublicKeyLine({ key: key.publicKey }));
      }
    });
    check("Ed25519 and ECDSA keys; sftp up, down, list, rename; scp up and down", async () => {
      await using server = await startPlainServer({
        home: dir.at("curl"),
        hostKeys: [hostKey()],
        authorized: keys.map(({ publicKey }) => publicKey),
        rekey: { bytes: 1024 * 1024 },
      });
      for (const type of types.filter((one) => one !== "rsa")) {
        const there = { port: server.port, home: dir.at("curl", `home-${type}`) };
        await mkdir(there.home);
        await writeFile(dir.at("curl", "content"), text);
        const must = async (...args: string[]): Promise<string> => {
          const ran = await curl(dir.at("curl", type), there, args);
          assert.deepEqual([ran.code, ran.err], [0, ""], type);
          return ran.out;
        };
        for (const protocol of ["sftp", "scp"]) {
          await must("-T", dir.at("curl", "content"), `${protocol}://HERE/${protocol}`);
          assert.ok((await must(`${protocol}://HERE/${protocol}`)) === text, protocol);
        }
        const names = await must(
          "-l",
          "-Q",
          `-rename ${there.home}/scp ${there.home}/renamed`,
          "sftp://HERE/",
        );
        assert.deepEqual(names.trim().split("\n").sort(), [".", "..", "scp", "sftp"]);
        assert.deepEqual((await readdir(there.home)).sort(), ["renamed", "sftp"]);
      }
    });
    check("RSA key: only where libssh2 signs with SHA-2, which begins with 1.11", async () => {
      const [, major, minor] = /libssh2\/(\d+)\.(\d+)/.exec(await mustRun("curl", ["-V"])) ?? [];
      const modern = Number(major) > 1 || Number(minor) >= 11;
      await using server = await startPlainServer({
        home: dir.at("curl"),
        hostKeys: [hostKey()],
        authorized: keys.map(({ publicKey }) => publicKey),
      });
      const ran = await curl(dir.at("curl/rsa"), { port: server.port, home: dir.at("curl") }, [
        "sftp://HERE/",
      ]);
      assert.equal(ran.code, modern ? 0 : 67, ran.err);
    });
  },
);

withPeer(
  {
    peer: "russh",
    against,
    version: async () =>
      (JSON.parse(await readFile("node_modules/russh/package.json", "utf8")) as { version: string }).version,
    skip: false,
  },
  (check) => {
    check(
      "every algorithm that both have beside every other, ML-KEM among them, new keys each MiB",
      async (signal) => {
        const russh = (await import("russh")).default;
        const names = (ours: readonly { name: string }[], theirs: readonly string[]): string[] =>
          ours.map(({ name }) => name).filter((name) => theirs.includes(name));
        const theirMacs = russh.getSupportedMACs();
        const choices = {
          kex: names(keyExchanges, russh.getSupportedKexAlgorithms()),
          sealing: ciphers
            .filter(({ name }) => russh.getSupportedCiphers().includes(name))
            .flatMap(({ name, aead }) =>
              aead ? [name] : names(macs, theirMacs).map((mac) => `${name} ${mac}`),
            ),
          hostKey: names(hostKeyAlgorithms, russh.getSupportedKeyTypes()),
        };
        assert.ok(choices.kex.includes("mlkem768x25519-sha256"));
        assert.ok(choices.sealing.length >= 10 && choices.hostKey.length >= 5, JSON.stringify(choices));
        await using server = await startPlainServer({
          home: dir.path,
          hostKeys: keys,
          authorized: keys.map(({ publicKey }) => publicKey),
          rekey: { bytes: 100_000 },
        });
        const sent = Buffer.from(text.slice(0, 150_001));
        for (const [i, { kex, sealing, hostKey: algorithm }] of pairwise(choices).entries()) {
          signal.throwIfAborted();
          const [cipher = "", mac = "hmac-sha2-256"] = sealing.split(" ");
          const key = keys[i % keys.length] as PrivateKey;
          const preferred = { kex: [kex], ciphers: [cipher], mac: [mac], key: [algorithm] };
          const client = await russh.SSHClient.connect(
            await russh.SshTransport.newSocket(`127.0.0.1:${server.port}`),
            async () => true,
            { preferred },
          );
          const pair = await russh.KeyPair.parse(formatPrivateKey(key));
          const login = await client.authenticateWithKeyPair(
            "joe",
            pair,
            key.publicKey.type === "ssh-rsa" ? "sha512" : null,
          );
          assert.ok("openSessionChannel" in login, JSON.stringify(preferred));
          const channel = await login.activateChannel(await login.openSessionChannel());
          const got: Uint8Array[] = [];
          const over = new Promise<void>((resolve) => channel.closed$.subscribe(() => resolve()));
          channel.data$.subscribe((data) => got.push(data));
          await channel.requestExec("cat");
          await channel.write(sent);
          await channel.eof();
          await over;
          assert.ok(Buffer.concat(got).equals(sent));
          await login.disconnect();
          const { exchanges } = server.logins[i] as (typeof server.logins)[number];
          await eventually("the end of the connection", () => exchanges.length > 0);
          assert.ok(exchanges.length > 1);
          for (const { strict: _, ...agreed } of exchanges)
            assert.deepEqual(agreed, { kex, hostKey: algorithm, toServer: cipher, toClient: cipher });
        }
      },
    );
  },
);
