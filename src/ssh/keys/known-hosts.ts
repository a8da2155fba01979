import { createHmac } from "node:crypto";
import type { Millis } from "#core/clock";
import { Fault } from "#core/errors";
import { checkCertificate } from "./check.ts";
import type { PublicKey } from "./key.ts";
import { sameKey } from "./public.ts";
import { readKey } from "./text.ts";

/** One line of known_hosts (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT). */
export interface KnownHost {
  readonly marker: "cert-authority" | "revoked" | undefined;
  /** As written: patterns with commas between, or one hashed name. */
  readonly hosts: string;
  readonly key: PublicKey;
  readonly comment: string;
}

/**
 * The lines of known_hosts that say something to us. Blank lines and comments are left out, and so are lines with keys
 * we do not accept, as in OpenSSH: one old line must not lock its owner out. A `@revoked` line that cannot be read
 * throws `bad_parameter`: leaving it out would trust what somebody took back.
 */
export function parseKnownHosts(file: string): KnownHost[] {
  const out: KnownHost[] = [];
  for (const [index, raw] of file.split("\n").entries()) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) continue;
    try {
      const host = parseLine(line);
      if (host) out.push(host);
    } catch (cause) {
      if (!(cause instanceof Fault)) throw cause;
      if (line.startsWith("@revoked"))
        throw new Fault("bad_parameter", `known_hosts line ${index + 1} revokes a key that cannot be read`, {
          cause,
        });
    }
  }
  return out;
}

/** Whether a line's `hosts` name `host`: lower case, `[host]:port` when the port is not 22. One `!` match refuses the line. */
export function matchesHost(hosts: string, host: string): boolean {
  if (hosts.startsWith("|")) return matchesHashed(hosts, host);
  let found = false;
  for (const pattern of hosts.toLowerCase().split(",")) {
    const negated = pattern.startsWith("!");
    if (!wildcard(negated ? pattern.slice(1) : pattern, host)) continue;
    if (negated) return false;
    found = true;
  }
  return found;
}

/**
 * Decides by `lines` alone whether a host may be talked to: what `ClientOptions.verifyHost` wants. A certificate needs a
 * `@cert-authority` listed for this host and `host` among its principals; a plain key needs a line of its own, and an
 * authority's key is never one. Nothing is learnt here: an unknown host throws `access_denied` with `details.reason`
 * `unknown`, so that a caller may ask the user; a certificate that does not fit, a key other than the listed, and a revoked one have other
 * reasons, and nobody is to be asked then.
 */
export function hostVerifier(
  lines: readonly KnownHost[],
  { host, port, now }: { host: string; port: number; now: () => Millis },
): (key: PublicKey) => void {
  const name = host.toLowerCase();
  const withPort = port === 22 ? name : `[${name}]:${port}`;
  const exact = lines.filter((line) => matchesHost(line.hosts, withPort));
  const bare = lines.filter((line) => matchesHost(line.hosts, name));
  const listed = [...new Set([...exact, ...bare])];
  return (key) => {
    const revoked = listed.filter((line) => line.marker === "revoked").map((line) => line.key);
    const isRevoked = (k: PublicKey): boolean => revoked.some((r) => sameKey(r, k));
    const { certificate } = key;
    if ([key, ...(certificate ? [certificate.key, certificate.signatureKey] : [])].some(isRevoked))
      throw refusal("revoked", `the key of ${withPort} is revoked: do not connect`);

    if (certificate) {
      const authorities = listed.filter((line) => line.marker === "cert-authority").map((line) => line.key);
      const isAuthority = (by: PublicKey): boolean => authorities.some((ca) => sameKey(ca, by));
      checkCertificate(key, { type: "host", isAuthority, principal: name, now: now() });
      return;
    }

    // As OpenSSH does, a line without port counts only where no line names the port.
    const plain = [exact, bare]
      .map((some) => some.filter((line) => line.marker === undefined))
      .find((some) => some.length > 0);
    if (!plain) throw refusal("unknown", `the host ${withPort} is not known`);
    if (!plain.some((line) => sameKey(line.key, key)))
      throw refusal(
        "changed",
        `the host ${withPort} shows another key than the known one: somebody may be in between`,
      );
  };
}

function parseLine(line: string): KnownHost | undefined {
  const [, at, hosts = "", key = ""] = /^(?:@(\S+)[ \t]+)?(\S+)[ \t]+(.*)$/s.exec(line) ?? [];
  const marker = at === "cert-authority" || at === "revoked" ? at : undefined;
  if (at !== undefined && marker === undefined) return undefined;
  const found = readKey(key);
  if (!found) throw new Fault("bad_parameter", "the line has no public key");
  return { marker, hosts, ...found };
}

/** `|1|salt|hash`: HMAC-SHA-1 of the name under the salt; it hides names, nothing hangs on its strength. */
function matchesHashed(hosts: string, host: string): boolean {
  const [, salt = "", hash = ""] = /^\|1\|([A-Za-z0-9+/=]+)\|([A-Za-z0-9+/=]+)$/.exec(hosts) ?? [];
  if (salt === "") return false;
  return createHmac("sha1", Buffer.from(salt, "base64")).update(host).digest("base64") === hash;
}

/** `*` is any run of characters, `?` one. Linear in both lengths but for backing up to the last `*`. */
function wildcard(pattern: string, name: string): boolean {
  let p = 0;
  let star = -1;
  let resume = 0;
  for (let n = 0; n < name.length; ) {
    if (pattern[p] === "*") {
      star = p++;
      resume = n;
    } else if (pattern[p] === "?" || pattern[p] === name[n]) {
      p++;
      n++;
    } else if (star >= 0) {
      p = star + 1;
      n = ++resume;
    } else {
      return false;
    }
  }
  while (pattern[p] === "*") p++;
  return p === pattern.length;
}

function refusal(reason: "unknown" | "changed" | "revoked", sentence: string): Fault {
  return new Fault("access_denied", sentence, { details: { reason } });
}
