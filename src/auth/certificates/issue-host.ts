import { isIP } from "node:net";
import type { HostCerts } from "#contract/auth";
import { anyProxy } from "#contract/names";
import { day } from "#core/clock";
import { Fault } from "#core/errors";
import { type CertAuthority, type SystemRole, signerIndex } from "#model";
import { issueTls, tlsBackdating } from "#pki";
import { formatPublicKeyLine, issueCertificate } from "#ssh/keys";
import { signingAuthority, tlsCerts } from "../authorities/authorities.ts";
import type { Parts } from "../parts.ts";
import { backdating, fromBase64, readSshKey, seconds } from "./issue-user.ts";
import { counted, serialNumber } from "./issuing.ts";

/** Host certificates of members live so long and are renewed at two thirds (OVW-17). */
const hostCertLife = 90 * day;

export interface HostCertRequest {
  readonly host_id: string;
  readonly node_name: string;
  readonly role: SystemRole;
  readonly additional_principals: readonly string[];
  readonly dns_names: readonly string[];
  /** Base64 of an authorized_keys line. */
  readonly public_ssh_key: string;
  /** Base64 of a PEM SubjectPublicKeyInfo. */
  readonly public_tls_key: string;
  /** The address the host was seen at; stands in for `0.0.0.0`. */
  readonly remote_addr?: string;
  /** The X.509 CA that is to sign, of those that are trusted now; by default the one that does so now (ROT-05). */
  readonly tls_authority?: string;
}

/** The name every auth server's certificate has, so that it can be found by any address (OVW-24). */
const authName = "teleport.cluster.local";

/**
 * The SSH and X.509 certificates of a member (OVW-16, OVW-17). Throws `access_denied` for names that belong to another
 * member or to the auth servers, `bad_parameter` for names and keys we do not certify.
 */
export const issueHostCerts = counted(issueHost);

async function issueHost(parts: Parts, request: HostCertRequest): Promise<HostCerts> {
  const { clusterName } = parts;
  const now = parts.clock.now();
  const end = now + hostCertLife;
  const { host_id, role } = request;
  const principals = principalsOf(request, clusterName);
  const dnsNames = dnsNamesOf(request);
  const ca = await signingAuthority(parts, "host", { tls: (of) => tlsSigner(of, request) });
  const cert = await issueCertificate(
    {
      key: readSshKey(request.public_ssh_key),
      type: "host",
      keyId: `${host_id}.${clusterName}`,
      serial: serialNumber(),
      principals,
      validAfter: seconds(now - backdating),
      validBefore: seconds(end),
      extensions: new Map([
        ["x-teleport-role", role],
        ["x-teleport-authority", clusterName],
      ]),
    },
    ca.ssh,
  );
  const tlsCert = await issueTls({
    ca: ca.tls,
    publicKey: fromBase64(request.public_tls_key),
    subject: { commonName: `${host_id}.${clusterName}`, organizations: [role] },
    dnsNames: dnsNames.filter((name) => !isIP(name)),
    ips: dnsNames.filter((name) => isIP(name) > 0),
    notBefore: now - tlsBackdating,
    notAfter: end,
  });
  await remember(parts, request, end);
  return {
    cert: formatPublicKeyLine({ key: cert }),
    tls_cert: tlsCert,
    tls_ca_certs: tlsCerts(ca.ca),
    ssh_ca_certs: ca.ca.spec.checking_keys,
  };
}

/** An auth server shows its certificate to those who connect; all others are those who connect, and show theirs. */
function tlsSigner(ca: CertAuthority, { role, tls_authority }: HostCertRequest): number {
  if (tls_authority === undefined) return signerIndex(ca, role === "Auth" ? "server" : "client");
  return ca.spec.tls_key_pairs.findIndex(({ cert }) => cert === tls_authority);
}

const kinds = { Node: "node", Proxy: "proxy", Auth: "auth_server", Admin: undefined } as const;

/** A rotation is to know of this host even while it is away. */
async function remember(
  { store }: Parts,
  { role, host_id, node_name }: HostCertRequest,
  expires: number,
): Promise<void> {
  const kind = kinds[role];
  if (kind) await store.hosts.put({ kind, host_id, name: node_name, expires });
}

function principalsOf(request: HostCertRequest, clusterName: string): string[] {
  const { host_id, node_name, role, remote_addr } = request;
  // Admin identities are two names and nothing that a client would connect to (OVW-18).
  if (role === "Admin") return [host_id, node_name];
  const asked = request.additional_principals.flatMap((name) =>
    // Nobody can connect to "every address"; where it was seen from, one can.
    name === "0.0.0.0" || name === "::" ? (remote_addr ? [hostOf(remote_addr)] : []) : [name],
  );
  const principals = [
    `${host_id}.${clusterName}`,
    `${node_name}.${clusterName}`,
    node_name,
    ...asked,
    ...(role === "Proxy" ? ["127.0.0.1", anyProxy] : []),
  ];
  for (const name of principals) {
    const uuid = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:\.|$)/i.exec(name)?.[1];
    if (uuid && uuid.toLowerCase() !== host_id.toLowerCase())
      throw new Fault("access_denied", `${JSON.stringify(name)} is the name of another host than ${host_id}`);
    if (role !== "Proxy" && name.toLowerCase() === anyProxy)
      throw new Fault("access_denied", `${JSON.stringify(name)} is kept for the proxies`);
  }
  return [...new Set(principals)];
}

/** SANs: what the member asks for, except the names by which clients know the auth servers. */
function dnsNamesOf({ dns_names, role }: HostCertRequest): string[] {
  for (const name of dns_names) {
    if (isIP(name) === 0 && !/^(\*\.)?[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9])?$/i.test(name))
      throw new Fault("bad_parameter", `${JSON.stringify(name)} is not a DNS name`);
    const lower = name.toLowerCase();
    const covers = lower.startsWith("*.") && authName.endsWith(lower.slice(1));
    const isAuthName = covers || lower === authName || lower.endsWith(`.${authName}`);
    if (isAuthName && !(role === "Proxy" && lower === anyProxy))
      throw new Fault("access_denied", `${JSON.stringify(name)} is kept for the auth servers`);
  }
  const own = role === "Auth" || role === "Admin" ? [authName, `*.${authName}`] : [];
  return [...new Set([...own, ...(role === "Proxy" ? [anyProxy] : []), ...dns_names])];
}

/** The host of `host:port`, `[v6]:port` or an address alone. */
function hostOf(address: string): string {
  if (isIP(address)) return address;
  return address.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
}
