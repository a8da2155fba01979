// A login in one file, for programs (TSH-55): what `tsh login --out` and `tctl auth sign --user` write and `tsh -i` reads.
import { X509Certificate } from "node:crypto";
import { open } from "node:fs/promises";
import { Fault } from "#core/errors";
import { readIssuer, readSubject } from "#pki";
import {
  formatPrivateKey,
  formatPublicKeyLine,
  type PrivateKey,
  type PublicKey,
  parsePrivateKey,
  parsePublicKeyLine,
  sameKey,
} from "#ssh/keys";
import { writeWhole } from "./files.ts";
import { type Credentials, type HostAuthority, isClusterName, knownHostsText, signerOf } from "./keystore.ts";

/** What a file says of a login. */
export interface Identity {
  readonly credentials: Credentials;
  /** The cluster that the user is of. */
  readonly cluster: string;
}

/** The text of an identity file. Only files with mode 0600 may hold it. Throws `access_denied` without an allowed login. */
export function formatIdentity(credentials: Credentials): string {
  const { key, tls, tlsAuthorities, hostAuthorities } = credentials;
  const { publicKey } = signerOf(credentials);
  const own = tls && readIssuer(tls.cert);
  // Without a TLS part a reader takes the cluster of the first line for the user's own.
  const authorities = hostAuthorities.toSorted(
    (a, b) => Number(b.cluster === own) - Number(a.cluster === own),
  );
  return [
    formatPrivateKey(key),
    `${formatPublicKeyLine({ key: publicKey })}\n`,
    ...authorities.map(
      (ca) =>
        `@cert-authority *.${ca.cluster} ${formatPublicKeyLine({ key: ca.key, comment: "type=host" })}\n`,
    ),
    ...(tls ? [withEnd(tls.key), withEnd(tls.cert), ...tlsAuthorities.map(withEnd)] : []),
  ].join("");
}

/** As OpenSSH takes it: a private key, and beside it what certifies it. Throws `access_denied` without an allowed login. */
export function formatPair(credentials: Credentials): { key: string; certificate: string } {
  const { publicKey } = signerOf(credentials);
  return {
    key: formatPrivateKey(credentials.key),
    certificate: `${formatPublicKeyLine({ key: publicKey })}\n`,
  };
}

/**
 * What OpenSSH wants in files of their own, for who uses the identity file at `path` as its key: the certificate in `FILE-cert.pub`,
 * and whom to trust in `FILE-known_hosts`. Answers the path of the latter.
 */
export async function writeForOpenSsh(path: string, { credentials, cluster }: Identity): Promise<string> {
  const knownHosts = `${path}-known_hosts`;
  try {
    await writeWhole(`${path}-cert.pub`, formatPair(credentials).certificate, 0o600);
    await writeWhole(knownHosts, knownHostsText(cluster, credentials.hostAuthorities), 0o600);
  } catch (cause) {
    if (cause instanceof Fault) throw cause;
    const why = (cause as Error).message;
    throw new Fault("access_denied", `cannot write beside ${path}, where OpenSSH looks: ${why}`, { cause });
  }
  return knownHosts;
}

const withEnd = (text: string): string => (text.endsWith("\n") ? text : `${text}\n`);

const sizeLimit = 1024 * 1024; // bytes

/**
 * Reads an identity file, with the certificate from `FILE-cert.pub` when there is none inside. Throws `not_found` and
 * `access_denied` for a file that is not there or may not be read, `access_denied` for one that other users can read, as ssh does,
 * and `bad_parameter` for what is no identity.
 */
export async function readIdentity(path: string, uid: number): Promise<Identity> {
  const { text, mode, owner } = await readSmall(path);
  if (owner === uid && (mode & 0o077) !== 0) {
    const octal = (mode & 0o777).toString(8).padStart(4, "0");
    throw new Fault(
      "access_denied",
      `other users can read the private key in ${path} (its mode is ${octal}); make it yours alone: chmod 600 ${path}`,
    );
  }
  const beside = `${path}-cert.pub`;
  return parseIdentity(text, path, async () => {
    try {
      return { text: (await readSmall(beside)).text, path: beside };
    } catch (err) {
      if (Fault.is(err, "not_found")) return undefined;
      throw err;
    }
  });
}

async function readSmall(path: string): Promise<{ text: string; mode: number; owner: number }> {
  try {
    await using file = await open(path, "r");
    // Of what was opened: at the path there may be another by now.
    const stat = await file.stat();
    if (stat.isDirectory()) throw new Fault("bad_parameter", `${path} is a folder, not an identity file`);
    const chunks: Uint8Array[] = [];
    let size = 0;
    // Also of a pipe, which has no size.
    while (size <= sizeLimit) {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(65_536));
      if (bytesRead === 0) break;
      chunks.push(buffer.subarray(0, bytesRead));
      size += bytesRead;
    }
    if (size > sizeLimit) throw new Fault("bad_parameter", `${path} is far too large for an identity file`);
    return { text: Buffer.concat(chunks).toString(), mode: stat.mode, owner: stat.uid };
  } catch (cause) {
    if (cause instanceof Fault) throw cause;
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT") throw new Fault("not_found", `there is no file ${path}`, { cause });
    throw new Fault("access_denied", `cannot read ${path}: ${message}`, { cause });
  }
}

/**
 * The identity in a text, its blocks in any order. `beside` brings what lies in another file when there is no certificate in this
 * one. Throws `bad_parameter`, in a sentence with `path` in it, for anything else than a whole identity.
 */
export async function parseIdentity(
  text: string,
  path: string,
  beside: () => Promise<{ text: string; path: string } | undefined> = async () => undefined,
): Promise<Identity> {
  const wrong = (why: string, cause?: unknown): Fault =>
    new Fault("bad_parameter", `${path} is no identity that can be used: ${why}`, { cause });
  const { keys, certificates, authorities, x509 } = blocksOf(text, wrong);
  if (keys.length === 0) throw wrong("there is no private key in it");
  if (certificates.length === 0) {
    const other = await beside();
    if (!other) throw wrong(`there is no certificate in it, and no file ${path}-cert.pub`);
    const away = (why: string, cause?: unknown): Fault =>
      new Fault("bad_parameter", `${other.path} is not the certificate of ${path}: ${why}`, { cause });
    certificates.push(...blocksOf(other.text, away).certificates);
    if (certificates.length === 0) throw away("there is no certificate in it");
  }
  const [certificate, ...others] = certificates as [PublicKey, ...PublicKey[]];
  if (others.length > 0) throw wrong("there are several certificates in it");
  const said = certificate.certificate;
  if (said?.type !== "user") throw wrong("its certificate is not one of a user");
  const key = keys.find(({ publicKey }) => sameKey(publicKey, said.key));
  if (!key) throw wrong("its certificate is for another key");
  const [first] = authorities;
  if (!first) {
    throw wrong(
      "it has no @cert-authority lines, so no host could be told from an impostor; make one with --format=file",
    );
  }
  const tls = tlsOf(keys, key, x509, wrong);
  if (tls && readSubject(tls.cert).commonName !== said.keyId)
    throw wrong("its two certificates are not of the same user");
  const cluster = (tls && readIssuer(tls.cert)) ?? first.cluster;
  if (authorities.every((ca) => ca.cluster !== cluster))
    throw wrong(`it has no @cert-authority line of the user's own cluster ${JSON.stringify(cluster)}`);
  return {
    cluster,
    credentials: {
      user: said.keyId,
      key,
      certificate,
      tls: tls && { cert: tls.cert, key: tls.key },
      tlsAuthorities: x509.filter((cert) => cert.ca).map(pemOf),
      hostAuthorities: authorities,
      hostKeys: [],
    },
  };
}

type Wrong = (why: string, cause?: unknown) => Fault;

interface Blocks {
  readonly keys: PrivateKey[];
  /** Those of OpenSSH. */
  readonly certificates: PublicKey[];
  readonly authorities: HostAuthority[];
  readonly x509: X509Certificate[];
}

/** What the lines say; each is of one of the kinds, or blank, or a comment. */
function blocksOf(text: string, wrong: Wrong): Blocks {
  const found: Blocks = { keys: [], certificates: [], authorities: [], x509: [] };
  const lines = text.split(/\r?\n/);
  for (let at = 0; at < lines.length; at++) {
    const line = (lines[at] as string).trim();
    const number = at + 1;
    const attempt = <T>(what: string, read: () => T): T => {
      try {
        return read();
      } catch (cause) {
        const why = cause instanceof Fault ? cause.message : "it is damaged";
        throw wrong(`the ${what} at line ${number} cannot be read: ${why}`, cause);
      }
    };
    if (line === "" || line.startsWith("#")) continue;
    const label = /^-----BEGIN ([A-Z0-9 ]+)-----$/.exec(line)?.[1];
    if (label !== undefined) {
      const end = lines.findIndex((one, i) => i > at && one.trim() === `-----END ${label}-----`);
      if (end < 0) throw wrong(`it breaks off in the block that begins at line ${number}`);
      const block = `${lines
        .slice(at, end + 1)
        .map((one) => one.trim())
        .join("\n")}\n`;
      if (label === "CERTIFICATE") found.x509.push(attempt("certificate", () => new X509Certificate(block)));
      else if (label.endsWith("PRIVATE KEY"))
        found.keys.push(attempt("private key", () => parsePrivateKey(block).key));
      else throw wrong(`line ${number} begins a block ${JSON.stringify(label)}, which has no place in it`);
      at = end;
    } else if (line.startsWith("@cert-authority")) {
      found.authorities.push(...attempt("@cert-authority line", () => authoritiesOf(line)));
    } else {
      const key = attempt("certificate", () => parsePublicKeyLine(line).key);
      if (!key.certificate) throw wrong(`line ${number} is a public key without a certificate`);
      found.certificates.push(key);
    }
  }
  return found;
}

/** `@cert-authority *.CLUSTER[,NAME...] TYPE BASE64 [COMMENT]`: further names are those of proxies, and say nothing of a cluster. */
function authoritiesOf(line: string): HostAuthority[] {
  const [, names = "", rest = ""] = /^@cert-authority[ \t]+(\S+)[ \t]+(.+)$/.exec(line) ?? [];
  const { key, options } = parsePublicKeyLine(rest);
  const clusters = names.split(",").flatMap((name) => (name.startsWith("*.") ? [name.slice(2)] : []));
  if (clusters.length === 0 || !clusters.every(isClusterName) || key.certificate || options.size > 0)
    throw new Fault("bad_parameter", "it is not @cert-authority *.CLUSTER and a plain key");
  return clusters.map((cluster) => ({ cluster, key }));
}

/** The X.509 certificate of one of the keys, which may be the SSH key too. Undefined when there is no TLS part. */
function tlsOf(
  keys: readonly PrivateKey[],
  sshKey: PrivateKey,
  x509: readonly X509Certificate[],
  wrong: Wrong,
): { cert: string; key: string } | undefined {
  const [leaf, ...others] = x509.filter((cert) => !cert.ca);
  if (others.length > 0) throw wrong("there are several TLS certificates in it");
  if (!leaf) {
    if (keys.length > 1) throw wrong("it has a key for TLS without a certificate");
    return undefined;
  }
  // First those that are nothing else.
  const key = [...keys.filter((one) => one !== sshKey), sshKey].find((one) =>
    leaf.checkPrivateKey(one.reveal()),
  );
  if (!key) throw wrong("its TLS certificate is for another key");
  return { cert: pemOf(leaf), key: key.reveal().export({ type: "pkcs8", format: "pem" }).toString() };
}

const pemOf = (cert: X509Certificate): string => withEnd(cert.toString());
