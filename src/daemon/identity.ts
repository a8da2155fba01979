import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { HostCerts } from "#contract/auth";
import type { Clock, Millis } from "#core/clock";
import { minute, second } from "#core/clock";
import { Fault } from "#core/errors";
import type { Log } from "#core/log";
import type { Service } from "#core/service";
import { type CertAuthority, type ServedRotation, servedOf, signerIndex } from "#model";
import { issuedBy, makeTlsKey, validity } from "#pki";
import {
  formatPrivateKey,
  formatPublicKeyLine,
  generateKey,
  parsePrivateKey,
  parsePublicKeyLine,
  type Signer,
  sameKey,
} from "#ssh/keys";
import { writeWhole } from "./data-dir.ts";
import { followPlaced } from "./placed-authority.ts";

/** What a member keeps under `<data_dir>/proc/`, one file a role (OVW-31). The private keys never leave the host. */
const Stored = z.strictObject({
  format: z.literal(1),
  /** OpenSSH private key file. */
  ssh_key: z.string(),
  /** authorized_keys line of the host certificate. */
  ssh_cert: z.string(),
  tls_key: z.string(),
  tls_cert: z.string(),
  tls_ca_certs: z.array(z.string()).min(1),
  ssh_ca_certs: z.array(z.string()).min(1),
  /** What was asked for, to notice that a name or address has changed (AUTH-21). */
  asked: z.strictObject({
    node_name: z.string(),
    additional_principals: z.array(z.string()),
    dns_names: z.array(z.string()),
  }),
});
type Stored = z.output<typeof Stored>;
export type Asked = Stored["asked"];

/** A member's identity in use. */
export interface HostIdentity {
  /** SSH host certificate first, for those who know the CA; the plain key after it. */
  readonly signers: readonly Signer[];
  readonly tls: { readonly cert: string; readonly key: string };
  /** PEM certificates of the host CA. */
  readonly authorities: readonly string[];
  /** When it is to be renewed, and when it is over. */
  readonly renewAt: Millis;
  readonly expires: Millis;
}

/** Fetches certificates for two public keys: joins with a token, renews with the identity of now, or asks in-process. */
export type Certify = (
  keys: { public_ssh_key: string; public_tls_key: string } & Asked,
) => Promise<HostCerts>;

export type MemberRole = "Proxy" | "Node" | "Auth" | "Admin";

/** The host authority of the cluster as it is now, public part; undefined while that is not known. */
export interface AuthoritySource {
  authority(): CertAuthority | undefined;
  /** Calls back when it may have changed. */
  onChange(listener: () => void): unknown;
}

/** Keeps one role's identity: on disk, current, and renewed in time. */
export class IdentityKeeper implements Service {
  readonly name: string;
  readonly #role: MemberRole;
  readonly #dataDir: string;
  readonly #asked: Asked;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #first: Certify;
  readonly #renew: Certify;
  readonly #spread: Spread;
  readonly #listeners = new Set<(identity: HostIdentity) => void>();
  readonly #ofServed = new Set<() => void>();
  #stored: Stored;
  #identity: HostIdentity;
  #source: Pick<AuthoritySource, "authority"> | undefined;
  #served: ServedRotation | undefined;
  #wake = new AbortController();

  private constructor(parts: {
    role: MemberRole;
    dataDir: string;
    asked: Asked;
    clock: Clock;
    log: Log;
    first: Certify;
    renew: Certify;
    spread?: Spread | undefined;
    stored: Stored;
    renewAt?: Millis;
  }) {
    this.name = `${parts.role.toLowerCase()} identity`;
    this.#role = parts.role;
    this.#dataDir = parts.dataDir;
    this.#asked = parts.asked;
    this.#clock = parts.clock;
    this.#log = parts.log;
    this.#first = parts.first;
    this.#renew = parts.renew;
    this.#spread = parts.spread ?? (() => 0);
    this.#stored = parts.stored;
    const { renewAt } = parts;
    this.#identity = { ...open(parts.stored), ...(renewAt !== undefined && { renewAt }) };
  }

  /**
   * Takes the identity from disk when there is one that has not run out; else `first` gets certificates for new keys, and
   * they are kept. One that names other than what is asked now is renewed, or used as it is until that can be done.
   */
  static async open(parts: {
    dataDir: string;
    role: MemberRole;
    asked: Asked;
    /** PEM of the host CAs that count, where the caller knows them: an identity of another is not used. */
    authorities?: readonly string[];
    first: Certify;
    renew: Certify;
    /** How long to wait with what a rotation asks for, of so much time; absent: not at all. */
    spread?: Spread;
    clock: Clock;
    log: Log;
  }): Promise<IdentityKeeper> {
    const { role, asked, clock } = parts;
    const path = identityPath(parts.dataDir, role);
    await mkdir(join(parts.dataDir, "proc"), { recursive: true, mode: 0o700 });
    const stored = await readStored(path);
    // One that was cut off by a rotation knows by now that its certificate is of no authority that counts.
    const known = parts.authorities ?? stored?.tls_ca_certs ?? [];
    const usable =
      stored &&
      validity(stored.tls_cert).notAfter > clock.now() &&
      known.some((ca) => issuedBy(stored.tls_cert, ca));
    if (usable && JSON.stringify(stored.asked) === JSON.stringify(asked))
      return new IdentityKeeper({ ...parts, stored });
    try {
      // A member whose names have changed asks as the member it is.
      const fresh = await fetchIdentity(usable ? parts.renew : parts.first, asked);
      await writeWhole(path, JSON.stringify(fresh));
      return new IdentityKeeper({ ...parts, stored: fresh });
    } catch (err) {
      // It is a member all the same: the auth server may be away for long, and those who know the old names can go on.
      if (!usable || !(Fault.is(err, "unreachable") || Fault.is(err, "limit_exceeded"))) throw err;
      parts.log.warn("the new names of this host could not be certified yet, will try again", {
        error: err.message,
      });
      return new IdentityKeeper({ ...parts, stored, renewAt: clock.now() });
    }
  }

  get identity(): HostIdentity {
    return this.#identity;
  }

  /** Calls back with each new identity. */
  onRenewed(listener: (identity: HostIdentity) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Which phase of the host authority's rotation it serves: its certificates, and whom it trusts, are what that asks for. */
  get served(): ServedRotation | undefined {
    return this.#served;
  }

  /** Calls back when it serves another phase. */
  onServed(listener: () => void): void {
    this.#ofServed.add(listener);
  }

  /** From now on the identity follows the rotations of the host authority (ROT-09). */
  follow(source: AuthoritySource): void {
    this.#source = source;
    let before: CertAuthority | undefined;
    const look = (): void => {
      const now = source.authority();
      if (now === before) return;
      before = now;
      this.#wake.abort();
    };
    source.onChange(look);
    look();
  }

  async run(signal: AbortSignal, ready: () => void): Promise<void> {
    ready();
    // By the uptime: when it may be tried again what time asks for, and when the turn comes of what a rotation asks for.
    let again: Millis = Number.NEGATIVE_INFINITY;
    let turn: Millis | undefined;
    const left = (): Millis => {
      const [now, up] = [this.#clock.now(), this.#clock.uptime()];
      const byTime = Math.max(this.#identity.renewAt - now, again - up);
      return Math.min(byTime, (turn ?? Number.POSITIVE_INFINITY) - up);
    };
    while (!signal.aborted) {
      await this.#clock
        .sleep(Math.min(left(), maxSleep), AbortSignal.any([signal, this.#wake.signal]))
        .catch(() => {});
      if (signal.aborted) break;
      this.#wake = new AbortController();
      const up = this.#clock.uptime();
      try {
        const authority = this.#source?.authority();
        if (authority) await this.#trust(authority);
        if (!authority || isBy(this.#stored, authority, this.#role)) {
          turn = undefined;
          if (authority) this.#serves(authority);
        } else turn ??= up + this.#spread(timeFor(authority, this.#clock.now()));
        if (left() > 0) continue;
        await this.#fetch(authority);
        if (authority && isBy(this.#stored, authority, this.#role)) this.#serves(authority);
        turn = undefined;
        // Where the clocks differ by weeks a new one is due at once.
        again = up + minute;
      } catch (err) {
        this.#log.warn("identity could not be renewed, will try again", { error: (err as Error).message });
        again = up + (Fault.is(err, "limit_exceeded") ? nextTurn + this.#spread(nextTurn) : retryEvery);
        turn = again;
      }
    }
  }

  async #fetch(authority: CertAuthority | undefined): Promise<void> {
    // Nobody knows an expired member any more, nor one of an authority that was replaced: it joins as at its first start.
    const expired = this.#clock.now() >= this.#identity.expires;
    const fresh = await fetchIdentity(
      expired || (authority && isCutOff(this.#stored, authority)) ? this.#first : this.#renew,
      this.#asked,
    );
    await writeWhole(identityPath(this.#dataDir, this.#role), JSON.stringify(fresh));
    this.#stored = fresh;
    this.#identity = open(fresh);
    for (const listener of this.#listeners) listener(this.#identity);
    this.#log.info("identity renewed", { until: new Date(this.#identity.expires).toISOString() });
  }

  /** Takes over whom the cluster trusts: before the new authority signs anything, and no longer than the old one counts. */
  async #trust({ spec }: CertAuthority): Promise<void> {
    const tls_ca_certs = spec.tls_key_pairs.map(({ cert }) => cert);
    const ssh_ca_certs = spec.checking_keys;
    const before = this.#stored;
    if (String([tls_ca_certs, ssh_ca_certs]) === String([before.tls_ca_certs, before.ssh_ca_certs])) return;
    const stored: Stored = { ...before, tls_ca_certs, ssh_ca_certs };
    await writeWhole(identityPath(this.#dataDir, this.#role), JSON.stringify(stored));
    this.#stored = stored;
    this.#identity = { ...open(stored), renewAt: this.#identity.renewAt };
    await followPlaced(this.#dataDir, { before: before.tls_ca_certs, now: tls_ca_certs }).catch(
      (err: Error) =>
        this.#log.warn("the authority in the data directory could not be replaced", { error: err.message }),
    );
  }

  #serves(authority: CertAuthority): void {
    const served = servedOf(authority);
    if (JSON.stringify(served) === JSON.stringify(this.#served)) return;
    this.#served = served;
    for (const listener of this.#ofServed) listener();
  }
}

/** Of a span of time, how much to wait, so that many hosts do not all come at once. */
type Spread = (span: Millis) => Millis;

/** A host takes no more than this of the time that it has for a phase. */
const longestTurn: Millis = 30 * second;

/** Within which time a host does what the phase of now asks for: a tenth of what the phase lasts. */
export function timeFor({ spec: { rotation } }: CertAuthority, now: Millis): Millis {
  const { phase = "standby", schedule } = rotation ?? {};
  const ends = {
    init: schedule?.update_clients,
    update_clients: schedule?.update_servers,
    update_servers: schedule?.standby,
    standby: undefined,
    rollback: undefined,
  }[phase];
  const left = ends === undefined ? 10 * second : Date.parse(ends) - now;
  return Math.min(Math.max(left, 0) / 10, longestTurn);
}

/** Whether its certificates are of those keys of the authority that sign for this role now. */
function isBy({ tls_cert, ssh_cert }: Stored, authority: CertAuthority, role: MemberRole): boolean {
  const { tls_key_pairs, checking_keys } = authority.spec;
  const tls = tls_key_pairs[signerIndex(authority, role === "Auth" ? "server" : "client")];
  const ssh = checking_keys[signerIndex(authority, "server")];
  const signedBy = parsePublicKeyLine(ssh_cert).key.certificate?.signatureKey;
  return (
    tls !== undefined &&
    ssh !== undefined &&
    signedBy !== undefined &&
    issuedBy(tls_cert, tls.cert) &&
    sameKey(signedBy, parsePublicKeyLine(ssh).key)
  );
}

const isCutOff = ({ tls_cert }: Stored, { spec }: CertAuthority): boolean =>
  !spec.tls_key_pairs.some(({ cert }) => issuedBy(tls_cert, cert));

/** The auth server has too much to do for this moment only. */
const nextTurn: Millis = 1 * second;

/** How long to wait for another try to reach the auth server (OVW-37). */
export const retryEvery: Millis = 10 * second;

/** A clock may be set forward while we sleep; look now and then. */
const maxSleep: Millis = 60 * minute;

const identityPath = (dataDir: string, role: MemberRole): string =>
  join(dataDir, "proc", `${role.toLowerCase()}.json`);

/** The identity that a role left on disk, for commands on this host; undefined when there is none. */
export async function readIdentity(dataDir: string, role: MemberRole): Promise<HostIdentity | undefined> {
  const stored = await readStored(identityPath(dataDir, role));
  return stored && open(stored);
}

async function readStored(path: string): Promise<Stored | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new Fault("access_denied", `cannot read the identity ${path}: ${(err as Error).message}`, {
      cause: err,
    });
  }
  try {
    return Stored.parse(JSON.parse(text));
  } catch (cause) {
    throw new Fault("bad_parameter", `${path} is damaged or of a newer version; remove it and join again`, {
      cause,
    });
  }
}

async function fetchIdentity(certify: Certify, asked: Asked): Promise<Stored> {
  const [ssh, tls] = await Promise.all([generateKey("ed25519"), makeTlsKey("ecdsa-p256")]);
  const certs = await certify({
    ...asked,
    public_ssh_key: Buffer.from(formatPublicKeyLine({ key: ssh.publicKey })).toString("base64"),
    public_tls_key: Buffer.from(tls.publicKey).toString("base64"),
  });
  return {
    format: 1,
    ssh_key: formatPrivateKey(ssh),
    ssh_cert: certs.cert,
    tls_key: tls.privateKey,
    tls_cert: certs.tls_cert,
    tls_ca_certs: certs.tls_ca_certs,
    ssh_ca_certs: certs.ssh_ca_certs,
    asked,
  };
}

function open(stored: Stored): HostIdentity {
  const { key } = parsePrivateKey(stored.ssh_key);
  const { notBefore, notAfter } = validity(stored.tls_cert);
  return {
    signers: [key.signer(parsePublicKeyLine(stored.ssh_cert).key), key.signer()],
    tls: { cert: stored.tls_cert, key: stored.tls_key },
    authorities: stored.tls_ca_certs,
    renewAt: notBefore + ((notAfter - notBefore) * 2) / 3,
    expires: notAfter,
  };
}
