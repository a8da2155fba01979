import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { anyProxy } from "#contract/names";
import type { Millis } from "#core/clock";
import { Fault } from "#core/errors";
import { readSubject, validity } from "#pki";
import {
  formatPrivateKey,
  formatPublicKeyLine,
  type PrivateKey,
  type PublicKey,
  parsePrivateKey,
  parsePublicKeyLine,
  type Signer,
  sameKey,
} from "#ssh/keys";
import { isHost } from "./address.ts";
import { privateFolder, writeWhole } from "./files.ts";

/** What a login brings: keys, the certificates over them, and whom to trust. */
export interface Credentials {
  readonly user: string;
  readonly key: PrivateKey;
  /** Absent for a user who may log in nowhere (OVW-19). */
  readonly certificate: PublicKey | undefined;
  /** PEM; absent in an identity made without it. */
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  /** PEM certificates of the host CAs, for TLS. */
  readonly tlsAuthorities: readonly string[];
  readonly hostAuthorities: readonly HostAuthority[];
  /** Hosts without certificates that the user took for what they say (TSH-25). */
  readonly hostKeys: readonly HostKey[];
}
/** A key by which a cluster certifies its hosts. */
export interface HostAuthority {
  readonly cluster: string;
  readonly key: PublicKey;
}

/** A plain host key; `host` is `name:port@cluster`. */
export interface HostKey {
  readonly host: string;
  readonly key: PublicKey;
}

/** The certificate as something that signs. Throws `access_denied` when there is none. */
export function signerOf(credentials: Credentials): Signer {
  if (!credentials.certificate) {
    throw new Fault(
      "access_denied",
      `${credentials.user} is allowed no login anywhere; ask an administrator for one`,
    );
  }
  return credentials.key.signer(credentials.certificate);
}

/** When the login is over. */
export function expiryOf({ certificate, tls }: Credentials): Millis {
  const ends = certificate?.certificate?.validBefore;
  if (ends !== undefined) return Number(ends) * 1000;
  return tls ? validity(tls.cert).notAfter : 0;
}

/** Whether the hosts of a cluster and its auth service can be told from impostors; of one that was just linked, only hosts may be. */
export const knowsCluster = (
  { tlsAuthorities, hostAuthorities }: Pick<Credentials, "tlsAuthorities" | "hostAuthorities">,
  name: string,
): boolean =>
  hostAuthorities.some(({ cluster }) => cluster === name) &&
  tlsAuthorities.some((pem) => readSubject(pem).commonName === name);

/** The roles that the login was given. */
export const rolesOf = ({ tls }: Credentials): readonly string[] =>
  tls ? (readSubject(tls.cert).organizations ?? []) : [];

/** `~/.tsh/keys` and `~/.tsh/known_hosts` (TSH-50). */
export class Keystore {
  readonly #home: string;
  constructor(home: string) {
    this.#home = home;
  }

  /** Where OpenSSH finds the key: `IdentityFile` (TSH-56). */
  keyPath(proxy: string, user: string): string {
    if (!isHost(proxy) || !isUserName(user)) {
      throw new Fault(
        "bad_parameter",
        `${JSON.stringify(`${user}@${proxy}`)} cannot be kept: not a plain name`,
      );
    }
    return join(this.#home, "keys", proxy, user);
  }

  async save(proxy: string, credentials: Credentials): Promise<void> {
    const path = this.keyPath(proxy, credentials.user);
    for (const part of ["", "keys", join("keys", proxy)]) await privateFolder(join(this.#home, part));
    const { key, certificate, tls } = credentials;
    await writeWhole(path, formatPrivateKey(key), 0o600);
    await writeWhole(`${path}.pub`, `${formatPublicKeyLine({ key: key.publicKey })}\n`, 0o600);
    if (certificate)
      await writeWhole(`${path}-cert.pub`, `${formatPublicKeyLine({ key: certificate })}\n`, 0o600);
    else await rm(`${path}-cert.pub`, { force: true });
    for (const [suffix, pem] of [
      ["-x509.pem", tls?.cert],
      ["-x509-key.pem", tls?.key],
    ] as const) {
      if (pem !== undefined) await writeWhole(path + suffix, pem, 0o600);
      else await rm(path + suffix, { force: true });
    }
    await writeWhole(
      join(this.#home, "keys", proxy, "certs.pem"),
      credentials.tlsAuthorities.join(""),
      0o600,
    );
    await this.#learn(credentials.hostAuthorities);
  }

  /**
   * Undefined when nobody is logged in there under this name, or what is there does not fit together. Throws
   * `access_denied` when it cannot be read.
   */
  async load(proxy: string, user: string): Promise<Credentials | undefined> {
    const path = this.keyPath(proxy, user);
    const [key, cert, tlsCert, tlsKey, authorities, known] = await Promise.all([
      readIfThere(path),
      readIfThere(`${path}-cert.pub`),
      readIfThere(`${path}-x509.pem`),
      readIfThere(`${path}-x509-key.pem`),
      readIfThere(join(this.#home, "keys", proxy, "certs.pem")),
      readIfThere(this.#knownHosts),
    ]);
    if (key === undefined) return undefined;
    const pair = readPair(key, cert);
    if (!pair) return undefined;
    return {
      user,
      ...pair,
      tls: tlsCert !== undefined && tlsKey !== undefined ? { cert: tlsCert, key: tlsKey } : undefined,
      tlsAuthorities: splitPem(authorities ?? ""),
      ...readKnown(known ?? ""),
    };
  }

  /** Whether there was something to remove. */
  async remove(proxy: string, user: string): Promise<boolean> {
    const path = this.keyPath(proxy, user);
    const there = (await readIfThere(path)) !== undefined;
    for (const suffix of ["", ".pub", "-cert.pub", "-x509.pem", "-x509-key.pem"]) {
      await rm(path + suffix, { force: true });
    }
    return there;
  }

  /** Forgets all keys, and everything that was learnt of clusters. */
  async removeAll(): Promise<void> {
    await rm(join(this.#home, "keys"), { recursive: true, force: true });
    await rm(this.#knownHosts, { force: true });
  }

  /**
   * Writes for OpenSSH by which keys the hosts of each cluster are certified, and the proxies of `rootCluster` under the
   * name that all of them have. Answers the path, a `UserKnownHostsFile`.
   */
  async writeKnownHosts(
    proxy: string,
    rootCluster: string,
    authorities: readonly HostAuthority[],
  ): Promise<string> {
    if (!isHost(proxy)) throw new Fault("bad_parameter", `${JSON.stringify(proxy)} is not a proxy's host`);
    const path = join(this.#home, "keys", proxy, "known_hosts");
    await writeWhole(path, knownHostsText(rootCluster, authorities), 0o600);
    return path;
  }

  /** The plain keys of hosts that were taken for good. */
  async trusted(): Promise<readonly HostKey[]> {
    return readKnown((await readIfThere(this.#knownHosts)) ?? "").hostKeys;
  }

  /**
   * Replaces what was known of the authorities of clusters, for `tsh` and for OpenSSH, where there is a login at this proxy. For a
   * rotation: what is trusted no more is forgotten too.
   */
  async relearn(
    proxy: string,
    rootCluster: string,
    { tlsAuthorities, hostAuthorities }: Pick<Credentials, "tlsAuthorities" | "hostAuthorities">,
  ): Promise<void> {
    const path = (name: string): string => join(this.#home, "keys", proxy, name);
    if (!isHost(proxy) || (await readIfThere(path("certs.pem"))) === undefined) return;
    await writeWhole(path("certs.pem"), tlsAuthorities.join(""), 0o600);
    await this.#learn(hostAuthorities);
    if ((await readIfThere(path("known_hosts"))) !== undefined)
      await this.writeKnownHosts(proxy, rootCluster, hostAuthorities);
  }

  /** Takes a host's plain key for good. */
  async trust(host: HostKey): Promise<void> {
    // With an identity file nobody may ever have logged in here.
    await privateFolder(this.#home);
    const { hostAuthorities, hostKeys } = readKnown((await readIfThere(this.#knownHosts)) ?? "");
    await this.#writeKnown(hostAuthorities, [...hostKeys, host]);
  }

  get #knownHosts(): string {
    return join(this.#home, "known_hosts");
  }

  /** Rewrites `known_hosts` with what a login told: its clusters' keys replace the ones of before (TSH-59). */
  async #learn(authorities: readonly HostAuthority[]): Promise<void> {
    const told = new Set(authorities.map(({ cluster }) => cluster));
    const { hostAuthorities, hostKeys } = readKnown((await readIfThere(this.#knownHosts)) ?? "");
    const kept = hostAuthorities.filter(({ cluster }) => !told.has(cluster));
    await this.#writeKnown([...kept, ...authorities], hostKeys);
  }

  async #writeKnown(authorities: readonly HostAuthority[], hosts: readonly HostKey[]): Promise<void> {
    const lines = [
      ...authorities.map(({ cluster, key }) => `${cluster} ${formatPublicKeyLine({ key })}\n`),
      ...hosts.map(({ host, key }) => `${host} ${formatPublicKeyLine({ key })}\n`),
    ];
    await writeWhole(this.#knownHosts, [...new Set(lines)].join(""), 0o600);
  }
}

/** What OpenSSH has to know of the hosts of each cluster, and of the proxies of `rootCluster` under the name that all of them have. */
export function knownHostsText(rootCluster: string, authorities: readonly HostAuthority[]): string {
  const lines = authorities.map(({ cluster, key }) => {
    const names = cluster === rootCluster ? `*.${cluster},${anyProxy}` : `*.${cluster}`;
    return `@cert-authority ${names} ${formatPublicKeyLine({ key })}\n`;
  });
  return [...new Set(lines)].join("");
}

/** Whether a user's name can name files, none of which is another user's or the folder's own. */
const isUserName = (user: string): boolean =>
  /^[^/\\\p{Cc}]{1,200}$/u.test(user) && !/^\.|\.(pub|pem)$|^known_hosts$/.test(user);

/** What can be a cluster's name in `known_hosts`: no pattern, no option, nothing that begins a host's line. */
export const isClusterName = (name: string): boolean => /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}$/.test(name);

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new Fault("access_denied", `cannot read ${path}: ${(err as Error).message}`, { cause: err });
  }
}

/** Undefined when one of the two is damaged, or the certificate is of another key: a login broke off. */
function readPair(
  key: string,
  cert: string | undefined,
): Pick<Credentials, "key" | "certificate"> | undefined {
  try {
    const pair = {
      key: parsePrivateKey(key).key,
      certificate: cert === undefined ? undefined : parsePublicKeyLine(cert).key,
    };
    const certified = pair.certificate?.certificate?.key;
    if (pair.certificate && !(certified && sameKey(certified, pair.key.publicKey))) return undefined;
    return pair;
  } catch (err) {
    if (err instanceof Fault) return undefined;
    throw err;
  }
}

/** Lines `<cluster> <key>` and `<host>:<port>@<cluster> <key>`; by what cannot be read nothing is trusted. */
function readKnown(text: string): { hostAuthorities: HostAuthority[]; hostKeys: HostKey[] } {
  const hostAuthorities: HostAuthority[] = [];
  const hostKeys: HostKey[] = [];
  for (const line of text.split("\n")) {
    const [, name, rest] = /^(\S+)\s+(.+)$/.exec(line.trim()) ?? [];
    if (name === undefined || rest === undefined) continue;
    const key = plainKey(rest);
    if (!key) continue;
    if (isClusterName(name)) hostAuthorities.push({ cluster: name, key });
    else if (/^[^@]+:\d+@[^@]+$/.test(name)) hostKeys.push({ host: name, key });
  }
  return { hostAuthorities, hostKeys };
}

function plainKey(line: string): PublicKey | undefined {
  try {
    const { key, options } = parsePublicKeyLine(line);
    return key.certificate || options.size > 0 ? undefined : key;
  } catch (err) {
    if (err instanceof Fault) return undefined;
    throw err;
  }
}

/** The certificates of a PEM file, one text each. */
const splitPem = (text: string): string[] =>
  [...text.matchAll(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g)].map(([pem]) => `${pem}\n`);
