import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { stringify } from "yaml";
import { type Cluster, type ClusterOptions, startCluster } from "./cluster.ts";
import { type Daemon, startDaemon } from "./daemon.ts";

/** A service of the cluster in a process of its own, which can be ended and started again. */
export interface Part {
  /** The process of now. */
  readonly daemon: Daemon;
  readonly dataDir: string;
  /** Starts it again after its end; does not wait for it to be ready. */
  start(): Promise<Daemon>;
  /** Ends it, and starts it again. */
  restart(signal?: NodeJS.Signals): Promise<Daemon>;
}

/** A cluster whose auth, proxy and node are three processes with a data folder each, as on three hosts. */
export interface Apart extends AsyncDisposable {
  /** Its `daemon` is the first auth process. */
  readonly cluster: Cluster;
  readonly auth: Part;
  readonly proxy: Part;
  readonly node: Part;
}

export interface ApartOptions extends ClusterOptions {
  /** Where proxy and node are told to find auth; default where it is. */
  readonly authPort?: number;
  /** Runs before proxy and node are started. */
  readonly before?: (cluster: Cluster) => Promise<void>;
  /** What runs the node whose data folder this is; default `bin/teleport`. */
  readonly nodeCommand?: (dataDir: string) => readonly string[];
  /** Further keys of the section `teleport` of proxy and node. */
  readonly member?: Readonly<Record<string, unknown>>;
}

export async function startApart(options: ApartOptions = {}): Promise<Apart> {
  await using stack = new AsyncDisposableStack();
  const flags = ["--roles=auth"];
  const cluster = stack.use(await startCluster({ ...options, flags }));
  await options.before?.(cluster);
  const auth = part(cluster.dataDir, () => startDaemon(cluster.config, { flags }), cluster.daemon);
  const invitation = await cluster.mustTctl("nodes", "add", "--roles=node,proxy");
  const pin = /sha256:[0-9a-f]{64}/.exec(await cluster.mustTctl("status"))?.[0];
  const token = /^The invite token: ([0-9a-f]{32})$/m.exec(invitation)?.[1];
  const at = (port: number): string => `127.0.0.1:${port}`;
  const member = async (role: "proxy" | "node", name: string): Promise<Part> => {
    const folder = cluster.folder.at(name);
    await mkdir(folder, { mode: 0o700 });
    const { ports } = cluster;
    const file = join(folder, "teleport.yaml");
    await writeFile(
      file,
      stringify({
        teleport: {
          nodename: name,
          data_dir: join(folder, "data"),
          auth_servers: [at(options.authPort ?? ports.auth)],
          auth_token: token,
          ca_pin: pin,
          log: { severity: "info" },
          ...options.member,
        },
        ssh_service: { listen_addr: at(ports.node) },
        proxy_service: {
          listen_addr: at(ports.proxy),
          tunnel_listen_addr: at(ports.tunnel),
          web_listen_addr: at(ports.web),
          public_addr: [at(ports.web)],
        },
      }),
    );
    const dataDir = join(folder, "data");
    const command = role === "node" ? options.nodeCommand?.(dataDir) : undefined;
    const start = () => startDaemon(file, { flags: [`--roles=${role}`], ...(command && { command }) });
    const made = part(dataDir, start);
    await made.start();
    return made;
  };
  const proxy = await member("proxy", "front");
  stack.defer(() => proxy.daemon[Symbol.asyncDispose]());
  const node = await member("node", "box");
  stack.defer(() => node.daemon[Symbol.asyncDispose]());
  stack.defer(() => auth.daemon[Symbol.asyncDispose]());
  await Promise.all([proxy.daemon.ready(), node.daemon.ready()]);
  const open = stack.move();
  return { cluster, auth, proxy, node, [Symbol.asyncDispose]: () => open.disposeAsync() };
}

function part(dataDir: string, start: () => Promise<Daemon>, first?: Daemon): Part {
  let daemon = first;
  const made: Part = {
    get daemon() {
      return daemon as Daemon;
    },
    dataDir,
    async start() {
      daemon = await start();
      return daemon;
    },
    async restart(signal) {
      await made.daemon.stop(signal);
      return made.start();
    },
  };
  return made;
}
