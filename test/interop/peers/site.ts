import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Cluster, login, startCluster } from "../../e2e/cluster.ts";
import { quiet } from "../../e2e/daemon.ts";
import { mustRun, type Ran, type RunOptions, run } from "../../support/run.ts";

/** A cluster with somebody logged in, and what programs that are not ours need to go through its proxy to its node. */
export interface Site extends AsyncDisposable {
  readonly cluster: Cluster;
  /** The account at the node, and the node by the name that its certificate has. */
  readonly login: string;
  readonly node: string;
  /** The key that `tsh login` left; its certificate is beside it, at `-cert.pub`. */
  readonly key: string;
  /** A file for `ssh -F` that knows the way through the proxy. */
  readonly sshConfig: string;
  readonly knownHosts: string;
  /** A path in a folder of the test's own, which is also the home of what it runs. */
  at(...names: string[]): string;
  run(command: string, args: readonly string[], options?: RunOptions): Promise<Ran>;
  /** As `run`, for what has to work: its output. */
  mustRun(command: string, args: readonly string[], options?: RunOptions): Promise<string>;
}

export async function startSite(): Promise<Site> {
  await using stack = new AsyncDisposableStack();
  // What a login's bash reads at its start may take longer than all the rest, and write what no test expects: Debian's reads it
  // for ssh only at level 1.
  const cluster = stack.use(await startCluster({ config: { ssh_service: { accept_env: ["SHLVL"] } } }));
  await cluster.makeUser("joe");
  await cluster.logIn("joe");
  const { ports, home } = cluster;
  const at = (...names: string[]): string => join(home, ...names);
  const [key, sshConfig, knownHosts] = [at(".tsh/keys/127.0.0.1/joe"), at("ssh_config"), at("known_hosts")];
  const authority = await cluster.mustTctl("auth", "export", "--type=host");
  await writeFile(knownHosts, authority + authority.replace("*.main", `[127.0.0.1]:${ports.proxy}`));
  await writeFile(
    sshConfig,
    [
      "Host proxy",
      "  HostName 127.0.0.1",
      `  Port ${ports.proxy}`,
      "Host *.main",
      `  Port ${ports.node}`,
      "  ProxyJump proxy",
      "Host *",
      `  User ${login}`,
      `  IdentityFile ${key}`,
      "  IdentitiesOnly yes",
      "  IdentityAgent none",
      "  BatchMode yes",
      "  StrictHostKeyChecking yes",
      `  UserKnownHostsFile ${knownHosts}`,
      "  GlobalKnownHostsFile /dev/null",
      "  LogLevel ERROR",
      "  SetEnv SHLVL=2",
      "",
    ].join("\n"),
  );
  await readFile(`${key}-cert.pub`);
  const asSomebody = (options: RunOptions = {}): RunOptions => ({
    cwd: home,
    ...options,
    env: { ...quiet, HOME: home, ...options.env },
  });
  const open = stack.move();
  return {
    ...{ cluster, login, node: "testnode.main", key, sshConfig, knownHosts, at },
    run: (command, args, options) => run(command, args, asSomebody(options)),
    mustRun: (command, args, options) => mustRun(command, args, asSomebody(options)),
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}
