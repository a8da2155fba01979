import { CertsAnswer, type CertsRequest, ClusterKnown, PingAnswer, webPaths } from "#contract/web";
import { type Millis, minute } from "#core/clock";
import { Fault } from "#core/errors";
import { formatAddress, parseAddress } from "#net";
import { makeTlsKey } from "#pki";
import { formatPublicKeyLine, generateKey, parsePublicKeyLine } from "#ssh/keys";
import { type ProxyAddress, webAddress } from "./address.ts";
import type { Credentials, HostAuthority } from "./keystore.ts";
import type { Profile } from "./profile.ts";
import { callWeb, type WebClientOptions } from "./web.ts";

/** What a proxy says of itself and of how people log in there (WEB-10). */
export async function ping(web: WebClientOptions): Promise<PingAnswer> {
  return understood(PingAnswer, await callWeb(web, "GET", `/v1${webPaths.ping}`));
}

/** Whether the proxy knows a cluster of this name (WEB-12). */
export async function clusterKnown(web: WebClientOptions, name: string): Promise<boolean> {
  const answer = await callWeb(web, "GET", `/v1${webPaths.find}?cluster=${encodeURIComponent(name)}`);
  return understood(ClusterKnown, answer).known;
}

export interface LoginRequest {
  readonly user: string;
  readonly password: string;
  readonly otpToken: string;
  readonly ttl: Millis;
  readonly compatibility: "" | "standard" | "oldssh";
}

/** Makes keys, has them certified with password and code, and answers what was got (OVW-26). The private keys stay here. */
export async function login(web: WebClientOptions, request: LoginRequest): Promise<Credentials> {
  const [key, tlsKey] = await Promise.all([generateKey("ed25519"), makeTlsKey("ecdsa-p256")]);
  const body: CertsRequest = {
    user: request.user,
    password: request.password,
    otp_token: request.otpToken,
    pub_key: base64(formatPublicKeyLine({ key: key.publicKey })),
    tls_pub_key: base64(tlsKey.publicKey),
    ttl: request.ttl * 1_000_000,
    compatibility: request.compatibility,
  };
  const answer = understood(CertsAnswer, await callWeb(web, "POST", `/v1${webPaths.certs}`, body));
  const certificate = answer.cert === undefined ? undefined : parsePublicKeyLine(text(answer.cert)).key;
  return {
    user: answer.username,
    key,
    certificate,
    tls: answer.tls_cert === undefined ? undefined : { cert: text(answer.tls_cert), key: tlsKey.privateKey },
    tlsAuthorities: answer.host_signers.flatMap(({ tls_certs }) => tls_certs.map(text)),
    hostAuthorities: answer.host_signers.flatMap(({ domain_name, checking_keys }) =>
      checking_keys.map(
        (line): HostAuthority => ({ cluster: domain_name, key: parsePublicKeyLine(text(line)).key }),
      ),
    ),
  };
}

/**
 * The profile of a proxy after a login: what it advertises replaces what was typed (TSH-53). A port that it only listens
 * on is taken with the host that was typed.
 */
export function profileOf(typed: ProxyAddress, answer: PingAnswer, user: string): Profile {
  const { ssh } = answer.proxy;
  const web =
    ssh.public_addr === undefined
      ? webAddress(typed)
      : formatAddress(parseAddress(ssh.public_addr, typed.webPort));
  const sshPort =
    ssh.listen_addr === undefined ? typed.sshPort : parseAddress(ssh.listen_addr, typed.sshPort).port;
  const host = parseAddress(web, typed.webPort).host;
  return {
    webProxyAddr: web,
    sshProxyAddr:
      ssh.ssh_public_addr === undefined
        ? formatAddress({ host, port: sshPort })
        : formatAddress(parseAddress(ssh.ssh_public_addr, typed.sshPort)),
    user,
    authType: answer.auth.type,
    cluster: answer.cluster_name,
  };
}

/** A default login lasts 12 hours (TSH-04). */
export const defaultTtl: Millis = 720 * minute;

const base64 = (plain: string): string => Buffer.from(plain).toString("base64");
const text = (encoded: string): string => Buffer.from(encoded, "base64").toString();

function understood<T>(
  schema: { safeParse(value: unknown): { success: true; data: T } | { success: false; error: unknown } },
  value: unknown,
): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new Fault("protocol", "the proxy's answer makes no sense to this tsh; is it of another version?", {
    cause: parsed.error,
  });
}
