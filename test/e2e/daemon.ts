import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { stringify } from "yaml";
import { eventually } from "../support/eventually.ts";
import { fetchOwn, type HttpAnswer } from "../support/https.ts";
import { freePort } from "../support/port.ts";
import { descendants, isAlive } from "../support/processes.ts";
import { Program } from "../support/program.ts";

const root = join(import.meta.dirname, "../..");

export interface Programs {
  readonly teleport: string;
  readonly tctl: string;
  readonly tsh: string;
}

export const programsIn = (folder: string): Programs => ({
  teleport: join(folder, "teleport"),
  tctl: join(folder, "tctl"),
  tsh: join(folder, "tsh"),
});

/** The commands as users run them. */
export const programs = programsIn(join(root, "bin"));

/** Takes away what the environment of whoever runs the tests would change. */
export const quiet: Readonly<Record<string, undefined>> = Object.fromEntries(
  [
    ...["CONFIG", "PROXY", "USER", "LOGIN", "LOGIN_BIND_ADDR", "SITE", "DEBUG"].map(
      (name) => `TELEPORT_${name}`,
    ),
    ...["SSH_AUTH_SOCK", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "NO_PROXY", "no_proxy"],
  ].map((name) => [name, undefined]),
);

/** A `teleport start` with diagnostics. Disposing of it ends it and sees that nothing it started is left. */
export interface Daemon extends AsyncDisposable {
  readonly program: Program;
  /** One call of the diagnostics, e.g. `/readyz`. */
  diag(path: string): Promise<HttpAnswer>;
  /** Resolves when it serves, as a load balancer or a start-up script asks it. */
  ready(): Promise<void>;
  /** Ends it with the signal; its exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

export async function startDaemon(
  config: string,
  options: { readonly flags?: readonly string[]; readonly command?: readonly string[] } = {},
): Promise<Daemon> {
  const port = await freePort();
  const [command = "", ...before] = options.command ?? [programs.teleport];
  const program = await Program.start(
    command,
    [...before, "start", "-c", config, `--diag-addr=127.0.0.1:${port}`, ...(options.flags ?? [])],
    { env: quiet },
  );
  const diag = (path: string): Promise<HttpAnswer> => fetchOwn(`http://127.0.0.1:${port}${path}`);
  return {
    program,
    diag,
    async ready() {
      try {
        await eventually("a daemon that is ready", async () => {
          if (program.hasEnded) throw new Error("the daemon ended");
          return (await diag("/readyz")).status === 200;
        });
      } catch (cause) {
        throw new Error(`the daemon did not get ready; it said:\n${program.said}`, { cause });
      }
    },
    async stop(signal = "SIGTERM") {
      program.kill(signal);
      await eventually(`an end by ${signal}`, () => program.hasEnded);
      return program.ended();
    },
    async [Symbol.asyncDispose]() {
      const started = descendants(program.pid);
      await program[Symbol.asyncDispose]();
      const left = (): number[] => started.filter(isAlive);
      try {
        await eventually("an end of all that the daemon started", () => left().length === 0, {
          timeout: 5000,
        });
      } finally {
        for (const pid of left()) process.kill(pid, "SIGKILL");
      }
    },
  };
}

export type HostOptions = {
  readonly name: string;
  readonly role: "node" | "proxy" | "node,proxy";
  /** Holds its file and its data folder. */
  readonly folder: string;
  readonly authPort: number;
  readonly flags: readonly string[];
  /** Beside `host: NAME`. */
  readonly labels?: Readonly<Record<string, string>>;
  /** What `teleport.nodename` says; default `name`. */
  readonly nodename?: string;
  /** Where it listens; default a free port of 127.0.0.1. */
  readonly listen?: string;
  /** Further keys of the file's sections `teleport` and `proxy_service`. */
  readonly teleport?: Readonly<Record<string, unknown>>;
  readonly proxy?: Readonly<Record<string, unknown>>;
};

/** Another host of a cluster, with one role. */
export interface Host extends Daemon {
  /** Where its node serves, or its proxy's web port. */
  readonly address: string;
  /** Its proxy, as `tsh --proxy` takes it. */
  readonly proxy: string;
  /** Where its node or its proxy serves SSH. */
  readonly ssh: string;
  readonly config: string;
}

export async function startHost(options: HostOptions): Promise<Host> {
  const { name, role, folder, authPort, flags, labels, nodename = name, teleport, proxy: ownKeys } = options;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const [port, proxy, web, tunnel] = await Promise.all([freePort(), freePort(), freePort(), freePort()]);
  const file = join(folder, "teleport.yaml");
  const at = (on: number): string => `127.0.0.1:${on}`;
  const { listen = at(port) } = options;
  await writeFile(
    file,
    stringify({
      teleport: { nodename, data_dir: join(folder, "data"), log: { severity: "info" }, ...teleport },
      ssh_service: { listen_addr: listen, labels: { host: name, ...labels } },
      proxy_service: {
        listen_addr: at(proxy),
        web_listen_addr: at(web),
        tunnel_listen_addr: at(tunnel),
        ...ownKeys,
      },
    }),
  );
  const daemon = await startDaemon(file, {
    flags: [`--roles=${role}`, `--auth-server=${at(authPort)}`, ...flags],
  });
  const hasNode = role.startsWith("node");
  return {
    ...daemon,
    address: hasNode ? listen : at(web),
    proxy: `${at(web)},${proxy}`,
    ssh: hasNode ? listen : at(proxy),
    config: file,
  };
}
