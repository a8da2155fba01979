import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server } from "node:https";
import { createServer as createTcpServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { systemClock } from "#core/clock";
import { silentLog } from "#core/log";
import { issueTls, makeAuthority, makeSelfSigned, makeTlsKey } from "#pki";
import { accept, type Channel } from "#ssh";
import { splice } from "#ssh/forward";
import {
  checkCertificate,
  formatPublicKeyLine,
  generateKey,
  issueCertificate,
  noExpiry,
  type PrivateKey,
  type PublicKey,
  parsePublicKeyLine,
  type Signer,
  sameKey,
} from "#ssh/keys";
import { readSessionRequest } from "#ssh/session";
import { runLine } from "../../src/cli/testing.ts";
import { program } from "../../src/cli/tsh/program.ts";
import { streamPair } from "../../src/ssh/testing/stream-pair.ts";
import { serveForwards } from "./forwarding.ts";
import { type Program, serveProgram } from "./program.ts";

export interface HostOptions {
  readonly principals?: readonly string[];
  readonly role?: string;
  /** Who signs; default the cluster's host CA. */
  readonly ca?: PrivateKey;
  readonly validAfter?: bigint;
  readonly validBefore?: bigint;
  /** Whom the certificate is for; default a host. */
  readonly type?: "user" | "host";
  /** Show the key without a certificate. */
  readonly plain?: boolean;
  /** Serve forwards to this machine's ports and sockets; else refuse them. */
  readonly forwards?: boolean;
}

/** A host's way to talk SSH over a stream: with a certificate or without, of whom and for what. */
export interface TestHost {
  serve(stream: Duplex): void;
}

/**
 * A cluster `main` in this process: a web API, a proxy and an auth API on free ports of 127.0.0.1, and hosts that a test
 * adds. User `joe`, password `secret`, logins `root` and `joe`.
 */
export class TestCluster implements AsyncDisposable {
  readonly home: string;
  readonly webPort: number;
  readonly sshPort: number;
  readonly hosts = new Map<string, TestHost>();
  /** Answers of the auth API by operation. */
  readonly auth = new Map<string, (input: unknown) => unknown>();
  readonly hostCa: PrivateKey;
  readonly requests: { path: string; body: unknown }[] = [];
  /** Parts of the ping's answer to change. */
  ping: Record<string, unknown> = {};
  /** Milliseconds that logins last, negative for one that is over. */
  loginLife = 3_600_000;
  logins: readonly string[] = ["root", "joe"];
  /** Whether the proxy says that it records sessions itself. */
  recordsAtProxy = false;
  readonly #parts: Parts;
  readonly #stop = new AbortController();
  readonly #servers: { close(): void; closeAllConnections?(): void }[] = [];
  readonly #sockets = new Set<Socket>();

  private constructor(parts: Parts) {
    this.#parts = parts;
    this.home = parts.home;
    this.hostCa = parts.hostCa;
    this.webPort = 0;
    this.sshPort = 0;
  }

  static async start(proxy: HostOptions = {}): Promise<TestCluster> {
    const now = systemClock.now();
    const [hostCa, userCa] = await Promise.all([generateKey("ed25519"), generateKey("ed25519")]);
    const parts: Parts = {
      home: await mkdtemp(join(tmpdir(), "tsh-")),
      hostCa,
      userCa,
      tlsCa: await makeAuthority({ clusterName: "main", keyType: "ecdsa-p256", now }),
      web: await makeSelfSigned({
        commonName: "localhost",
        dnsNames: ["localhost"],
        ips: ["127.0.0.1"],
        now,
      }),
    };
    const cluster = new TestCluster(parts);
    const authServer = await cluster.#authServer();
    cluster.hosts.set("@main", { serve: (stream) => void authServer.emit("connection", stream) });
    const web = createServer({ cert: parts.web.cert, key: parts.web.key }, (request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const text = Buffer.concat(chunks).toString();
        const body: unknown = text === "" ? undefined : JSON.parse(text);
        cluster.requests.push({ path: request.url ?? "", body });
        void cluster.#webAnswer(request.url ?? "", body).then(({ status, answer }) => {
          response.writeHead(status, { "content-type": "application/json" });
          response.end(JSON.stringify(answer));
        });
      });
    });
    const host = await cluster.host({ role: "Proxy", principals: ["proxy"], ...proxy }, undefined);
    const ssh = createTcpServer({ allowHalfOpen: true }, (socket) => {
      cluster.#sockets.add(socket);
      host.serve(socket);
    });
    for (const server of [web, ssh]) {
      cluster.#servers.push(server);
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    }
    const portOf = (server: { address(): unknown }): number => (server.address() as { port: number }).port;
    return Object.assign(cluster, { webPort: portOf(web), sshPort: portOf(ssh) });
  }

  /** Whom hosts are to believe about users: a line of an authorized_keys file. */
  get userAuthority(): string {
    return formatPublicKeyLine({ key: this.#parts.userCa.publicKey });
  }

  /** PEM of the web API's self-signed certificate. */
  get webCertificate(): string {
    return this.#parts.web.cert;
  }

  get proxy(): string {
    return `127.0.0.1:${this.webPort}`;
  }

  /** Runs a line of `tsh` in this cluster's home, with `--insecure` as the test's certificate is nobody's. */
  tsh(
    line: readonly string[],
    options: { input?: string; env?: Record<string, string>; signal?: AbortSignal } = {},
  ): Promise<{ code: number; out: string; err: string }> {
    return runLine(program, line, { ...options, machine: { home: this.home } });
  }

  login(...more: string[]): Promise<{ code: number; out: string; err: string }> {
    const line = ["login", `--proxy=${this.proxy}`, "--user=joe", "--insecure", ...more];
    return this.tsh(line, { input: "secret\n" });
  }

  /** A host that logs in who has a certificate of the user CA for the login; without a program it is a proxy. */
  async host(options: HostOptions, run: Program | undefined): Promise<TestHost> {
    const key = await generateKey("ed25519");
    const { principals = ["node"], role = "Node", ca = this.hostCa, plain = false } = options;
    const certificate = await issueCertificate(
      {
        key: key.publicKey,
        type: options.type ?? "host",
        keyId: "",
        serial: 1n,
        principals,
        validAfter: options.validAfter ?? 0n,
        validBefore: options.validBefore ?? noExpiry,
        extensions: new Map([["x-teleport-role", role]]),
      },
      ca.signer(),
    );
    const signers: Signer[] = [plain ? key.signer() : key.signer(certificate)];
    return { serve: (stream) => void this.#serve(stream, signers, { ...options, role }, run) };
  }

  /** Adds a node under a name. */
  async node(name: string, run: Program, options: HostOptions = {}): Promise<void> {
    this.hosts.set(name, await this.host({ principals: [name, `${name}.main`], ...options }, run));
  }

  async #serve(
    stream: Duplex,
    hostKeys: Signer[],
    { role, forwards }: HostOptions,
    run: Program | undefined,
  ): Promise<void> {
    const { userCa } = this.#parts;
    stream.on("error", () => {});
    try {
      const { connection } = await accept<void>(
        {
          stream,
          hostKeys,
          version: "Teleport",
          banner: "welcome to \u001b]0;evil\u0007main\n",
          check: async ({ user, key }) => {
            checkCertificate(key, {
              type: "user",
              isAuthority: (ca) => sameKey(ca, userCa.publicKey),
              principal: user,
              now: systemClock.now(),
            });
            if (role === "Node" && user === "joe") throw new Error("this node does not let joe in");
          },
          clock: systemClock,
          log: silentLog,
        },
        this.#stop.signal,
      );
      if (!run) {
        connection.onRequest((name) =>
          name === "recording-proxy@teleport.com" ? Buffer.from(String(this.recordsAtProxy)) : false,
        );
      }
      const forward = forwards ? serveForwards(connection) : undefined;
      connection.onOpen((request) => {
        if (request.kind !== "session") return forward ? forward(request) : undefined;
        const channel = request.accept();
        if (run) serveProgram(channel, connection, run);
        else this.#serveProxy(channel);
        return undefined;
      });
    } catch {
      // The client left; the tests look at the client.
    }
  }

  #serveProxy(channel: Channel): void {
    channel.onRequest(async (name, payload) => {
      const request = readSessionRequest(name, payload);
      if (request?.name !== "subsystem") return false;
      if (request.body.name === "proxysites") {
        const sites = [
          { name: "main", status: "online", lastconnected: "2026-01-01T00:00:00Z" },
          { name: "ea\u001b[2Jst", status: "offline", lastconnected: "" },
        ];
        void channel
          .write(Buffer.from(JSON.stringify(sites)))
          .then(() => channel.end())
          .then(() => channel.close());
        return true;
      }
      const [, host = "", cluster = ""] = /^proxy:(.*)@(.*)$/.exec(request.body.name) ?? [];
      const found = this.hosts.get(host === "" ? `@${cluster}` : host.replace(/:\d+$/, ""));
      if (!found) {
        await channel.writeStderr(
          Buffer.from(`failed connecting to node ${host}. there is no such \u001b[31mnode\n`),
        );
        return false;
      }
      const [here, there] = streamPair();
      found.serve(there);
      void splice(channel, here).catch(() => {});
      return true;
    });
  }

  async #webAnswer(url: string, body: unknown): Promise<{ status: number; answer: unknown }> {
    const versions = { server_version: "5.0.0", min_client_version: "3.0.0" };
    const proxy = { kube: { enabled: false }, ssh: { listen_addr: `0.0.0.0:${this.sshPort}` } };
    if (/^\/v1\/webapi\/ping(\/local)?$/.test(url)) {
      const auth = { type: "local", second_factor: "off" };
      return { status: 200, answer: { auth, cluster_name: "main", proxy, ...versions, ...this.ping } };
    }
    if (url.startsWith("/v1/webapi/find?cluster=")) {
      return { status: 200, answer: { known: ["main", "east"].includes(url.split("=")[1] ?? "") } };
    }
    if (url === "/v1/webapi/ssh/certs") return this.#certs(body as CertsBody);
    return { status: 404, answer: { message: `there is no ${url}` } };
  }

  async #certs({
    user,
    password,
    pub_key,
    tls_pub_key,
  }: CertsBody): Promise<{ status: number; answer: unknown }> {
    if (user !== "joe" || password !== "secret") {
      return { status: 403, answer: { message: "invalid username, password or second factor" } };
    }
    const { userCa, hostCa, tlsCa } = this.#parts;
    const ends = systemClock.now() + this.loginLife;
    const key = parsePublicKeyLine(Buffer.from(pub_key, "base64").toString()).key;
    const cert = async (): Promise<PublicKey> =>
      issueCertificate(
        {
          key,
          type: "user",
          keyId: user,
          serial: 0n,
          principals: this.logins,
          validAfter: 0n,
          validBefore: BigInt(Math.floor(ends / 1000)),
          extensions: new Map([
            ["permit-pty", ""],
            ["permit-agent-forwarding", ""],
            ["permit-port-forwarding", ""],
          ]),
        },
        userCa.signer(),
      );
    const tls = await issueTls({
      ca: tlsCa,
      publicKey: Buffer.from(tls_pub_key, "base64").toString(),
      subject: { commonName: user, organizations: ["admin"], localities: this.logins },
      notBefore: ends - 7_200_000,
      notAfter: ends,
    });
    const encoded = (text: string): string => Buffer.from(text).toString("base64");
    return {
      status: 200,
      answer: {
        username: user,
        ...(this.logins.length > 0 && { cert: encoded(formatPublicKeyLine({ key: await cert() })) }),
        tls_cert: encoded(tls),
        host_signers: [
          {
            domain_name: "main",
            checking_keys: [encoded(formatPublicKeyLine({ key: hostCa.publicKey }))],
            tls_certs: [encoded(tlsCa.cert)],
          },
        ],
      },
    };
  }

  async #authServer(): Promise<Server> {
    const { tlsCa } = this.#parts;
    const key = await makeTlsKey("ecdsa-p256");
    const now = systemClock.now();
    const cert = await issueTls({
      ca: tlsCa,
      publicKey: key.publicKey,
      subject: { commonName: "auth.main", organizations: ["Auth"] },
      dnsNames: ["*.teleport.cluster.local", "teleport.cluster.local"],
      notBefore: now - 60_000,
      notAfter: now + 3_600_000,
    });
    return createServer(
      { cert, key: key.privateKey, ca: tlsCa.cert, requestCert: true, rejectUnauthorized: true },
      (request, response) => {
        const chunks: Buffer[] = [];
        request.on("data", (chunk: Buffer) => chunks.push(chunk));
        request.on("end", () => {
          const name = (request.url ?? "").split("/").at(-1) ?? "";
          const handler = this.auth.get(name);
          const answer = handler?.(JSON.parse(Buffer.concat(chunks).toString()));
          response.writeHead(answer === undefined ? 404 : 200, { "content-type": "application/json" });
          response.end(JSON.stringify(answer ?? { kind: "not_found", message: `recording is not found` }));
        });
      },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    for (const socket of this.#sockets) socket.destroy();
    for (const server of this.#servers) {
      server.closeAllConnections?.();
      server.close();
    }
    await rm(this.home, { recursive: true, force: true });
  }
}

interface Parts {
  readonly home: string;
  readonly hostCa: PrivateKey;
  readonly userCa: PrivateKey;
  readonly tlsCa: { readonly cert: string; readonly key: string };
  readonly web: { readonly cert: string; readonly key: string };
}
interface CertsBody {
  readonly user: string;
  readonly password: string;
  readonly pub_key: string;
  readonly tls_pub_key: string;
}
