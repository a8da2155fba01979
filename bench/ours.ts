import { randomBytes } from "node:crypto";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { join } from "node:path";
import { json } from "node:stream/consumers";
import { quiet } from "../test/e2e/daemon.ts";
import { freePort } from "../test/support/port.ts";
import { Program } from "../test/support/program.ts";
import { mustRun } from "../test/support/run.ts";
import { type TempDir, tempDir } from "../test/support/temp-dir.ts";
import type { Login } from "./login.ts";
import { changed, everyHost, type Side } from "./side.ts";

export const bin = (name: string): string => join(import.meta.dirname, "../dist/bin", name);

/**
 * One daemon with all three services on 127.0.0.1, and a user with certificates. Reached by stock `ssh` in both ways, and by `tsh`.
 * With several processes of the proxy the node is a daemon of its own, as on a machine of its own.
 */
export async function ours(
  login: Login,
  processes = 1,
): Promise<{ sides: readonly Side[] } & AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempDir());
  const { ports, config, daemon } = stack.use(
    await startDaemon(folder, {
      auth: `tokens: ["node:${joinToken}"]`,
      proxy: `processes: ${processes}`,
      node: processes === 1,
    }),
  );
  const servers = [daemon.pid];
  if (processes > 1) {
    const node = stack.use(await startNode(folder, ports));
    await node.line(/Service is starting/);
    servers.push(node.pid);
  }
  const identity = await signUp(folder, config, login.name, ports.web);
  const client = [
    `IdentityFile ${identity.key}`,
    `UserKnownHostsFile ${identity.knownHosts}`,
    "GlobalKnownHostsFile /dev/null",
    "StrictHostKeyChecking yes",
    "IdentitiesOnly yes",
    "BatchMode yes",
  ];
  let files = 0;
  const daemonAndDoor = { servers, door: ports.proxy };
  const ssh = (name: string, host: string): Side => ({
    ...daemonAndDoor,
    name,
    client: "ssh",
    command(change = {}) {
      const file = folder.at(`ssh_config-${files++}`);
      const lines = [
        ...changed("proxy", change),
        ...["Host proxy", "HostName 127.0.0.1", `Port ${ports.proxy}`],
        ...["Host by-command", `ProxyCommand ssh -F ${file} proxy -s proxy:%h:%p`],
        ...["Host by-jump", "ProxyJump proxy"],
        ...["Host by-*", "HostName node", `Port ${ports.node}`],
        ...everyHost(login.name),
        ...client,
      ];
      writeFileSync(file, lines.join("\n"));
      return { program: "ssh", args: ["-F", file, host] };
    },
  });
  const home = folder.at("home");
  await mkdir(home, { mode: 0o700 });
  await mustRun(
    bin("tsh"),
    ["login", "--insecure", `--proxy=127.0.0.1:${ports.web},${ports.proxy}`, "--user=bench"],
    { env: { ...quiet, HOME: home }, input: `${identity.password}\n` },
  );
  const tsh: Side = {
    ...daemonAndDoor,
    name: "ours, tsh",
    client: "tsh",
    command: ({ door } = {}) => ({
      program: bin("tsh"),
      args: ["ssh", `${login.name}@node`],
      env: { ...quiet, HOME: door === undefined ? home : homeFor(home, ports.proxy, door) },
    }),
  };
  const open = stack.move();
  return {
    sides: [ssh("ours, proxy: subsystem", "by-command"), ssh("ours, ssh -J", "by-jump"), tsh],
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}

export interface Daemon extends AsyncDisposable {
  readonly ports: Readonly<Record<"auth" | "node" | "proxy" | "tunnel" | "web", number>>;
  /** The path of its configuration. */
  readonly config: string;
  readonly daemon: Program;
}

/** The cluster `bench` on free ports of 127.0.0.1, with further lines of its sections. */
export async function startDaemon(
  folder: TempDir,
  more: { auth?: string; proxy?: string; node: boolean },
): Promise<Daemon> {
  const ports = {
    auth: await freePort(),
    node: await freePort(),
    proxy: await freePort(),
    tunnel: await freePort(),
    web: await freePort(),
  };
  const config = folder.at("teleport.yaml");
  await writeFile(
    config,
    `teleport: {nodename: node, data_dir: ${folder.at("data")}, auth_servers: ["127.0.0.1:${ports.auth}"]}
auth_service:
  cluster_name: bench
  listen_addr: 127.0.0.1:${ports.auth}
  authentication: {type: local, second_factor: off}
  ${more.auth ?? ""}
proxy_service:
  ${more.proxy ?? ""}
  listen_addr: 127.0.0.1:${ports.proxy}
  tunnel_listen_addr: 127.0.0.1:${ports.tunnel}
  web_listen_addr: 127.0.0.1:${ports.web}
  public_addr: 127.0.0.1:${ports.web}
ssh_service: {enabled: ${more.node}, listen_addr: "127.0.0.1:${ports.node}"}
`,
  );
  const daemon = await Program.start(bin("teleport"), ["start", "-c", config]);
  await daemon.line(/ is up/);
  return { ports, config, daemon, [Symbol.asyncDispose]: () => daemon[Symbol.asyncDispose]() };
}

const joinToken = randomBytes(16).toString("hex");

async function startNode(folder: TempDir, ports: { node: number; auth: number }): Promise<Program> {
  const config = folder.at("node.yaml");
  await writeFile(
    config,
    `teleport: {nodename: node, data_dir: ${folder.at("node")}, auth_servers: ["127.0.0.1:${ports.auth}"], auth_token: ${joinToken}}
auth_service: {enabled: no}
proxy_service: {enabled: no}
ssh_service: {listen_addr: "127.0.0.1:${ports.node}"}
`,
  );
  return Program.start(bin("teleport"), ["start", "-c", config]);
}

/** A copy of a home in which the proxy's SSH port is another: tsh goes by what its login was told. */
function homeFor(home: string, port: number, door: number): string {
  const copy = `${home}-${door}`;
  cpSync(home, copy, { recursive: true, verbatimSymlinks: true });
  const profile = join(copy, ".tsh", "127.0.0.1.yaml");
  const text = readFileSync(profile, "utf8");
  const line = (at: number): string => `ssh_proxy_addr: 127.0.0.1:${at}\n`;
  if (!text.includes(line(port))) throw new Error(`${profile} does not name the proxy's SSH port:\n${text}`);
  writeFileSync(profile, text.replace(line(port), line(door)));
  return copy;
}

/** Makes a user who may log in as `login`, accepts the invitation, and asks for certificates, all over the web API. */
export async function signUp(
  folder: TempDir,
  config: string,
  login: string,
  web: number,
): Promise<{ password: string; key: string; knownHosts: string }> {
  const invited = await mustRun(bin("tctl"), ["-c", config, "users", "add", "bench", login]);
  const token = /\/newuser\/(\S+)/.exec(invited)?.[1];
  const ca = await readFile(folder.at("data", "webproxy_cert.pem"));
  const password = randomBytes(12).toString("hex");
  const post = (path: string, body: object): Promise<unknown> => postJson({ port: web, ca, path, body });
  await post("/v1/webapi/users", { invite_token: token, user: "bench", pass: password });
  const key = folder.at("key");
  await mustRun("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key]);
  const answer = (await post("/v1/webapi/ssh/certs", {
    user: "bench",
    password,
    pub_key: base64(await readFile(`${key}.pub`)),
    ttl: 3600 * 1e9, // nanoseconds
  })) as { cert: string; host_signers: { checking_keys: string[] }[] };
  await writeFile(`${key}-cert.pub`, text(answer.cert));
  const authorities = answer.host_signers.flatMap(({ checking_keys }) => checking_keys.map(text));
  const knownHosts = folder.at("known_hosts");
  await writeFile(knownHosts, authorities.map((line) => `@cert-authority * ${line.trim()}\n`).join(""));
  return { password, key, knownHosts };
}

async function postJson(to: { port: number; ca: Buffer; path: string; body: object }): Promise<unknown> {
  const sent = request({
    host: "127.0.0.1",
    port: to.port,
    path: to.path,
    ca: to.ca,
    method: "POST",
    headers: { "content-type": "application/json" },
  });
  sent.end(JSON.stringify(to.body));
  const answer = await new Promise<IncomingMessage>((resolve, reject) =>
    sent.once("response", resolve).once("error", reject),
  );
  const value = await json(answer);
  if (answer.statusCode === 200) return value;
  throw new Error(`${to.path} answered ${answer.statusCode}: ${JSON.stringify(value)}`);
}

const base64 = (data: Buffer): string => data.toString("base64");
const text = (encoded: string): string => Buffer.from(encoded, "base64").toString();
