import { mkdir, readFile, writeFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { asRoot, findProgram } from "./installed.ts";
import { freePort } from "./port.ts";
import { Program } from "./program.ts";
import { mustRun } from "./run.ts";
import { type TempDir, tempDir } from "./temp-dir.ts";

/** Two authorities of ssh-keygen's making and what they signed: what stock OpenSSH needs to trust both ways. */
export interface Authorities {
  /** Public key files of the authorities. */
  readonly userCa: string;
  readonly hostCa: string;
  /** A `known_hosts` file by which every host of `hostCa` is trusted. */
  readonly knownHosts: string;
  /** A new key `name` with `name-cert.pub` beside it; the path of the key. */
  issue(name: string, type: "user" | "host", principals: readonly string[]): Promise<string>;
}

export async function makeAuthorities(folder: TempDir): Promise<Authorities> {
  const [userCa, hostCa] = [folder.at("user-ca"), folder.at("host-ca")];
  for (const file of [userCa, hostCa]) await newKey(file);
  const knownHosts = folder.at("known_hosts");
  await writeFile(knownHosts, `@cert-authority * ${await readFile(`${hostCa}.pub`, "utf8")}`);
  return {
    userCa: `${userCa}.pub`,
    hostCa: `${hostCa}.pub`,
    knownHosts,
    async issue(name, type, principals) {
      const file = folder.at(name);
      await newKey(file);
      const kind = type === "host" ? ["-s", hostCa, "-h"] : ["-s", userCa];
      await mustRun("ssh-keygen", ["-q", ...kind, "-I", name, "-n", principals.join(","), `${file}.pub`]);
      return file;
    },
  };
}

async function newKey(file: string): Promise<void> {
  await mustRun("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", file]);
}

/** A stock sshd on 127.0.0.1 and all that a stock client needs to log in to it by certificate. */
export interface Sshd extends AsyncDisposable {
  readonly port: number;
  readonly pid: number;
  readonly authorities: Authorities;
  /** The user that the client's certificate is for. */
  readonly login: string;
  /** Lines for a client's configuration file: its port, the key to use, whom to trust. */
  readonly clientConfig: readonly string[];
  /** The same as arguments of `ssh`, `scp` and `sftp`. */
  readonly clientOptions: readonly string[];
  /** Its log so far. */
  readonly log: () => string;
}

export interface SshdOptions {
  /** Lines for `sshd_config`; they win over ours. */
  readonly config?: readonly string[];
  /** Who may log in; default who runs this. */
  readonly login?: string;
  /** Principals of the host certificate; default 127.0.0.1 and localhost. */
  readonly names?: readonly string[];
  /** Without a host certificate, as sshd is on most machines. */
  readonly plain?: boolean;
}

export async function startSshd(options: SshdOptions = {}): Promise<Sshd> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempDir());
  const login = options.login ?? userInfo().username;
  const authorities = await makeAuthorities(folder);
  const hostKey = await authorities.issue("host", "host", options.names ?? ["127.0.0.1", "localhost"]);
  const userKey = await authorities.issue("user", "user", [login]);
  const port = await freePort();
  const config = [
    // Of two values sshd takes the first.
    ...(options.config ?? []),
    `Port ${port}`,
    "ListenAddress 127.0.0.1",
    `HostKey ${hostKey}`,
    ...(options.plain ? [] : [`HostCertificate ${hostKey}-cert.pub`]),
    `TrustedUserCAKeys ${authorities.userCa}`,
    "AuthorizedKeysFile none",
    "AuthenticationMethods publickey",
    `PidFile ${folder.at("pid")}`,
    "StrictModes no",
    "UsePAM no",
    "UseDNS no",
    // Of these it takes the last.
    options.config?.find((line) => line.startsWith("MaxStartups ")) ?? "MaxStartups 1000",
    "Subsystem sftp internal-sftp",
  ];
  await writeFile(folder.at("sshd_config"), config.join("\n"));
  if (asRoot) await mkdir("/run/sshd", { recursive: true, mode: 0o755 });
  const path = findProgram("sshd") ?? "sshd"; // it insists on an absolute path
  const sshd = stack.use(await Program.start(path, ["-D", "-e", "-f", folder.at("sshd_config")]));
  await sshd.line(/Server listening/);
  const clientConfig = [
    `Port ${port}`,
    `IdentityFile ${userKey}`,
    "IdentitiesOnly yes",
    "BatchMode yes",
    `UserKnownHostsFile ${authorities.knownHosts}`,
    "GlobalKnownHostsFile /dev/null",
    "StrictHostKeyChecking yes",
  ];
  const open = stack.move();
  return {
    port,
    pid: sshd.pid,
    login,
    authorities,
    clientConfig,
    clientOptions: ["-F", "none", ...clientConfig.flatMap((line) => ["-o", line])],
    log: () => sshd.said,
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}
