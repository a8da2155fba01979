import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { systemClock } from "#core/clock";
import { memoryLog } from "#core/log";
import { accept, connect } from "#ssh";
import { ciphers, hostKeyAlgorithms, keyExchanges, macs, userSignatureAlgorithms } from "#ssh/crypto";
import { DirectTcpip } from "#ssh/forward";
import {
  checkCertificate,
  formatPrivateKey,
  formatPublicKeyLine,
  generateKey,
  issueCertificate,
  noExpiry,
  offeredAlgorithms,
  PrivateKey,
  type PublicKey,
  type Signer,
  sameKey,
} from "#ssh/keys";
import { readSessionRequest, sendExit } from "#ssh/session";
import { run } from "../support/run.ts";
import { dial, listen, scratch, startSshd, withoutOpenSsh } from "./openssh.ts";
import { pairwise, type Row } from "./pairwise.ts";

/** Enough for two changes of keys at `rekeyBytes`, and no multiple of any block. */
const text = randomBytes(75_002).toString("base64").slice(0, 100_001);
const rekeyBytes = 40_000;

const certified = "-cert-v01@openssh.com";
/** OpenSSH 9.2 has no ML-KEM; one that has it is asked for it too. */
const theirKex = withoutOpenSsh ? [] : execFileSync("ssh", ["-Q", "kex"]).toString().split("\n");
/** Keys on hardware have unit tests. */
const plainUserKeys = userSignatureAlgorithms.filter((name) => !name.startsWith("sk-"));
const choices = {
  /** Every cipher with every MAC where it takes one. */
  sealing: ciphers.flatMap(({ name, aead }) => (aead ? [name] : macs.map((mac) => `${name} ${mac.name}`))),
  hostKey: hostKeyAlgorithms.map(({ name }) => name),
  userKey: [...plainUserKeys, ...plainUserKeys.map((name) => `${name}${certified}`)],
  kex: keyExchanges.map(({ name }) => name).filter((name) => theirKex.includes(name)),
  /** Who begins the later key exchanges. */
  rekeys: ["client", "server"],
};
type Combination = Row<typeof choices>;
const combinations = pairwise(choices);
const title = ({ kex, hostKey, sealing, userKey, rekeys }: Combination): string =>
  `${kex}, ${hostKey}, ${sealing}, ${userKey}, ${rekeys} changes keys`;

const newKey = async (type: string): Promise<PrivateKey> => {
  if (type === "ssh-ed25519") return generateKey("ed25519");
  if (type.startsWith("rsa")) return generateKey("rsa-2048");
  const namedCurve = type.replace("ecdsa-sha2-nistp", "P-");
  return new PrivateKey(generateKeyPairSync("ec", { namedCurve }).privateKey);
};
const withoutCertificate = (algorithm: string): string => algorithm.replace(certified, "");
/** A key for each signature algorithm, the RSA one the same for both of its. */
async function newKeys(): Promise<(algorithm: string) => PrivateKey> {
  const types = ["ssh-ed25519", "rsa", ...[256, 384, 521].map((bits) => `ecdsa-sha2-nistp${bits}`)];
  const keys = new Map(await Promise.all(types.map(async (type) => [type, await newKey(type)] as const)));
  return (algorithm) =>
    keys.get(algorithm.startsWith("rsa-") ? "rsa" : withoutCertificate(algorithm)) as PrivateKey;
}
const certify = (ca: PrivateKey, key: PublicKey, type: "user" | "host", principal: string) =>
  issueCertificate(
    {
      ...{
        key,
        type,
        keyId: type,
        serial: 1n,
        principals: [principal],
        validAfter: 0n,
        validBefore: noExpiry,
      },
      ...(type === "user" && { extensions: new Map([["permit-port-forwarding", ""]]) }),
    },
    ca.signer(),
  );
/** A signer that knows one algorithm only, as a key has it that may do no other. */
const only = (signer: Signer, algorithm: string): Signer => ({
  ...signer,
  publicKey: { ...signer.publicKey, algorithms: [withoutCertificate(algorithm)] },
});

interface Served {
  readonly exchanges: readonly Exchange[];
  readonly userKey: string;
}
type Exchange = Readonly<Record<string, unknown>>;
const exchanges = ({ lines }: ReturnType<typeof memoryLog>): Exchange[] =>
  lines.filter(({ message }) => message === "ssh algorithms agreed").map(({ fields }) => fields);

/** The first key exchange and at least one more, each by the algorithms that were asked for. */
function sawThrough(all: readonly Exchange[], { kex, hostKey, sealing }: Combination): void {
  assert.ok(all.length >= 2, `${all.length} key exchanges`);
  const cipher = sealing.split(" ")[0];
  for (const one of all) {
    const { strict: _, ...agreed } = one;
    assert.deepEqual(agreed, { kex, hostKey, toServer: cipher, toClient: cipher });
  }
}

suite("every algorithm beside every other: stock ssh, our server", {
  skip: withoutOpenSsh,
  concurrency: 4,
  timeout: 180_000,
}, () => {
  const stack = new AsyncDisposableStack();
  /** By user, what our server saw of a connection that has ended. */
  const served = new Map<string, PromiseWithResolvers<Served>>();
  const servedTo = (user: string): PromiseWithResolvers<Served> => {
    const one = served.get(user) ?? Promise.withResolvers<Served>();
    served.set(user, one);
    return one;
  };
  let folder: string;
  const ports = { client: 0, server: 0 };

  before(async () => {
    folder = stack.use(await scratch()).path;
    const [userCa, hostCa] = [await generateKey("ed25519"), await generateKey("ed25519")];
    const [users, hosts] = [await newKeys(), await newKeys()];
    for (const algorithm of choices.userKey) {
      const key = users(algorithm);
      const file = join(folder, algorithm);
      await writeFile(file, formatPrivateKey(key), { mode: 0o600 });
      const certificate = await certify(userCa, key.publicKey, "user", "anybody");
      if (algorithm.endsWith(certified))
        await writeFile(`${file}-cert.pub`, `${formatPublicKeyLine({ key: certificate })}\n`);
    }
    const keys = [...new Set(plainUserKeys.map(hosts))];
    const hostKeys = [
      ...(await Promise.all(
        keys.map(async (key) => key.signer(await certify(hostCa, key.publicKey, "host", "127.0.0.1"))),
      )),
      ...keys.map((key) => key.signer()),
    ];
    for (const rekeys of ["client", "server"] as const) {
      const server = stack.use(
        await listen((stream) => {
          const log = memoryLog();
          accept(
            {
              stream,
              hostKeys,
              version: "Teleport",
              check: async ({ key, algorithm }) => {
                const plain = key.certificate
                  ? checkCertificate(key, {
                      type: "user",
                      isAuthority: (authority) => sameKey(authority, userCa.publicKey),
                      now: systemClock.now(),
                    }).key
                  : key;
                assert.ok(sameKey(plain, users(algorithm).publicKey));
                return { userKey: key.certificate ? `${algorithm}${certified}` : algorithm };
              },
              ...(rekeys === "server" && { rekey: { bytes: rekeyBytes } }),
              clock: systemClock,
              log,
            },
            new AbortController().signal,
          ).then(
            ({ connection, user, identity }) => {
              connection.onOpen((request) => {
                const channel = request.accept();
                channel.onRequest((name, payload) => {
                  const asked = readSessionRequest(name, payload);
                  if (asked?.name !== "exec") return asked?.name === "env";
                  void (async () => {
                    // What comes goes back, so that both directions change their keys under way.
                    for await (const chunk of channel) await channel.write(chunk);
                    await sendExit(channel, { code: 0 });
                    await channel.close();
                  })();
                  return true;
                });
              });
              void connection.closed.then(() => {
                servedTo(user).resolve({ exchanges: exchanges(log), ...identity });
              });
            },
            () => {}, // ssh says why
          );
        }),
      );
      ports[rekeys] = server.port;
    }
    await writeFile(
      join(folder, "known_hosts"),
      Object.values(ports)
        .flatMap((port) => [
          `@cert-authority [127.0.0.1]:${port} ${formatPublicKeyLine({ key: hostCa.publicKey })}\n`,
          ...keys.map((key) => `[127.0.0.1]:${port} ${formatPublicKeyLine({ key: key.publicKey })}\n`),
        ])
        .join(""),
    );
  });
  after(() => stack.disposeAsync());

  for (const [number, combination] of combinations.entries()) {
    test(title(combination), async () => {
      const { kex, hostKey, sealing, userKey, rekeys } = combination;
      const [cipher, mac] = sealing.split(" ");
      const options = {
        KexAlgorithms: kex,
        HostKeyAlgorithms: hostKey,
        Ciphers: cipher,
        ...(mac && { MACs: mac }),
        PubkeyAcceptedAlgorithms: userKey,
        ...(rekeys === "client" && { RekeyLimit: rekeyBytes }),
        UserKnownHostsFile: join(folder, "known_hosts"),
        GlobalKnownHostsFile: "/dev/null",
        StrictHostKeyChecking: "yes",
        BatchMode: "yes",
        IdentitiesOnly: "yes",
        IdentityAgent: "none",
      };
      const user = `row${number}`;
      const port = ports[rekeys as "client" | "server"];
      const ran = await run(
        "ssh",
        [
          ...["-F", "none", "-p", String(port), "-i", join(folder, userKey)],
          ...Object.entries(options).flatMap(([name, value]) => ["-o", `${name}=${value}`]),
          ...[`${user}@127.0.0.1`, "echo"],
        ],
        { input: text },
      );
      assert.deepEqual([ran.code, ran.err], [0, ""]);
      assert.ok(ran.out === text);
      const seen = await servedTo(user).promise;
      assert.equal(seen.userKey, userKey);
      sawThrough(seen.exchanges, combination);
    });
  }
});

suite("every algorithm beside every other: our client, stock sshd", {
  skip: withoutOpenSsh,
  concurrency: 4,
  timeout: 180_000,
}, () => {
  const stack = new AsyncDisposableStack();
  let users: (algorithm: string) => PrivateKey;
  let userCa: PrivateKey;
  let hostCa: PrivateKey;
  const ports = { client: 0, server: 0 };
  let echo: Awaited<ReturnType<typeof listen>>;
  const login = userInfo().username;
  const hostKeys = new Map<string, PublicKey>();

  before(async () => {
    const own = stack.use(await scratch());
    echo = stack.use(await listen((socket) => socket.pipe(socket), { allowHalfOpen: true }));
    [users, userCa, hostCa] = [await newKeys(), await generateKey("ed25519"), await generateKey("ed25519")];
    const hosts = await newKeys();
    const lines: string[] = [];
    for (const algorithm of plainUserKeys.filter((name) => name !== "rsa-sha2-256")) {
      const file = join(own.path, algorithm);
      const key = hosts(algorithm);
      await writeFile(file, formatPrivateKey(key), { mode: 0o600 });
      const certificate = await certify(hostCa, key.publicKey, "host", "127.0.0.1");
      await writeFile(`${file}-cert.pub`, `${formatPublicKeyLine({ key: certificate })}\n`);
      lines.push(`HostKey ${file}`, `HostCertificate ${file}-cert.pub`);
    }
    for (const algorithm of choices.hostKey) hostKeys.set(algorithm, hosts(algorithm).publicKey);
    const authorized = plainUserKeys.map((name) => formatPublicKeyLine({ key: users(name).publicKey }));
    await writeFile(join(own.path, "authorized"), `${authorized.join("\n")}\n`);
    await writeFile(join(own.path, "user_ca"), `${formatPublicKeyLine({ key: userCa.publicKey })}\n`);
    for (const rekeys of ["client", "server"] as const) {
      const config = [
        ...lines,
        `AuthorizedKeysFile ${join(own.path, "authorized")}`,
        `TrustedUserCAKeys ${join(own.path, "user_ca")}`,
        "PermitRootLogin yes",
        "LogLevel INFO",
        "MaxStartups 1000",
        ...(rekeys === "server" ? [`RekeyLimit ${rekeyBytes}`] : []),
      ];
      const sshd = stack.use(await startSshd({ config: config.join("\n"), hostKeys: [] }));
      ports[rekeys] = sshd.port;
    }
  });
  after(() => stack.disposeAsync());

  for (const combination of combinations) {
    test(title(combination), async ({ signal }) => {
      const { kex, hostKey, sealing, userKey, rekeys } = combination;
      const [cipher = "", mac] = sealing.split(" ");
      const key = users(userKey);
      const certificate = userKey.endsWith(certified)
        ? await certify(userCa, key.publicKey, "user", login)
        : undefined;
      const log = memoryLog();
      await using connection = await connect(
        {
          stream: await dial(ports[rekeys as "client" | "server"]),
          user: login,
          version: "Teleport",
          algorithms: { kex: [kex], hostKeys: [hostKey], ciphers: [cipher], ...(mac && { macs: [mac] }) },
          signers: [only(key.signer(certificate), userKey)],
          verifyHost: (shown) => {
            assert.ok(offeredAlgorithms(shown).includes(hostKey), shown.type);
            const plain = shown.certificate
              ? checkCertificate(shown, {
                  type: "host",
                  isAuthority: (authority) => sameKey(authority, hostCa.publicKey),
                  principal: "127.0.0.1",
                  now: systemClock.now(),
                }).key
              : shown;
            assert.ok(sameKey(plain, hostKeys.get(hostKey) as PublicKey));
          },
          ...(rekeys === "client" && { rekey: { bytes: rekeyBytes } }),
          clock: systemClock,
          log,
        },
        signal,
      );
      // No command: what a login's shell reads at its start takes longer than all the rest.
      const { channel } = await connection.open(
        "direct-tcpip",
        DirectTcpip.encode({ host: "127.0.0.1", port: echo.port, originatorHost: "", originatorPort: 0 }),
      );
      const sending = channel.write(Buffer.from(text)).then(() => channel.end());
      const parts: Uint8Array[] = [];
      for await (const part of channel) parts.push(part);
      await sending;
      assert.ok(Buffer.concat(parts).equals(Buffer.from(text)));
      sawThrough(exchanges(log), combination);
    });
  }
});
