import type { IssuedCerts } from "#contract/auth";
import { type Millis, minute } from "#core/clock";
import { Fault } from "#core/errors";
import { type Access, sourcesFor, type Traits } from "#model";
import { issueTls } from "#pki";
import { formatPublicKeyLine, issueCertificate, type PublicKey, parsePublicKeyLine } from "#ssh/keys";
import { signingAuthority, tlsCerts } from "../authorities/authorities.ts";
import type { Parts } from "../parts.ts";
import { counted, serialNumber } from "./issuing.ts";
import { sourceUnits } from "./peer.ts";

/** Peers without tolerance of clock differences accept a certificate that began a minute ago (OVW-43). */
export const backdating: Millis = 1 * minute;
const shortestTtl: Millis = 1 * minute;

export interface UserCertRequest {
  readonly access: Access;
  readonly traits: Traits;
  /** Base64 of an authorized_keys line; without one there is no SSH certificate. */
  readonly pub_key?: string | undefined;
  /** Base64 of a PEM SubjectPublicKeyInfo. */
  readonly tls_pub_key?: string | undefined;
  /** What was asked for; the roles may cut it (OVW-22). */
  readonly ttl: Millis;
  /** The roles do not cut it: an administrator asks (TCT-53). */
  readonly uncut?: boolean;
  /** When the account or the web session ends: no certificate outlives it. */
  readonly notAfter?: Millis | undefined;
  readonly compatibility?: "" | "standard" | "oldssh";
  /** Where alone they are good, as `sourcesFor` says of the login; undefined: nobody logs in, as when an administrator signs. */
  readonly sources: readonly string[] | undefined;
}

/**
 * The SSH and X.509 certificates of a user (OVW-19..23), both with the logins, roles and traits of now. Without an
 * allowed login there is no SSH certificate. Throws `bad_parameter` for keys we do not certify.
 */
export const issueUserCerts = counted(issueUser);

async function issueUser(parts: Parts, request: UserCertRequest): Promise<IssuedCerts> {
  const { access, traits } = request;
  const options = access.options();
  const sources = request.sources ?? sourcesFor(options, undefined);
  const now = parts.clock.now();
  const longest = request.uncut ? Number.POSITIVE_INFINITY : options.maxSessionTtl;
  const ttl = Math.min(Math.max(request.ttl, shortestTtl), longest);
  const end = Math.min(now + ttl, request.notAfter ?? Number.POSITIVE_INFINITY);
  if (end <= now) throw new Fault("access_denied", "the account or session has ended");
  const ca = await signingAuthority(parts, "user");
  const key = request.pub_key === undefined ? undefined : readSshKey(request.pub_key);

  const extensions = new Map([["permit-pty", ""]]);
  if (options.agentForwarding) extensions.set("permit-agent-forwarding", "");
  if (options.portForwarding) extensions.set("permit-port-forwarding", "");
  const format = request.compatibility || options.certFormat;
  if (format === "standard") {
    extensions.set("teleport-roles", JSON.stringify({ version: "v1", roles: access.roles }));
    extensions.set("teleport-traits", JSON.stringify(traits));
  }
  const cert =
    key &&
    access.logins.length > 0 &&
    (await issueCertificate(
      {
        key,
        type: "user",
        keyId: access.user,
        serial: serialNumber(),
        principals: access.logins,
        validAfter: seconds(now - backdating),
        validBefore: seconds(end),
        ...(sources && { criticalOptions: new Map([["source-address", sources.join(",")]]) }),
        extensions,
      },
      ca.ssh,
    ));
  const tlsCert =
    request.tls_pub_key !== undefined &&
    (await issueTls({
      ca: ca.tls,
      publicKey: fromBase64(request.tls_pub_key),
      subject: {
        commonName: access.user,
        organizations: access.roles,
        organizationalUnits: sourceUnits(sources),
        localities: access.logins,
        states: access.kubernetesGroups,
        postalCode: JSON.stringify(traits),
      },
      notBefore: now - backdating,
      notAfter: end,
    }));
  return {
    username: access.user,
    ...(cert && { cert: formatPublicKeyLine({ key: cert }) }),
    ...(tlsCert && { tls_cert: tlsCert }),
    host_signers: await hostSigners(parts),
  };
}

/** Every cluster whose hosts a user may meet, with what proves them. */
async function hostSigners({ store }: Parts): Promise<IssuedCerts["host_signers"]> {
  const remote = (await store.remoteClusters.list()).flatMap(({ authorities }) => authorities);
  return [...(await store.authorities.list()), ...remote]
    .filter((ca) => ca.spec.type === "host")
    .map((ca) => ({
      domain_name: ca.spec.cluster_name,
      checking_keys: ca.spec.checking_keys,
      tls_certs: tlsCerts(ca),
    }));
}

/** Throws `bad_parameter` for what is no plain public key. */
export function readSshKey(base64: string): PublicKey {
  const key = parsedKey(fromBase64(base64));
  if (key.certificate) throw new Fault("bad_parameter", "the SSH key to certify is itself a certificate");
  return key;
}

function parsedKey(line: string): PublicKey {
  try {
    return parsePublicKeyLine(line).key;
  } catch (cause) {
    // A damaged key is the caller's mistake, not a peer's.
    const why = cause instanceof Fault ? cause.message : "it makes no sense";
    throw new Fault("bad_parameter", `the SSH key to certify cannot be read: ${why}`, { cause });
  }
}

export const fromBase64 = (text: string): string => Buffer.from(text, "base64").toString();
export const seconds = (ms: Millis): bigint => BigInt(Math.floor(ms / 1000));
