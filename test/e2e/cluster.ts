import assert from "node:assert/strict";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import { eventually } from "../support/eventually.ts";
import { fetchOwn, type HttpAnswer } from "../support/https.ts";
import { freePort } from "../support/port.ts";
import { mustRun, type Ran, type RunOptions, run } from "../support/run.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";
import { totp } from "../support/totp.ts";
import { type Daemon, type Programs, programs, quiet, startDaemon } from "./daemon.ts";

/** A login that exists on this machine whoever runs the tests: who runs them. */
export const login = userInfo().username;

type Sections = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

export interface ClusterOptions {
  /** Default `off`. */
  readonly secondFactor?: "off" | "otp";
  /** Further keys of the file's sections; they win over ours. */
  readonly config?: Sections;
  /** Where people find the web pages, when that is not the port that the daemon serves them at. */
  readonly webPort?: number;
  /** Tunnels are taken at the web port (OVW-12). */
  readonly onePort?: boolean;
  /** Further flags of `teleport start`. */
  readonly flags?: readonly string[];
  /** What is run, e.g. by another user; default `bin/teleport`. */
  readonly command?: readonly string[];
  /** The commands; default the checkout's. */
  readonly programs?: Programs;
  /** Changes the folder before the daemon starts, e.g. its owner. */
  readonly prepare?: (folder: TempDir) => Promise<void>;
}

export interface Person {
  readonly name: string;
  readonly password: string;
  /** The seed of the one-time codes, base32, where the cluster asks for them. */
  readonly otpSecret: string | undefined;
}

/** One `teleport start` with auth, proxy and node, and the people at their machines before it. */
export interface Cluster extends AsyncDisposable {
  readonly folder: TempDir;
  readonly config: string;
  readonly dataDir: string;
  readonly ports: Ports;
  readonly daemon: Daemon;
  /** `127.0.0.1:<web port>,<ssh port>`, as `tsh --proxy` takes it. */
  readonly proxy: string;
  /** The home that `tsh` and `tctl` are run with; `~/.tsh` is in it. */
  readonly home: string;
  /** Runs the command to its end, whatever the end. */
  tctl(...args: string[]): Promise<Ran>;
  /** As `tctl`, for what has to work: what it printed. */
  mustTctl(...args: string[]): Promise<string>;
  tsh(args: readonly string[], options?: RunOptions): Promise<Ran>;
  mustTsh(args: readonly string[], options?: RunOptions): Promise<string>;
  /** One call of the web API, e.g. `/webapi/ping`. */
  web(path: string, options?: Parameters<typeof fetchOwn>[1]): Promise<HttpAnswer>;
  /** Invites somebody with `tctl users add` and takes the invitation up as the signup page does. */
  makeUser(name: string, logins?: readonly string[]): Promise<Person>;
  /** `tsh login` of somebody whom `makeUser` made, where no one-time code is asked for. */
  logIn(name: string, options?: RunOptions): Promise<string>;
  /** The audit log so far, oldest event first. */
  events(): Promise<Event[]>;
  /** The first event for which `which` holds, waited for. */
  event(what: string, which: (event: Event) => boolean): Promise<Event>;
}

export type Event = Readonly<Record<string, unknown>> & { readonly event: string };

export interface Ports {
  readonly auth: number;
  readonly proxy: number;
  readonly tunnel: number;
  readonly web: number;
  readonly node: number;
}

export const password = "correct horse";

export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempDir());
  const [auth, proxy, tunnel, web, node] = await Promise.all(Array.from({ length: 5 }, freePort));
  const ports = { auth, proxy, tunnel, web: options.webPort ?? web, node } as Ports;
  const config = folder.at("teleport.yaml");
  const [dataDir, home] = [folder.at("data"), folder.at("home")];
  await mkdir(home, { mode: 0o700 });
  await writeFile(config, stringify(fileOf(ports, dataDir, options)));
  await options.prepare?.(folder);
  const { tsh, tctl: admin, teleport } = options.programs ?? programs;
  const daemon = stack.use(await startDaemon(config, { command: [teleport], ...options }));
  await daemon.ready();

  const asSomebody = { env: { ...quiet, HOME: home } };
  const tctl = (...args: string[]): Promise<Ran> => run(admin, ["-c", config, ...args], asSomebody);
  const mustTctl = (...args: string[]): Promise<string> =>
    mustRun(admin, ["-c", config, ...args], asSomebody);
  const whole = ({ env, ...more }: RunOptions = {}): RunOptions => ({
    ...more,
    env: { ...asSomebody.env, ...env },
  });
  const call = (path: string, asked: Parameters<typeof fetchOwn>[1] = {}): Promise<HttpAnswer> =>
    fetchOwn(`https://127.0.0.1:${ports.web}${path}`, asked);
  const events = (): Promise<Event[]> => readEvents(dataDir);
  const open = stack.move();
  return {
    folder,
    config,
    dataDir,
    ports,
    daemon,
    home,
    proxy: `127.0.0.1:${ports.web},${proxy}`,
    tctl,
    mustTctl,
    tsh: (args, more) => run(tsh, args, whole(more)),
    mustTsh: (args, more) => mustRun(tsh, args, whole(more)),
    web: call,
    async makeUser(name, logins = [login]) {
      const invitation = await mustTctl("users", "add", name, logins.join(","));
      return { name, password, otpSecret: await signUp(call, invitation) };
    },
    logIn: (name, more) =>
      mustRun(
        tsh,
        ["login", "--insecure", `--proxy=127.0.0.1:${ports.web},${proxy}`, `--user=${name}`],
        whole({ ...more, input: `${password}\n` }),
      ),
    events,
    event: (what, which) => eventually(what, async () => (await events()).find(which)),
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}

function fileOf(
  ports: Ports,
  dataDir: string,
  { secondFactor = "off", onePort, config = {} }: ClusterOptions,
) {
  const at = (port: number): string => `127.0.0.1:${port}`;
  return {
    teleport: {
      nodename: "testnode",
      data_dir: dataDir,
      log: { severity: "info" },
      ...config.teleport,
    },
    auth_service: {
      cluster_name: "main",
      listen_addr: at(ports.auth),
      authentication: { second_factor: secondFactor },
      ...config.auth_service,
    },
    ssh_service: { listen_addr: at(ports.node), labels: { env: "test" }, ...config.ssh_service },
    proxy_service: {
      listen_addr: at(ports.proxy),
      tunnel_listen_addr: at(onePort ? ports.web : ports.tunnel),
      web_listen_addr: at(ports.web),
      public_addr: [at(ports.web)],
      ...config.proxy_service,
    },
  };
}

/** Takes up what `tctl users add` printed, with `password`; answers the seed of the one-time codes, if there are any. */
export async function signUp(call: Cluster["web"], invitation: string): Promise<string | undefined> {
  const token = /\/web\/newuser\/(\w+)/.exec(invitation)?.[1];
  assert.ok(token, invitation);
  const invite = (await call(`/v1/webapi/users/invites/${token}`)).json() as {
    user: string;
    otp_secret?: string;
  };
  const done = await call("/v1/webapi/users", {
    body: {
      invite_token: token,
      user: invite.user,
      pass: password,
      second_factor_token: invite.otp_secret === undefined ? "" : totp(invite.otp_secret),
    },
  });
  assert.equal(done.status, 200, done.text);
  return invite.otp_secret;
}

/** Every line of the day files under `<data_dir>/log`; throws for one that is no JSON. */
export async function readEvents(dataDir: string): Promise<Event[]> {
  const folder = join(dataDir, "log");
  const files = (await readdir(folder)).filter((name) => /^\d{4}-\d{2}-\d{2}\.00:00:00\.log$/.test(name));
  const texts = await Promise.all(files.sort().map((name) => readFile(join(folder, name), "utf8")));
  // The last line may be half written while it is read.
  return texts.flatMap((text) =>
    text
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Event),
  );
}
