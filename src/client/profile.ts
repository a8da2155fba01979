import { lstat, readdir, readFile, readlink, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { Fault } from "#core/errors";
import { formatAddress } from "#net";
import { defaultPorts, isHost, type ProxyAddress } from "./address.ts";
import { privateFolder, writeWhole } from "./files.ts";

/** What `~/.tsh/<proxy host>.yaml` remembers of a proxy (TSH-51). Addresses are `host:port`. */
export interface Profile {
  readonly webProxyAddr: string;
  readonly sshProxyAddr: string;
  readonly user: string;
  /** How one logged in: `local`, or the name of a connector. */
  readonly authType: string;
  /** The cluster that commands act on without `--cluster`. */
  readonly cluster: string;
  /** The cluster of the proxy itself, whose auth server knows the user. */
  readonly rootCluster: string;
}

const keys = {
  webProxyAddr: "web_proxy_addr",
  sshProxyAddr: "ssh_proxy_addr",
  user: "user",
  authType: "auth_type",
  cluster: "cluster",
  rootCluster: "root_cluster",
} as const satisfies Record<keyof Profile, string>;

/** The host part of a profile's web address: names its file and its keys' folder. */
export const proxyHost = (profile: Pick<Profile, "webProxyAddr">): string =>
  profile.webProxyAddr.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");

/** The profile of a proxy that nobody logged in to here: the ports that were named, else the usual ones. */
export function profileAt(proxy: ProxyAddress, user: string, cluster: string): Profile {
  const { host, webPort = defaultPorts.web, sshPort = defaultPorts.ssh } = proxy;
  return {
    webProxyAddr: formatAddress({ host, port: webPort }),
    sshProxyAddr: formatAddress({ host, port: sshPort }),
    user,
    authType: "local",
    cluster,
    rootCluster: cluster,
  };
}

/** The profiles of one user's `~/.tsh`. */
export class Profiles {
  readonly #home: string;
  /** `home`: the `.tsh` folder itself. */
  constructor(home: string) {
    this.#home = home;
  }

  /** The profile of this proxy host, or the current one. Undefined when there is none. */
  async read(host?: string): Promise<Profile | undefined> {
    const name = host ?? (await this.currentHost());
    if (name === undefined || !isHost(name)) return undefined;
    const path = this.#path(name);
    let text: string;
    try {
      text = await readFile(path, "utf8");
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw new Fault("access_denied", `cannot read ${path}: ${(err as Error).message}`, { cause: err });
    }
    return profileIn(await fieldsOf(text, path), path);
  }

  /** The proxy host that was logged in to last. */
  async currentHost(): Promise<string | undefined> {
    try {
      return (await readlink(join(this.#home, "profile"))).replace(/\.yaml$/, "");
    } catch (err) {
      // EINVAL: something else than the link that we make.
      if (["ENOENT", "EINVAL"].includes((err as NodeJS.ErrnoException).code ?? "")) return undefined;
      throw err;
    }
  }

  /** Every profile, the current one first. */
  async all(): Promise<readonly Profile[]> {
    const current = await this.currentHost();
    const names = (await this.#hosts("file")).sort(
      (a, b) => Number(b === current) - Number(a === current) || a.localeCompare(b),
    );
    const profiles = await Promise.all(names.map((name) => this.read(name)));
    return profiles.filter((profile) => profile !== undefined);
  }

  /** Keeps the profile and makes it the current one. `typed`: the host by which the user knows the proxy (TSH-53). */
  async write(profile: Profile, typed?: string): Promise<void> {
    const { stringify } = await import("yaml");
    await privateFolder(this.#home);
    const host = proxyHost(profile);
    const fields = Object.fromEntries(
      Object.entries(keys).map(([own, key]) => [key, profile[own as keyof Profile]]),
    );
    const path = this.#path(host);
    // An alias of another proxy by this name would be written through.
    await rm(path, { force: true });
    await writeWhole(path, stringify(fields, { version: "1.1" }), 0o640);
    await this.#link("profile", host);
    if (typed !== undefined && typed !== host && isHost(typed)) await this.#link(`${typed}.yaml`, host);
  }

  /** Forgets the profile of a proxy host and its aliases; when it was the current one there is none. */
  async remove(host: string): Promise<void> {
    if ((await this.currentHost()) === host) await rm(join(this.#home, "profile"), { force: true });
    for (const alias of await this.#hosts("link")) {
      const path = this.#path(alias);
      if ((await readlink(path)) === `${host}.yaml`) await rm(path, { force: true });
    }
    await rm(this.#path(host), { force: true });
  }

  async #link(name: string, host: string): Promise<void> {
    const link = join(this.#home, name);
    await rm(link, { force: true });
    await symlink(`${host}.yaml`, link);
  }

  /** The hosts that have a file of their own, or a link to another's. */
  async #hosts(kind: "file" | "link"): Promise<string[]> {
    const names = (await readdir(this.#home).catch(() => [] as string[]))
      .filter((name) => name.endsWith(".yaml"))
      .map((name) => name.slice(0, -".yaml".length))
      .filter(isHost);
    const links = await Promise.all(
      names.map(async (name) => (await lstat(this.#path(name))).isSymbolicLink()),
    );
    return names.filter((_, i) => links[i] === (kind === "link"));
  }

  #path(host: string): string {
    if (!isHost(host)) throw new Fault("bad_parameter", `${JSON.stringify(host)} is not a proxy's host`);
    return join(this.#home, `${host}.yaml`);
  }
}

async function fieldsOf(text: string, path: string): Promise<Record<string, unknown>> {
  const plain = plainFields(text);
  if (plain) return plain;
  const { parse } = await import("yaml");
  try {
    const fields: unknown = parse(text, { schema: "failsafe" });
    return typeof fields === "object" && fields !== null ? (fields as Record<string, unknown>) : {};
  } catch (cause) {
    throw new Fault("bad_parameter", `the profile ${path} cannot be read; remove it and log in again`, {
      cause,
    });
  }
}

/**
 * The fields of YAML that has only lines `key: word`, as nearly every profile is. Undefined for any other text, which
 * needs the real reader: that one takes longer to load than a short command to run.
 */
export function plainFields(text: string): Record<string, string> | undefined {
  const fields: Record<string, string> = Object.create(null);
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const [, key, value] = /^([a-z_]+): ([A-Za-z0-9](?:[A-Za-z0-9@._:/-]*[A-Za-z0-9])?)$/.exec(line) ?? [];
    if (key === undefined || value === undefined || key in fields) return undefined;
    fields[key] = value;
  }
  return fields;
}

function profileIn(said: Record<string, unknown>, path: string): Profile {
  const field = (key: keyof Profile): string => {
    const value = Object.hasOwn(said, keys[key]) ? said[keys[key]] : undefined;
    return typeof value === "string" ? value : "";
  };
  const cluster = field("cluster");
  const profile = {
    webProxyAddr: field("webProxyAddr"),
    sshProxyAddr: field("sshProxyAddr"),
    user: field("user"),
    authType: field("authType"),
    cluster,
    rootCluster: field("rootCluster") || cluster,
  };
  if (!isHost(proxyHost(profile)) || profile.user === "") {
    throw new Fault(
      "bad_parameter",
      `the profile ${path} names no proxy or user; remove it and log in again`,
    );
  }
  return profile;
}
