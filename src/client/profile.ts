import { mkdir, readdir, readFile, readlink, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { Fault } from "#core/errors";
import { isHost } from "./address.ts";
import { writeWhole } from "./files.ts";

/** What `~/.tsh/<proxy host>.yaml` remembers of a proxy (TSH-51). Addresses are `host:port`. */
export interface Profile {
  readonly webProxyAddr: string;
  readonly sshProxyAddr: string;
  readonly user: string;
  readonly authType: string;
  /** The cluster that commands act on without `--cluster`. */
  readonly cluster: string;
}

const keys = {
  webProxyAddr: "web_proxy_addr",
  sshProxyAddr: "ssh_proxy_addr",
  user: "user",
  authType: "auth_type",
  cluster: "cluster",
} as const satisfies Record<keyof Profile, string>;

/** The host part of a profile's web address: names its file and its keys' folder. */
export const proxyHost = (profile: Pick<Profile, "webProxyAddr">): string =>
  profile.webProxyAddr.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");

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
    let text: string;
    try {
      text = await readFile(this.#path(name), "utf8");
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw err;
    }
    return this.#parse(text, name);
  }

  /** The proxy host that was logged in to last. */
  async currentHost(): Promise<string | undefined> {
    try {
      return (await readlink(join(this.#home, "profile"))).replace(/\.yaml$/, "");
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw err;
    }
  }

  /** Every profile, the current one first. */
  async all(): Promise<readonly Profile[]> {
    const current = await this.currentHost();
    const names = (await readdir(this.#home).catch(() => [] as string[]))
      .filter((name) => name.endsWith(".yaml"))
      .map((name) => name.slice(0, -".yaml".length))
      .sort((a, b) => Number(b === current) - Number(a === current) || a.localeCompare(b));
    const profiles = await Promise.all(names.map((name) => this.read(name)));
    return profiles.filter((profile) => profile !== undefined);
  }

  /** Keeps the profile and makes it the current one. */
  async write(profile: Profile): Promise<void> {
    const { stringify } = await import("yaml");
    await mkdir(this.#home, { recursive: true, mode: 0o700 });
    const host = proxyHost(profile);
    const fields = Object.fromEntries(
      Object.entries(keys).map(([own, key]) => [key, profile[own as keyof Profile]]),
    );
    await writeWhole(this.#path(host), stringify(fields, { version: "1.1" }), 0o640);
    const link = join(this.#home, "profile");
    await rm(link, { force: true });
    await symlink(`${host}.yaml`, link);
  }

  /** Forgets the profile of a proxy host; when it was the current one there is none. */
  async remove(host: string): Promise<void> {
    if ((await this.currentHost()) === host) await rm(join(this.#home, "profile"), { force: true });
    await rm(this.#path(host), { force: true });
  }

  #path(host: string): string {
    return join(this.#home, `${host}.yaml`);
  }

  async #parse(text: string, name: string): Promise<Profile> {
    const { parse } = await import("yaml");
    const path = this.#path(name);
    let fields: unknown;
    try {
      fields = parse(text, { schema: "failsafe" });
    } catch (cause) {
      throw new Fault("bad_parameter", `the profile ${path} cannot be read; remove it and log in again`, {
        cause,
      });
    }
    const said = (typeof fields === "object" && fields !== null ? fields : {}) as Record<string, unknown>;
    const field = (key: keyof Profile): string => {
      const value = Object.hasOwn(said, keys[key]) ? said[keys[key]] : undefined;
      return typeof value === "string" ? value : "";
    };
    const profile = {
      webProxyAddr: field("webProxyAddr"),
      sshProxyAddr: field("sshProxyAddr"),
      user: field("user"),
      authType: field("authType"),
      cluster: field("cluster"),
    };
    if (profile.webProxyAddr === "" || profile.user === "") {
      throw new Fault(
        "bad_parameter",
        `the profile ${path} names no proxy or user; remove it and log in again`,
      );
    }
    return profile;
  }
}
