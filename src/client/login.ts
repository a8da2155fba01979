import {
  CertsAnswer,
  type CertsRequest,
  ClusterKnown,
  PingAnswer,
  SsoRefusal,
  webPaths,
} from "#contract/web";
import { type Millis, minute } from "#core/clock";
import { Fault } from "#core/errors";
import { formatAddress, parseAddress } from "#net";
import { makeTlsKey } from "#pki";
import { formatPublicKeyLine, generateKey, type PrivateKey } from "#ssh/keys";
import { defaultPorts, type ProxyAddress } from "./address.ts";
import type { BrowserLogin } from "./browser-login.ts";
import { credentialsOf } from "./issued.ts";
import type { Credentials } from "./keystore.ts";
import type { Profile } from "./profile.ts";
import { callWeb, type WebClientOptions } from "./web.ts";

/** What a proxy says of itself and of how people log in there (WEB-10). */
export async function ping(
  web: WebClientOptions,
  connector: string | undefined,
  signal: AbortSignal,
): Promise<PingAnswer> {
  const path = connector === undefined ? webPaths.ping : webPaths.connector(connector);
  return understood(PingAnswer, await callWeb(web, "GET", `/v1${path}`, signal));
}

/** Whether the proxy knows a cluster of this name (WEB-12). */
export async function clusterKnown(
  web: WebClientOptions,
  name: string,
  signal: AbortSignal,
): Promise<boolean> {
  const answer = await callWeb(web, "GET", `/v1${webPaths.find}?cluster=${encodeURIComponent(name)}`, signal);
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
export async function login(
  web: WebClientOptions,
  request: LoginRequest,
  signal: AbortSignal,
): Promise<Credentials> {
  const keys = await newKeys();
  const body: CertsRequest = {
    user: request.user,
    password: request.password,
    otp_token: request.otpToken,
    ...keys.asked,
    ttl: request.ttl * 1_000_000,
    compatibility: request.compatibility,
  };
  return certified(await callWeb(web, "POST", `/v1${webPaths.certs}`, signal, body), keys, request.user);
}

/** Keys of one login, and how a request names their public halves. */
interface LoginKeys {
  readonly key: PrivateKey;
  /** PEM, PKCS#8. */
  readonly tlsKey: string;
  readonly asked: { readonly pub_key: string; readonly tls_pub_key: string };
}

/**
 * Makes keys and has them certified on a page. `begin` tells the proxy of them and of where the answer goes, and answers the
 * address of the page. `user` is undefined where the page tells who it is.
 */
export async function loginOnPage(
  browser: Omit<BrowserLogin, "start">,
  begin: (redirectUrl: string, asked: LoginKeys["asked"]) => Promise<string>,
  user: string | undefined,
): Promise<Credentials> {
  const keys = await newKeys();
  const { browserLogin } = await import("./browser-login.ts");
  const answer = await browserLogin({ ...browser, start: (redirectUrl) => begin(redirectUrl, keys.asked) });
  return certified(answer, keys, user);
}

async function newKeys(): Promise<LoginKeys> {
  const [key, tlsKey] = await Promise.all([generateKey("ed25519"), makeTlsKey("ecdsa-p256")]);
  const asked = {
    pub_key: base64(formatPublicKeyLine({ key: key.publicKey })),
    tls_pub_key: base64(tlsKey.publicKey),
  };
  return { key, tlsKey: tlsKey.privateKey, asked };
}

/** Throws `access_denied` for a refusal, `protocol` for certificates that are not of these keys or, where one is named, of this user. */
function certified(certs: unknown, keys: LoginKeys, user: string | undefined): Credentials {
  const refusal = SsoRefusal.safeParse(certs);
  if (refusal.success) throw new Fault("access_denied", refusal.data.error);
  const answer = understood(CertsAnswer, certs);
  const credentials = credentialsOf(user ?? answer.username, keys, {
    username: answer.username,
    cert: answer.cert === undefined ? undefined : text(answer.cert),
    tls_cert: answer.tls_cert === undefined ? undefined : text(answer.tls_cert),
    host_signers: answer.host_signers.map((one) => ({
      domain_name: one.domain_name,
      checking_keys: one.checking_keys.map(text),
      tls_certs: one.tls_certs.map(text),
    })),
  });
  if (!credentials) throw senseless();
  return credentials;
}

/**
 * The profile of a proxy after a login: what it advertises replaces what was typed (TSH-53). A port that it only listens
 * on is taken with the host that was typed.
 */
export function profileOf(typed: ProxyAddress, answer: PingAnswer, user: string): Profile {
  const { ssh } = answer.proxy;
  const { host, webPort = defaultPorts.web, sshPort = defaultPorts.ssh } = typed;
  const web =
    ssh.public_addr === undefined ? { host, port: webPort } : parseAddress(ssh.public_addr, webPort);
  const port = ssh.listen_addr === undefined ? sshPort : parseAddress(ssh.listen_addr, sshPort).port;
  return {
    webProxyAddr: formatAddress(web),
    sshProxyAddr: formatAddress(
      ssh.ssh_public_addr === undefined
        ? { host: web.host, port }
        : parseAddress(ssh.ssh_public_addr, defaultPorts.ssh),
    ),
    user,
    authType: answer.auth[answer.auth.type]?.name ?? answer.auth.type,
    cluster: answer.cluster_name,
    rootCluster: answer.cluster_name,
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
  throw senseless(parsed.error);
}

const senseless = (cause?: unknown): Fault =>
  new Fault("protocol", "the proxy's answer makes no sense to this tsh; is it of another version?", {
    cause,
  });
