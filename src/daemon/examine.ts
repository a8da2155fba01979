import { access, constants, readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { parseDestination } from "#audit";
import { checkFileLink, readTrust } from "#auth";
import { type Config, load, type SecretSource } from "#config";
import { type Clock, systemClock } from "#core/clock";
import { Fault } from "#core/errors";
import { recordingsFolder } from "./audit.ts";
import { dataDirWarning } from "./data-dir.ts";
import { license } from "./license.ts";
import { notYet } from "./not-yet.ts";
import { fileTrust } from "./other-clusters.ts";
import { operatorPair } from "./web-cert.ts";

/** One thing to know about a configuration before it is started with. */
export interface Finding {
  /** `file`: the configuration asks for what cannot be. `machine`: this machine does not have what it asks for. */
  readonly kind: "file" | "machine" | "warning";
  readonly text: string;
}

/**
 * All that a start would stumble over and that can be known without one: nothing is made, opened for writing, listened on or
 * dialled. Never throws.
 */
export async function examine(config: Config, clock: Clock = systemClock): Promise<readonly Finding[]> {
  const { teleport, auth_service: auth, proxy_service: proxy, ssh_service: node } = config;
  const found: Finding[] = [];
  const { contradictions } = await load();
  for (const text of contradictions(config)) found.push({ kind: "file", text });
  /** What `look` throws is a finding; `key` says where to mend it. */
  const tried = async (key: string, look: () => unknown): Promise<void> => {
    try {
      await look();
    } catch (err) {
      const kind = Fault.is(err, "bad_parameter") ? "file" : "machine";
      for (const line of (err as Error).message.split("\n"))
        found.push({ kind, text: key === "" ? line : `${key}: ${line}` });
    }
  };
  await tried("", () => {
    for (const text of notYet(config)) found.push({ kind: "warning", text });
  });
  await tried("teleport.data_dir", () => writableFolder(teleport.data_dir));
  const open = auth.enabled && (await dataDirWarning(teleport.data_dir).catch(() => undefined));
  if (open) found.push({ kind: "warning", text: open });
  if (teleport.pid_file !== undefined) {
    const { pid_file } = teleport;
    await tried("teleport.pid_file", () => writableFile(pid_file));
  }
  const { output } = teleport.log;
  if (output.to === "file") await tried("teleport.log.output", () => writableFile(output.path));
  if (!auth.enabled && teleport.auth_token)
    await tried("teleport.auth_token", () => readableSecret(teleport.auth_token as SecretSource));
  if (auth.enabled) {
    for (const [i, { token }] of auth.tokens.entries())
      await tried(`auth_service.tokens.${i}`, () => readableSecret(token));
    const { trusted_clusters: links, cluster_name } = auth;
    for (const [i, link] of links.entries()) {
      const key = `auth_service.trusted_clusters.${i}`;
      await tried(key, () => checkFileLink(link, links.slice(0, i), cluster_name));
      await tried(`${key}.token`, () => readableSecret(link.token));
    }
    await tried("auth_service.authorities", async () => {
      const names = links.map(({ name }) => name);
      const { warnings } = readTrust(await fileTrust(auth), cluster_name, names);
      for (const text of warnings) found.push({ kind: "warning", text: `auth_service.authorities: ${text}` });
    });
    const { backend, audit_events_uri, audit_sessions_uri } = teleport.storage;
    const { path } = backend;
    if (path !== undefined) await tried("teleport.storage.path", () => writableFolder(path));
    for (const uri of audit_events_uri) {
      await tried("teleport.storage.audit_events_uri", async () => {
        const destination = parseDestination(uri);
        if (destination.scheme === "file") await writableFolder(destination.folder);
      });
    }
    await tried("teleport.storage.audit_sessions_uri", () =>
      writableFolder(recordingsFolder(join(teleport.data_dir, "log"), audit_sessions_uri)),
    );
    const licensed = await license(config, clock);
    if (licensed && "warning" in licensed) found.push({ kind: "warning", text: licensed.warning });
  }
  if (proxy.enabled) {
    await tried("proxy_service", () =>
      operatorPair({ key: proxy.https_key_file, cert: proxy.https_cert_file }, clock),
    );
    const { enabled, kubeconfig_file } = proxy.kubernetes;
    if (enabled && kubeconfig_file !== undefined)
      await tried("proxy_service.kubernetes.kubeconfig_file", () => readable(kubeconfig_file));
  }
  for (const [i, { name, command }] of (node.enabled ? node.commands : []).entries()) {
    const [program = ""] = command;
    const why = await unfitProgram(program);
    if (why)
      found.push({
        kind: "warning",
        text: `ssh_service.commands.${i}: ${JSON.stringify(program)} of the label ${JSON.stringify(name)} ${why}`,
      });
  }
  return found;
}

const machine = (message: string): Fault => new Fault("access_denied", message);

async function readable(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (err) {
    throw machine(`cannot read ${path}: ${reason(err)}`);
  }
}

/** A secret's file, without its content in any message. */
async function readableSecret(source: SecretSource): Promise<void> {
  if (!("file" in source)) return;
  if ((await readable(source.file)).trim() === "") throw machine(`${source.file} is empty`);
}

/** A folder that is there and may be written to, or can be made. */
async function writableFolder(path: string): Promise<void> {
  const found = await stat(path).catch((err: unknown) => err as NodeJS.ErrnoException);
  if (found instanceof Error) {
    if (found.code === "ENOENT" && dirname(path) !== path) return await writableFolder(dirname(path));
    throw machine(`cannot use ${path}: ${reason(found)}`);
  }
  if (!found.isDirectory()) throw machine(`${path} is a file where a folder should be`);
  await access(path, constants.W_OK | constants.X_OK).catch((err: unknown) => {
    throw machine(`this user may not write into ${path}: ${reason(err)}`);
  });
}

/** A file that may be written to, or made in a folder that is there. */
async function writableFile(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory()) throw machine(`${path} is a folder where a file should be`);
  const target = found ? path : dirname(path);
  await access(target, constants.W_OK).catch((err: unknown) => {
    const gone = (err as NodeJS.ErrnoException).code === "ENOENT";
    throw machine(`cannot write ${path}: ${gone ? "its folder is not there" : reason(err)}`);
  });
}

/** Why a label's command could not be run; a bare name is looked for in PATH by who runs it. */
async function unfitProgram(program: string): Promise<string | undefined> {
  if (!program.startsWith("/")) return undefined;
  const found = await stat(program).catch(() => undefined);
  if (!found) return "is not there";
  const runs =
    found.isFile() &&
    (await access(program, constants.X_OK).then(
      () => true,
      () => false,
    ));
  return runs ? undefined : "is no program that this user may run";
}

function reason(err: unknown): string {
  const { code, message } = err as NodeJS.ErrnoException;
  const known: Readonly<Record<string, string>> = {
    ENOENT: "it is not there",
    ENOTDIR: "a file is where a folder should be",
    EACCES: "this user may not",
    EPERM: "this user may not",
    EROFS: "the file system is read-only",
    EISDIR: "it is a folder",
  };
  return known[code ?? ""] ?? message;
}
