import { type ChildProcess, spawn } from "node:child_process";
import { chmod, chown, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect as connectTo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "#core/clock";
import { notFound } from "#core/errors";
import { memoryLog } from "#core/log";
import { systemRandom } from "#core/random";
import type { AuditEvent } from "#events";
import { type Account, Logins, Pipes, Programs, Sockets, Spawner } from "#helper";
import type { ClusterView } from "#mirror";
import { CertAuthority, ClusterConfig, Role, User } from "#model";
import { type Address, door, Gate } from "#net";
import { NodeServer } from "#node";
import { Spool } from "#session";
import { type ClientConnection, connect } from "#ssh";
import {
  formatPrivateKey,
  formatPublicKeyLine,
  generateKey,
  issueCertificate,
  parsePrivateKey,
  parsePublicKeyLine,
} from "#ssh/keys";

const root = process.getuid?.() === 0;

/** Certificate of a user, for stock ssh: a key file, and its certificate beside it. */
export interface IdentityOptions {
  readonly principals?: readonly string[];
  readonly hours?: number;
  readonly roles?: readonly string[];
  readonly user?: string;
}

/** A node of a cluster that a test writes itself, on 127.0.0.1, and stock ssh against it. */
export async function startNode(
  options: {
    role?: object;
    config?: Partial<ClusterConfig>;
    permitUserEnv?: boolean;
    acceptEnv?: string[];
  } = {},
) {
  const dir = await mkdtemp(join(tmpdir(), "node-"));
  await chmod(dir, 0o711);
  const home = join(dir, "home");
  await mkdir(home);
  // Some existing user without power, when this is root; else the only one there can be.
  const login: Account = root
    ? { name: "games", uid: 5, gid: 60, groups: [60, 29], home, shell: "/bin/bash" }
    : {
        name: "me",
        uid: process.getuid?.() ?? 0,
        gid: process.getgid?.() ?? 0,
        groups: [],
        home,
        shell: "/bin/sh",
      };
  await chown(home, login.uid, login.gid);

  const [userCa, hostKey] = [await generateKey("ed25519"), await generateKey("ed25519")];
  const users = new Map([
    [
      "alice",
      User.parse({ kind: "user", version: "v2", metadata: { name: "alice" }, spec: { roles: ["dev"] } }),
    ],
  ]);
  const listeners = new Set<() => void>();
  let role = roleOf(
    options.role ?? { options: { forward_agent: true }, allow: { logins: [login.name, "ghost"] } },
  );
  const view: ClusterView = {
    config: () => ClusterConfig.parse({ cluster_id: "1", cluster_name: "main", ...options.config }),
    authorities: () => [
      CertAuthority.parse({
        kind: "cert_authority",
        version: "v2",
        metadata: { name: "main" },
        spec: {
          type: "user",
          cluster_name: "main",
          checking_keys: [formatPublicKeyLine({ key: userCa.publicKey })],
          tls_key_pairs: [{ cert: "" }],
        },
      }),
    ],
    user: (name) => users.get(name),
    role: (name) => (name === "dev" ? role : undefined),
    nodes: () => [],
    nodesAt: () => [],
    proxies: () => [],
    trustedClusters: () => [],
    remoteClusters: () => [],
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };

  const events: AuditEvent[] = [];
  let heard: () => void = () => {};
  const log = memoryLog();
  const clock = systemClock;
  const random = systemRandom;
  const emitter = {
    async emit(event: unknown) {
      events.push(event as AuditEvent);
      heard();
    },
  };
  const pipes = new Pipes(join(dir, "pipes"));
  const spawner = new Spawner({ pipes });
  const logins = new Logins({ size: 1 });
  const programs = new Programs({ spawner, logins, pipes, clock, uid: process.getuid?.() ?? 0 });
  const sockets = new Sockets({ clock, uid: process.getuid?.() ?? 0 });
  const spool = await Spool.open(join(dir, "spool"));
  const server = new NodeServer({
    hostId: "11111111-2222-4333-8444-555555555555",
    view,
    accounts: {
      find: async (name) => {
        if (name !== login.name) throw notFound("user", name);
        return login;
      },
      group: async () => (root ? 5 : undefined),
    },
    programs,
    sockets,
    spool,
    telling: { emitter, clock, random, log },
    clock,
    random,
    log,
    acceptEnv: options.acceptEnv ?? [],
    permitUserEnv: options.permitUserEnv ?? false,
    hostSigners: () => [hostKey.signer()],
    labels: () => ({ env: "test" }),
    version: "5.0.0",
    limits: { login: {}, maxUsers: 250, maxSessions: 100 },
  });
  const stop = new AbortController();
  const bound = Promise.withResolvers<Address>();
  const address = { host: "127.0.0.1", port: 0 };
  const done = door({
    name: "node",
    address,
    setting: "test",
    gate: new Gate({ maxConnections: 100, penalties: false, clock, random, log }),
    handle: (socket, ends, signal, guest) => server.handle(socket, ends, signal, guest),
    onListening: bound.resolve,
    log,
  }).run(stop.signal, () => {});
  const { port } = await bound.promise;

  let made = 0;
  /** Writes a key and a certificate for it; returns the file that `ssh -i` takes. */
  async function identity({
    principals = [login.name],
    hours = 1,
    roles = ["dev"],
    user = "alice",
  }: IdentityOptions = {}) {
    const key = await generateKey("ed25519");
    const now = BigInt(Math.floor(Date.now() / 1000));
    const certificate = await issueCertificate(
      {
        key: key.publicKey,
        type: "user",
        keyId: user,
        serial: 1n,
        principals,
        validAfter: now - 7200n,
        validBefore: now + BigInt(Math.round(hours * 3600)),
        extensions: new Map([
          ["permit-pty", ""],
          ["teleport-roles", JSON.stringify({ version: "v1", roles })],
        ]),
      },
      userCa.signer(),
    );
    const file = join(dir, `key-${made++}`);
    await writeFile(file, formatPrivateKey(key), { mode: 0o600 });
    await writeFile(`${file}-cert.pub`, `${formatPublicKeyLine({ key: certificate })}\n`);
    return file;
  }
  const known = join(dir, "known_hosts");
  await writeFile(known, `[127.0.0.1]:${port} ${formatPublicKeyLine({ key: hostKey.publicKey })}\n`);
  const first = await identity();
  const flags = (file = first): string[] => [
    ...["-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR"],
    ...["-o", `UserKnownHostsFile=${known}`, "-i", file, "-o", `CertificateFile=${file}-cert.pub`],
  ];

  function start(args: readonly string[], file?: string, env: Record<string, string> = {}): ChildProcess {
    return spawn("ssh", [...flags(file), "-p", String(port), ...args], {
      stdio: "pipe",
      env: { PATH: "/usr/bin:/bin", LC_ALL: "C.UTF-8", ...env },
    });
  }

  return {
    dir,
    home,
    port,
    login,
    events,
    log,
    spool,
    users,
    flags,
    identity,
    start,
    target: `${login.name}@127.0.0.1`,
    setRole(body: object) {
      role = roleOf(body);
    },
    changed() {
      for (const listener of listeners) listener();
    },
    /** A connection of our own client, for what ssh cannot be made to say. */
    async connect(file = first): Promise<ClientConnection> {
      const { key } = parsePrivateKey(await readFile(file, "utf8"));
      const { key: certificate } = parsePublicKeyLine(await readFile(`${file}-cert.pub`, "utf8"));
      const stream = connectTo({ host: "127.0.0.1", port, allowHalfOpen: true });
      return await connect(
        {
          stream,
          user: login.name,
          version: "Test",
          signers: [key.signer(certificate)],
          verifyHost: () => {},
          clock,
          log,
        },
        stop.signal,
      );
    },
    /** Runs ssh to its end. */
    async ssh(
      args: readonly string[],
      { input = "" as string | Uint8Array, file = undefined as string | undefined, env = {} } = {},
    ) {
      const child = start(args, file, env);
      child.stdin?.end(input);
      child.stdin?.on("error", () => {});
      const [out, err, code] = await Promise.all([
        collect(child.stdout as AsyncIterable<Uint8Array>),
        collect(child.stderr as AsyncIterable<Uint8Array>),
        new Promise<number | null>((resolve) => child.once("exit", resolve)),
      ]);
      return { out: out.toString(), err: err.toString(), code, bytes: out };
    },
    /** The first event of that code, now or to come. */
    async event<C extends AuditEvent["code"]>(code: C): Promise<Extract<AuditEvent, { code: C }>> {
      while (true) {
        const found = events.find((event) => event.code === code);
        if (found) return found as Extract<AuditEvent, { code: C }>;
        await new Promise<void>((resolve) => (heard = resolve));
      }
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await done;
      await Promise.all([spawner, logins, sockets].map((part) => part[Symbol.asyncDispose]()));
      await pipes[Symbol.asyncDispose]();
      await rm(dir, { recursive: true, force: true });
    },
  };
}
export type ANode = Awaited<ReturnType<typeof startNode>>;

const roleOf = (spec: object): Role =>
  Role.parse({ kind: "role", version: "v3", metadata: { name: "dev" }, spec });

async function collect(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}
