import { createHmac } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { request } from "node:https";
import { userInfo } from "node:os";
import { join } from "node:path";
import { freePort } from "../support/port.ts";
import { Program } from "../support/program.ts";
import { mustRun, type Ran, run } from "../support/run.ts";
import { tempDir } from "../support/temp-dir.ts";

const bin = (name: string): string => join(import.meta.dirname, "../../bin", name);
export const [teleport, tctl, tsh] = [bin("teleport"), bin("tctl"), bin("tsh")];

/** Where the daemon of a test listens, all on 127.0.0.1. */
export interface Ports {
  readonly node: number;
  readonly proxy: number;
  readonly tunnel: number;
  readonly web: number;
  readonly auth: number;
  readonly diag: number;
}

export async function freePorts(): Promise<Ports> {
  const [node, proxy, tunnel, web, auth, diag] = await Promise.all(Array.from({ length: 6 }, freePort));
  return { node, proxy, tunnel, web, auth, diag } as Ports;
}

/** The configuration file of all three services; `more` are lines of its section `teleport`, `proxy` of its proxy's. */
export function configText(
  ports: Ports,
  dataDir: string,
  more: readonly string[] = [],
  secondFactor = "off",
  proxy: readonly string[] = [],
): string {
  return [
    "teleport:",
    "  nodename: testnode",
    `  data_dir: ${dataDir}`,
    ...more.map((line) => `  ${line}`),
    "auth_service:",
    "  cluster_name: main",
    `  listen_addr: 127.0.0.1:${ports.auth}`,
    `  authentication: {second_factor: ${secondFactor}}`,
    "ssh_service:",
    `  listen_addr: 127.0.0.1:${ports.node}`,
    "proxy_service:",
    `  listen_addr: 127.0.0.1:${ports.proxy}`,
    `  web_listen_addr: 127.0.0.1:${ports.web}`,
    `  tunnel_listen_addr: 127.0.0.1:${ports.tunnel}`,
    ...proxy.map((line) => `  ${line}`),
    "",
  ].join("\n");
}

/** One line of the audit log. */
export type Event = Record<string, unknown> & { readonly event: string; readonly code: string };

/** An OpenSSH identity: the path of the private key; `<path>-cert.pub` may lie beside it. */
export type Identity = string;

/** A whole cluster in one real process, and a user `joe` who may log in as whoever runs the tests. */
export interface Cluster extends AsyncDisposable {
  readonly ports: Ports;
  readonly dataDir: string;
  readonly configFile: string;
  readonly login: string;
  readonly password: string;
  /** Of joe's second factor, base32, when there is one. */
  readonly seed: string | undefined;
  /** The token that joe signed up with. */
  readonly invite: string;
  /** The daemon of now. */
  readonly daemon: Program;
  /** What all daemons of this cluster have said, with their log. */
  readonly said: () => string;
  /** A path in the test's folder. */
  at(name: string): string;
  /** Starts the daemon again after its end. */
  restart(): Promise<void>;
  tctl(...args: string[]): Promise<Ran>;
  /** POST of JSON to the web API. */
  post(path: string, body: unknown): Promise<{ status: number; body: string }>;
  /** A key with the certificate that the password gives, as `tsh login` would. */
  loginWith(name: string): Promise<Identity>;
  /** Joe's identity, made at the start. */
  readonly joe: Identity;
  /** Arguments of `ssh` for an identity: through the proxy for `*.main`, which are nodes. */
  sshOptions(identity: Identity): string[];
  ssh(identity: Identity, ...args: string[]): Promise<Ran>;
  events(): Event[];
  /** Waits until the audit log has an event that `fits`. */
  event(fits: (event: Event) => boolean): Promise<Event>;
  /** Open files of the daemon. */
  files(): number;
  /** Resident memory of the daemon in bytes. */
  memory(): number;
}

export async function startCluster(
  options: {
    readonly teleport?: readonly string[];
    readonly proxy?: readonly string[];
    readonly secondFactor?: "otp";
  } = {},
): Promise<Cluster> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempDir());
  const ports = await freePorts();
  const dataDir = folder.at("data");
  const configFile = folder.at("teleport.yaml");
  const login = userInfo().username;
  const password = "correct horse battery staple";
  await writeFile(
    configFile,
    configText(ports, dataDir, options.teleport, options.secondFactor, options.proxy),
  );
  const daemons: Program[] = [];
  stack.defer(async () => {
    await daemons.at(-1)?.[Symbol.asyncDispose]();
  });
  const start = async (): Promise<void> => {
    const args = ["start", "-c", configFile, `--diag-addr=127.0.0.1:${ports.diag}`];
    const daemon = await Program.start(teleport, args);
    daemons.push(daemon);
    await daemon.line(/Service is starting on/);
    await until(async () => (await plainGet(ports.diag, "/readyz")).includes('"ok"'));
  };
  await start();
  let seed: string | undefined;
  const cluster: Omit<Cluster, "joe" | "seed" | "invite" | typeof Symbol.asyncDispose> = {
    ports,
    dataDir,
    configFile,
    login,
    password,
    get daemon() {
      return daemons.at(-1) as Program;
    },
    said: () => daemons.map(({ said }) => said).join(""),
    at: folder.at,
    restart: start,
    tctl: (...args) => run(tctl, ["-c", configFile, ...args]),
    post: (path, body) => post(ports.web, path, body),
    loginWith: async (name) => {
      const file = folder.at(name);
      await mustRun("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", file]);
      const answer = await post(ports.web, "/webapi/ssh/certs", {
        user: "joe",
        password,
        // The code of the sign-up is used up.
        otp_token: seed === undefined ? "" : codeOf(seed, Date.now() + 30_000),
        pub_key: readFileSync(`${file}.pub`).toString("base64"),
        ttl: 3600e9,
        compatibility: "",
      });
      if (answer.status !== 200) throw new Error(`no certificate: ${answer.body}`);
      const { cert } = JSON.parse(answer.body) as { cert: string };
      await writeFile(`${file}-cert.pub`, Buffer.from(cert, "base64"));
      return file;
    },
    sshOptions: (identity) => {
      const common = [
        "-F",
        "none",
        ...[
          `UserKnownHostsFile=${folder.at("known_hosts")}`,
          "GlobalKnownHostsFile=/dev/null",
          "StrictHostKeyChecking=yes",
          "BatchMode=yes",
          "IdentityAgent=none",
          "IdentitiesOnly=yes",
          `IdentityFile=${identity}`,
        ].flatMap((option) => ["-o", option]),
      ];
      const through = `ssh ${common.map((word) => `'${word}'`).join(" ")} -p ${ports.proxy} 127.0.0.1 -s proxy:%h:%p`;
      return [...common, "-o", `ProxyCommand=${through}`, "-p", String(ports.node)];
    },
    ssh(identity, ...args) {
      return run("ssh", [...this.sshOptions(identity), ...args], { timeout: 30_000 });
    },
    events: () => eventsIn(join(dataDir, "log")),
    async event(fits) {
      let found: Event | undefined;
      await until(async () => {
        found = this.events().find(fits);
        return found !== undefined;
      });
      return found as Event;
    },
    files: () => readdirSync(`/proc/${daemons.at(-1)?.pid}/fd`).length,
    memory: () =>
      Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${daemons.at(-1)?.pid}/status`, "utf8"))?.[1]) * 1024,
  };
  const invite = await mustRun(tctl, ["-c", configFile, "users", "add", "joe", login]);
  const token = /newuser\/([0-9a-f]+)/.exec(invite)?.[1] ?? "";
  if (options.secondFactor) {
    const shown = await ask("GET", ports.web, `/webapi/users/invites/${token}`);
    seed = (JSON.parse(shown.body) as { otp_secret: string }).otp_secret;
  }
  const signup = await post(ports.web, "/webapi/users", {
    invite_token: token,
    user: "joe",
    pass: password,
    ...(seed !== undefined && { second_factor_token: codeOf(seed, Date.now()) }),
  });
  if (signup.status !== 200) throw new Error(`no sign-up: ${signup.body}`);
  const hosts = await mustRun(tctl, ["-c", configFile, "auth", "export", "--type=host"]);
  await writeFile(folder.at("known_hosts"), hosts.replaceAll("*.main", `*.main,[127.0.0.1]:*,127.0.0.1`));
  await mkdir(folder.at("home"));
  const joe = await cluster.loginWith("joe");
  const open = stack.move();
  return Object.assign(cluster, {
    joe,
    seed,
    invite: token,
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  });
}

export function eventsIn(folder: string): Event[] {
  const files = readdirSync(folder).filter((name) => /^\d{4}-.*\.log$/.test(name));
  return files
    .sort()
    .flatMap((name) => readFileSync(join(folder, name), "utf8").split("\n"))
    .filter((line) => line !== "")
    .flatMap(eventOf);
}

/** A full disk or a crash leaves part of a line, of an event that nobody acknowledged. */
function eventOf(line: string): Event[] {
  try {
    return [JSON.parse(line) as Event];
  } catch {
    return [];
  }
}

/** Looks again and again, for at most `timeout` milliseconds. */
export async function until(holds: () => Promise<boolean>, timeout = 30_000): Promise<void> {
  const late = AbortSignal.timeout(timeout);
  while (!(await holds())) {
    if (late.aborted) throw new Error(`did not come true within ${timeout} ms: ${holds}`);
    await pause(50);
  }
}

/** The value of one series, as `name{label="value"}`. */
export async function metric({ ports }: Pick<Cluster, "ports">, series: string): Promise<number> {
  const text = await plainGet(ports.diag, "/metrics");
  const found = text.split("\n").find((one) => one.startsWith(`${series} `));
  if (found === undefined) throw new Error(`no series ${series}`);
  return Number(found.split(" ").at(-1));
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const plainGet = async (port: number, path: string): Promise<string> =>
  fetch(`http://127.0.0.1:${port}${path}`).then(
    (answer) => answer.text(),
    () => "",
  );

const post = (port: number, path: string, body: unknown) => ask("POST", port, path, body);

/** RFC 6238 with six digits and steps of half a minute, of a seed in base32. */
function codeOf(seed: string, at: number): string {
  const bits = [...seed.replace(/=+$/, "")]
    .map((letter) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(letter).toString(2).padStart(5, "0"))
    .join("");
  const key = Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(at / 30_000)));
  const hash = createHmac("sha1", key).update(counter).digest();
  const offset = (hash.at(-1) ?? 0) & 15;
  return String((hash.readUInt32BE(offset) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

function ask(
  method: string,
  port: number,
  path: string,
  body?: unknown,
): Promise<{ status: number; body: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; body: string }>();
  const headers = { "content-type": "application/json" };
  // The web port's certificate is self-signed here; who it is does not matter to these tests.
  const options = { host: "127.0.0.1", port, path, method, headers, rejectUnauthorized: false };
  const sent = request({ ...options, agent: false }, async (answer) => {
    const parts: Buffer[] = [];
    for await (const part of answer) parts.push(part as Buffer);
    resolve({ status: answer.statusCode ?? 0, body: Buffer.concat(parts).toString() });
  });
  sent
    .once("error", reject)
    .end(typeof body === "string" || body === undefined ? body : JSON.stringify(body));
  return promise;
}
