import { isIP } from "node:net";
import type { IssuedCerts } from "#contract/auth";
import { day, type Millis } from "#core/clock";
import { formatDuration } from "#core/duration";
import { Fault } from "#core/errors";
import { type Caller, type CertAuthority, lockOf } from "#model";
import { readSerial, validity } from "#pki";
import {
  type Certificate,
  fingerprint,
  formatPublicKeyLine,
  issueCertificate,
  noExpiry,
  parsePublicKeyLine,
} from "#ssh/keys";
import { accessOfUser, accountEnd } from "../access/person.ts";
import { record } from "../audit.ts";
import { signingAuthority } from "../authorities/authorities.ts";
import { type Parts, rfc3339 } from "../parts.ts";
import { backdating, issueUserCerts, readSshKey, seconds } from "./issue-user.ts";
import { counted, serialNumber } from "./issuing.ts";

/** As long as a CA's own certificate: what is signed for longer would outlive who vouches for it. */
const longestTtl: Millis = 3652 * day;

interface UserSigning {
  readonly user: string;
  readonly pub_key?: string | undefined;
  readonly tls_pub_key?: string | undefined;
  readonly ttl: Millis;
  readonly compatibility: "" | "standard" | "oldssh";
}

/**
 * Certificates of an account for a program to use (TCT-53): its logins, roles and traits of now, for as long as is asked, but not
 * for longer than the account is there. Throws `not_found` without such an account, `access_denied` when it is locked by an
 * administrator or over, `bad_parameter` for keys and times that make no sense. Audited either way.
 */
export function signUser(parts: Parts, request: UserSigning, by: Asker): Promise<IssuedCerts> {
  const about: Signing = { ...askedBy(by), kind: "user", account: request.user, names: [] };
  return audited(parts, about, async () => {
    checkTtl(request.ttl);
    if (request.pub_key === undefined && request.tls_pub_key === undefined)
      throw new Fault("bad_parameter", "no key was sent to be certified");
    const user = await parts.store.users.get(request.user);
    if (lockOf(user, parts.clock.now()) === "administrator")
      throw new Fault("access_denied", `the account ${request.user} is locked; unlock it first`);
    const access = await accessOfUser(parts, user);
    about.names = [...access.logins];
    return issueUserCerts(parts, {
      access,
      traits: user.spec.traits,
      pub_key: request.pub_key,
      tls_pub_key: request.tls_pub_key,
      ttl: request.ttl,
      sources: undefined,
      uncut: true,
      compatibility: request.compatibility,
      notAfter: accountEnd(user),
    });
  });
}

interface HostSigning {
  readonly names: readonly string[];
  /** Base64 of an authorized_keys line. */
  readonly pub_key: string;
  readonly ttl?: Millis | undefined;
}

/**
 * A certificate for an SSH server that is no member of the cluster, under exactly `names` (TCT-52). Throws `bad_parameter` for
 * names and keys we do not certify, `access_denied` for names that members are known by. Audited either way.
 */
export function signHost(parts: Parts, request: HostSigning, by: Asker): Promise<{ cert: string }> {
  const about: Signing = { ...askedBy(by), kind: "host", names: [...request.names] };
  return audited(parts, about, async () => {
    checkHostNames(request.names);
    if (request.ttl !== undefined) checkTtl(request.ttl);
    return { cert: formatPublicKeyLine({ key: await issueForHost(parts, request) }) };
  });
}

const issueForHost = counted(async (parts: Parts, { names, pub_key, ttl }: HostSigning) => {
  const ca = await signingAuthority(parts, "host");
  const now = parts.clock.now();
  return issueCertificate(
    {
      key: readSshKey(pub_key),
      type: "host",
      keyId: `${names[0]}.${parts.clusterName}`,
      serial: serialNumber(),
      principals: names,
      validAfter: seconds(now - backdating),
      validBefore: ttl === undefined ? noExpiry : seconds(now + ttl),
      // No proxy and no auth server, whatever its names say.
      extensions: new Map([
        ["x-teleport-role", "Node"],
        ["x-teleport-authority", parts.clusterName],
      ]),
    },
    ca.ssh,
  );
});

/** What a client may type to reach a host, and no name by which members are told apart. */
function checkHostNames(names: readonly string[]): void {
  if (names.length === 0) throw new Fault("bad_parameter", "a host certificate needs a name at least");
  for (const name of names) {
    const shown = JSON.stringify(name);
    // An empty name, `*`, a comma, a blank and letters that look like others mean something else to some checkers.
    if (isIP(name) === 0 && !/^(?![-.])[A-Za-z0-9_.-]{1,255}$/.test(name))
      throw new Fault("bad_parameter", `${shown} is not one host's name or address`);
    if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(\.|$)/i.test(name))
      throw new Fault("access_denied", `${shown} is a host id, which only that host is certified for`);
    if (/(^|\.)teleport\.cluster\.local\.?$/i.test(name))
      throw new Fault("access_denied", `${shown} is kept for the cluster's own servers`);
  }
  const [twice] = names.filter((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new Fault("bad_parameter", `${JSON.stringify(twice)} is named twice`);
}

function checkTtl(ttl: Millis): void {
  if (ttl > longestTtl)
    throw new Fault("bad_parameter", `a certificate lives ten years at most, ${longestTtl / day} days`);
}

/** Whoever asks, and from where. */
type Asker = Pick<Caller, "name" | "from">;
const askedBy = ({ name, from }: Asker) => ({ user: name, ...(from && { "addr.remote": from }) });

interface Signing extends ReturnType<typeof askedBy> {
  readonly kind: "user" | "host";
  readonly account?: string;
  names: string[];
}

interface Certs {
  readonly cert?: string | undefined;
  readonly tls_cert?: string | undefined;
}

async function audited<C extends Certs>(parts: Parts, about: Signing, work: () => Promise<C>): Promise<C> {
  try {
    const certs = await work();
    await record(parts, { code: "T4160I", ...about, ...factsOf(certs) });
    return certs;
  } catch (err) {
    const error = err instanceof Fault ? err.message : "internal error";
    await record(parts, { code: "T4160W", ...about, success: false, error });
    throw err;
  }
}

/** How the certificates can be known again, and when they end. */
function factsOf({ cert, tls_cert }: Certs) {
  const { certificate } = cert === undefined ? {} : parsePublicKeyLine(cert).key;
  const life = certificate ? lifeOf(certificate) : tls_cert === undefined ? undefined : validity(tls_cert);
  return {
    ...(certificate && {
      fingerprint: fingerprint(certificate.key),
      serial: String(certificate.serial),
    }),
    ...(tls_cert !== undefined && { tls_serial: readSerial(tls_cert) }),
    ...(life && {
      expires: rfc3339(life.notAfter),
      // Both ends are cut to whole seconds, so that their distance is what was asked for.
      ttl: formatDuration(life.notAfter - life.notBefore - backdating),
    }),
  };
}

/** Undefined when there is no end. */
function lifeOf({ validAfter, validBefore }: Certificate): ReturnType<typeof validity> | undefined {
  if (validBefore === noExpiry) return undefined;
  return { notBefore: Number(validAfter) * 1000, notAfter: Number(validBefore) * 1000 };
}

/** Keeps in the audit log that somebody was given the private keys of these authorities. */
export async function recordExport(
  parts: Parts,
  authorities: readonly CertAuthority[],
  by: Asker,
): Promise<void> {
  const keys = authorities.flatMap(({ spec }) =>
    spec.signing_keys ? spec.checking_keys.map((line) => parsePublicKeyLine(line).key) : [],
  );
  await record(parts, { code: "T4161W", ...askedBy(by), fingerprints: keys.map(fingerprint) });
}
