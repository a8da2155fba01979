import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { HostCerts } from "#contract/auth";
import type { Clock, Millis } from "#core/clock";
import { minute, second } from "#core/clock";
import { Fault } from "#core/errors";
import type { Log } from "#core/log";
import type { Service } from "#core/service";
import { makeTlsKey, validity } from "#pki";
import {
  formatPrivateKey,
  formatPublicKeyLine,
  generateKey,
  parsePrivateKey,
  parsePublicKeyLine,
  type Signer,
} from "#ssh/keys";
import { writeWhole } from "./data-dir.ts";

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

/** Keeps one role's identity: on disk, current, and renewed in time. */
export class IdentityKeeper implements Service {
  readonly name: string;
  readonly #path: string;
  readonly #asked: Asked;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #first: Certify;
  readonly #renew: Certify;
  readonly #listeners = new Set<(identity: HostIdentity) => void>();
  #identity: HostIdentity;

  private constructor(parts: {
    role: MemberRole;
    path: string;
    asked: Asked;
    clock: Clock;
    log: Log;
    first: Certify;
    renew: Certify;
    identity: HostIdentity;
  }) {
    this.name = `${parts.role.toLowerCase()} identity`;
    this.#path = parts.path;
    this.#asked = parts.asked;
    this.#clock = parts.clock;
    this.#log = parts.log;
    this.#first = parts.first;
    this.#renew = parts.renew;
    this.#identity = parts.identity;
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
    clock: Clock;
    log: Log;
  }): Promise<IdentityKeeper> {
    const { role, asked, clock } = parts;
    const path = identityPath(parts.dataDir, role);
    await mkdir(join(parts.dataDir, "proc"), { recursive: true, mode: 0o700 });
    const stored = await readStored(path);
    const known = parts.authorities;
    const usable =
      stored &&
      validity(stored.tls_cert).notAfter > clock.now() &&
      (known === undefined || stored.tls_ca_certs.some((ca) => known.includes(ca)));
    if (usable && JSON.stringify(stored.asked) === JSON.stringify(asked))
      return new IdentityKeeper({ ...parts, path, identity: open(stored) });
    try {
      // A member whose names have changed asks as the member it is.
      const fresh = await fetchIdentity(usable ? parts.renew : parts.first, asked);
      await writeWhole(path, JSON.stringify(fresh));
      return new IdentityKeeper({ ...parts, path, identity: open(fresh) });
    } catch (err) {
      // It is a member all the same: the auth server may be away for long, and those who know the old names can go on.
      if (!usable || !(Fault.is(err, "unreachable") || Fault.is(err, "limit_exceeded"))) throw err;
      parts.log.warn("the new names of this host could not be certified yet, will try again", {
        error: err.message,
      });
      return new IdentityKeeper({ ...parts, path, identity: { ...open(stored), renewAt: clock.now() } });
    }
  }

  get identity(): HostIdentity {
    return this.#identity;
  }

  /** Calls back with each new identity. */
  onRenewed(listener: (identity: HostIdentity) => void): void {
    this.#listeners.add(listener);
  }

  async run(signal: AbortSignal, ready: () => void): Promise<void> {
    ready();
    let pause: Millis = 0;
    while (!signal.aborted) {
      const wait = Math.max(this.#identity.renewAt - this.#clock.now(), pause);
      await this.#clock.sleep(Math.min(wait, maxSleep), signal).catch(() => {});
      if (signal.aborted || this.#clock.now() < this.#identity.renewAt) continue;
      try {
        // Nobody knows an expired member any more: it joins as at its first start.
        const expired = this.#clock.now() >= this.#identity.expires;
        const fresh = await fetchIdentity(expired ? this.#first : this.#renew, this.#asked);
        await writeWhole(this.#path, JSON.stringify(fresh));
        this.#identity = open(fresh);
        for (const listener of this.#listeners) listener(this.#identity);
        this.#log.info("identity renewed", { until: new Date(this.#identity.expires).toISOString() });
        // Where the clocks differ by weeks a new one is due at once.
        pause = minute;
      } catch (err) {
        this.#log.warn("identity could not be renewed, will try again", { error: (err as Error).message });
        pause = retryEvery;
      }
    }
  }
}

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
