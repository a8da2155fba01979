import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Millis } from "#core/clock";
import { Fault } from "#core/errors";
import {
  type Certificate,
  formatPrivateKey,
  formatPublicKeyLine,
  type PrivateKey,
  type PublicKey,
  parsePrivateKey,
  parsePublicKeyLine,
  type Signer,
} from "#ssh/keys";
import { isHost } from "./address.ts";
import { writeWhole } from "./files.ts";

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
  /** Host CA keys by cluster, authorized_keys form. */
  readonly hostAuthorities: readonly HostAuthority[];
}
export interface HostAuthority {
  readonly cluster: string;
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

export const certificateOf = (credentials: Credentials): Certificate | undefined =>
  credentials.certificate?.certificate;

/** When the login is over. */
export const expiryOf = (certificate: Certificate): Millis => Number(certificate.validBefore) * 1000;

/** `~/.tsh/keys` and `~/.tsh/known_hosts` (TSH-50). */
export class Keystore {
  readonly #home: string;
  constructor(home: string) {
    this.#home = home;
  }

  /** Where OpenSSH finds the key: `IdentityFile` (TSH-56). */
  keyPath(proxy: string, user: string): string {
    if (!isHost(proxy) || !/^[^/\p{Cc}]{1,255}$/u.test(user) || user.startsWith(".")) {
      throw new Fault(
        "bad_parameter",
        `${JSON.stringify(`${user}@${proxy}`)} cannot be kept: not a plain name`,
      );
    }
    return join(this.#home, "keys", proxy, user);
  }

  async save(proxy: string, credentials: Credentials): Promise<void> {
    const path = this.keyPath(proxy, credentials.user);
    for (const part of ["", "keys", join("keys", proxy)]) {
      await mkdir(join(this.#home, part), { recursive: true, mode: 0o700 });
    }
    const { key, certificate, tls } = credentials;
    await writeWhole(path, formatPrivateKey(key), 0o600);
    await writeWhole(`${path}.pub`, `${formatPublicKeyLine({ key: key.publicKey })}\n`, 0o600);
    if (certificate)
      await writeWhole(`${path}-cert.pub`, `${formatPublicKeyLine({ key: certificate })}\n`, 0o600);
    else await rm(`${path}-cert.pub`, { force: true });
    if (tls) {
      await writeWhole(`${path}-x509.pem`, tls.cert, 0o600);
      await writeWhole(`${path}-x509-key.pem`, tls.key, 0o600);
    }
    await writeWhole(
      join(this.#home, "keys", proxy, "certs.pem"),
      credentials.tlsAuthorities.join(""),
      0o600,
    );
    await this.#learn(credentials.hostAuthorities);
  }

  /** Undefined when nobody is logged in there under this name. */
  async load(proxy: string, user: string): Promise<Credentials | undefined> {
    const path = this.keyPath(proxy, user);
    const optional = (name: string): Promise<string | undefined> =>
      readFile(name, "utf8").catch((err: NodeJS.ErrnoException) => {
        if (err.code === "ENOENT") return undefined;
        throw new Fault("access_denied", `cannot read ${name}: ${err.message}`, { cause: err });
      });
    const [key, cert, tlsCert, tlsKey, authorities, known] = await Promise.all([
      optional(path),
      optional(`${path}-cert.pub`),
      optional(`${path}-x509.pem`),
      optional(`${path}-x509-key.pem`),
      optional(join(this.#home, "keys", proxy, "certs.pem")),
      optional(this.#knownHosts),
    ]);
    if (key === undefined) return undefined;
    return {
      user,
      key: parsePrivateKey(key).key,
      certificate: cert === undefined ? undefined : parsePublicKeyLine(cert).key,
      tls: tlsCert !== undefined && tlsKey !== undefined ? { cert: tlsCert, key: tlsKey } : undefined,
      tlsAuthorities: splitPem(authorities ?? ""),
      hostAuthorities: readAuthorities(known ?? ""),
    };
  }

  async remove(proxy: string, user: string): Promise<boolean> {
    const path = this.keyPath(proxy, user);
    const there = await readFile(path).then(
      () => true,
      () => false,
    );
    for (const suffix of ["", ".pub", "-cert.pub", "-x509.pem", "-x509-key.pem"]) {
      await rm(path + suffix, { force: true });
    }
    return there;
  }

  /** Forgets everything that was learnt of clusters. */
  async removeAll(): Promise<void> {
    await rm(join(this.#home, "keys"), { recursive: true, force: true });
    await rm(this.#knownHosts, { force: true });
  }

  get #knownHosts(): string {
    return join(this.#home, "known_hosts");
  }

  /** Rewrites `known_hosts` with what a login told: its clusters' keys replace the ones of before (TSH-59). */
  async #learn(authorities: readonly HostAuthority[]): Promise<void> {
    const told = new Set(authorities.map(({ cluster }) => cluster));
    const before = await readFile(this.#knownHosts, "utf8").catch(() => "");
    const kept = readAuthorities(before).filter(({ cluster }) => !told.has(cluster));
    const lines = [...kept, ...authorities].map(
      ({ cluster, key }) => `${cluster} ${formatPublicKeyLine({ key })}\n`,
    );
    await writeWhole(this.#knownHosts, [...new Set(lines)].join(""), 0o600);
  }
}

/** Lines `<cluster> <key>`; what cannot be read is left out, as nothing is trusted by it. */
function readAuthorities(text: string): HostAuthority[] {
  return text.split("\n").flatMap((line) => {
    const [, cluster, rest] = /^([^\s#@]\S*)\s+(.+)$/.exec(line.trim()) ?? [];
    if (cluster === undefined || rest === undefined) return [];
    try {
      return [{ cluster, key: parsePublicKeyLine(rest).key }];
    } catch (err) {
      if (err instanceof Fault) return [];
      throw err;
    }
  });
}

/** The certificates of a PEM file, one text each. */
export const splitPem = (text: string): string[] =>
  [...text.matchAll(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g)].map(([pem]) => `${pem}\n`);
