import { randomBytes } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { asRoot, skipUnless } from "./installed.ts";
import { Program } from "./program.ts";
import { mustRun, type Ran, type RunOptions, run } from "./run.ts";
import { type TempDir, tempDir } from "./temp-dir.ts";

/** For `skip` of a suite: why this machine cannot play several. */
export const skipUnlessNetworks: string | false = asRoot
  ? skipUnless("ip", "unshare", "mount")
  : "makes networks, for which one has to be root";

/** Name to addresses, each in the /24 of those that it reaches; one with two addresses is in two networks. */
export type Plan = Readonly<Record<string, readonly string[]>>;

/**
 * Machines of their own, played by network namespaces: each has its host name, its addresses with every port free, its
 * `/var/lib` and its `/etc/hosts`, which names them all; processes and all other files are this machine's. Those of one /24
 * hang on one switch, and nothing routes between switches or to the world.
 */
export class Network implements AsyncDisposable {
  readonly #prefix: string;
  readonly #folder: TempDir;
  readonly #machines: ReadonlyMap<string, Machine>;

  private constructor(prefix: string, folder: TempDir, machines: ReadonlyMap<string, Machine>) {
    this.#prefix = prefix;
    this.#folder = folder;
    this.#machines = machines;
  }

  /** `aliases` are further names of addresses, for `/etc/hosts`. */
  static async open(plan: Plan, aliases: Readonly<Record<string, string>> = {}): Promise<Network> {
    await removeAbandoned();
    const prefix = `${family}${process.pid}-${randomBytes(3).toString("hex")}-`;
    const folder = await tempDir();
    const machines = new Map<string, Machine>();
    const network = new Network(prefix, folder, machines);
    await using failed = new AsyncDisposableStack();
    failed.use(network);
    const names = [
      ...Object.entries(plan).map(([name, [first]]) => [name, first]),
      ...Object.entries(aliases),
    ];
    const lines = names.map(([name, address]) => `${address} ${name}\n`);
    await writeFile(folder.at("hosts"), ["127.0.0.1 localhost\n", ...lines].join(""));
    const spaces = ["switch", ...Object.keys(plan)].map((name) => `${prefix}${name}`);
    await ip(
      [],
      spaces.map((space) => `netns add ${space}`),
    );
    await ip(
      ["-n", `${prefix}switch`],
      [...new Set(Object.values(plan).flat().map(bridge))].flatMap((name) => [
        `link add ${name} type bridge forward_delay 0`,
        `link set ${name} up`,
      ]),
    );
    let port = 0;
    for (const [name, addresses] of Object.entries(plan)) {
      const space = `${prefix}${name}`;
      const ports = addresses.map((address, at) => ({ address, port: `port${port++}`, device: `eth${at}` }));
      await ip(
        ["-n", `${prefix}switch`],
        ports.flatMap((one) => [
          `link add ${one.port} type veth peer name ${one.device} netns ${space}`,
          `link set ${one.port} master ${bridge(one.address)}`,
          `link set ${one.port} up`,
        ]),
      );
      const home = folder.at(name, "home");
      for (const path of [home, folder.at(name, "lib")]) await mkdir(path, { recursive: true, mode: 0o700 });
      const machine = new Machine({
        name,
        space,
        addresses,
        folder,
        ports: ports.map((one) => one.port),
        prefix,
      });
      await machine.readdress(addresses);
      machines.set(name, machine);
    }
    failed.move();
    return network;
  }

  machine(name: string): Machine {
    const machine = this.#machines.get(name);
    if (!machine) throw new Error(`the plan has no ${name}`);
    return machine;
  }

  /** Ends what still runs on the machines, and takes them away. */
  async [Symbol.asyncDispose](): Promise<void> {
    await removeSpaces(this.#prefix);
    await this.#folder[Symbol.asyncDispose]();
  }
}

/** One machine of a network. */
export class Machine {
  readonly name: string;
  /** Its folder in place of `/var/lib`. */
  readonly lib: string;
  /** A folder for a person's files. */
  readonly home: string;
  readonly #space: string;
  readonly #hosts: string;
  readonly #switch: string;
  readonly #ports: readonly string[];
  #addresses: readonly string[];

  constructor(parts: {
    name: string;
    space: string;
    addresses: readonly string[];
    ports: readonly string[];
    prefix: string;
    folder: TempDir;
  }) {
    const { name, folder } = parts;
    this.name = name;
    this.lib = folder.at(name, "lib");
    this.home = folder.at(name, "home");
    this.#space = parts.space;
    this.#hosts = folder.at("hosts");
    this.#switch = `${parts.prefix}switch`;
    this.#ports = parts.ports;
    this.#addresses = parts.addresses;
  }

  /** Its address, the first when there are several. */
  get address(): string {
    return this.#addresses[0] ?? "";
  }

  run(command: string, args: readonly string[], options?: RunOptions): Promise<Ran> {
    return run("ip", this.line(command, args), options);
  }

  mustRun(command: string, args: readonly string[], options?: RunOptions): Promise<string> {
    return mustRun("ip", this.line(command, args), options);
  }

  start(command: string, args: readonly string[], options?: RunOptions): Promise<Program> {
    return Program.start("ip", this.line(command, args), options);
  }

  /** The arguments of `ip` that run a command here. The process that is started becomes the command: its id is the command's. */
  line(command: string, args: readonly string[]): string[] {
    const enter = ["netns", "exec", this.#space, "unshare", "--uts", "sh", "-c", settle, "sh"];
    return [...enter, this.lib, this.#hosts, this.name, command, ...args];
  }

  /** Pulls its cables, of one address or all: nothing tells it or the others but that no packet arrives any more. */
  cut(address?: string): Promise<void> {
    return this.#plug("down", address);
  }

  mend(address?: string): Promise<void> {
    return this.#plug("up", address);
  }

  #plug(state: "up" | "down", address: string | undefined): Promise<void> {
    const ports = this.#ports.filter((_, at) => address === undefined || this.#addresses[at] === address);
    return ip(
      ["-n", this.#switch],
      ports.map((port) => `link set ${port} ${state}`),
    );
  }

  /** Whatever it sends to an address of its first network gets lost, and nothing tells it so. */
  loses(address: string): Promise<void> {
    return ip(["-n", this.#space], [`neigh replace ${address} lladdr ${nobody} dev eth0 nud permanent`]);
  }

  finds(address: string): Promise<void> {
    return ip(["-n", this.#space], [`neigh del ${address} dev eth0`]);
  }

  /** Gives it other addresses, in the networks that it is in; connections by the old ones hang. */
  async readdress(addresses: readonly string[]): Promise<void> {
    await ip(
      ["-n", this.#space],
      [
        "link set lo up",
        ...addresses.flatMap((address, at) => [
          `addr flush dev eth${at}`,
          `addr add ${address}/24 dev eth${at}`,
          `link set eth${at} up`,
        ]),
      ],
    );
    this.#addresses = addresses;
  }
}

/** Run inside of the namespaces of the machine, whose mounts and name nobody else sees. */
const settle = [
  'mount --bind "$1" /var/lib',
  'mount --bind "$2" /etc/hosts',
  "if [ -e /etc/teleport.yaml ]; then mount --bind /dev/null /etc/teleport.yaml; fi",
  'echo "$3" > /proc/sys/kernel/hostname',
  "shift 3",
  'exec "$@"',
].join(" && ");

/** A network card that does not exist. */
const nobody = "02:00:00:00:00:01";

const family = "teleport-test-";

const bridge = (address: string): string => `net${address.split(".").slice(0, 3).join("-")}`;

async function ip(flags: readonly string[], lines: readonly string[]): Promise<void> {
  await mustRun("ip", [...flags, "-batch", "-"], { input: `${lines.join("\n")}\n` });
}

/** A run of tests that was killed leaves its namespaces, which are named by its process id. */
async function removeAbandoned(): Promise<void> {
  for (const space of await spacesOf(family)) {
    const pid = Number(space.slice(family.length).split("-")[0]);
    try {
      process.kill(pid, 0);
    } catch {
      await removeSpaces(space);
    }
  }
}

async function removeSpaces(prefix: string): Promise<void> {
  for (const space of await spacesOf(prefix)) {
    for (const pid of (await run("ip", ["netns", "pids", space])).out.split("\n").filter(Boolean)) {
      try {
        process.kill(Number(pid), "SIGKILL");
      } catch {
        // It ended by itself.
      }
    }
    await run("ip", ["netns", "del", space]);
  }
}

async function spacesOf(prefix: string): Promise<string[]> {
  const { out } = await run("ip", ["netns", "list"]);
  return out
    .split("\n")
    .map((line) => line.split(" ")[0] ?? "")
    .filter((name) => name.startsWith(prefix));
}
