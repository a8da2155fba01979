import { TrustAnswer } from "#contract/trust";
import { webPaths } from "#contract/web";
import { Fault, type FaultKind } from "#core/errors";
import type { CertAuthority } from "#model";
import { formatAddress, parseAddress } from "#net";
import type { Outgoing } from "../sso/http.ts";

/** Where a cluster serves its web pages when nothing else is said. */
const webPort = 3080;

/** Throws `bad_parameter` for what is not `host:port`, or would be read as something else in an address of the web. */
export function checkAddress(field: string, text: string): string {
  const wrong = (cause?: unknown): Fault =>
    new Fault("bad_parameter", `${field}: ${JSON.stringify(text)} is not an address; write it as host:port`, {
      cause,
    });
  const { host, port } = read();
  if (!/^[\w.:-]+$/.test(host) || port === 0) throw wrong();
  return formatAddress({ host, port });

  function read() {
    try {
      return parseAddress(text, webPort);
    } catch (cause) {
      throw Fault.is(cause, "bad_parameter") ? wrong(cause) : cause;
    }
  }
}

/**
 * Sends our authorities to the cluster whose web proxy is at `address`, and brings its own, as they came (TC-04). Throws
 * `unreachable` when it cannot be had or its certificate does not verify (TC-05), else what the other cluster refused it with.
 */
export async function exchange(
  send: Outgoing,
  address: string,
  {
    token,
    authorities,
    signal,
  }: {
    readonly token: string;
    readonly authorities: readonly CertAuthority[];
    readonly signal?: AbortSignal;
  },
): Promise<readonly CertAuthority[]> {
  const origin = `https://${address}`;
  const response = await send(`${origin}/v1${webPaths.trust}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ token, certificate_authorities: authorities }),
    ...(signal && { signal }),
  }).catch((err: unknown) => {
    throw inWords(err);
  });
  const body: unknown = await response.json().catch(() => undefined);
  if (response.status !== 200) throw refusal(response.status, body, origin, token);
  const answer = TrustAnswer.safeParse(body);
  if (!answer.success) throw notTeleport(origin);
  return answer.data.certificate_authorities;
}

const notTeleport = (origin: string): Fault =>
  new Fault("protocol", `${origin} does not answer like the web proxy of a cluster; check web_proxy_addr`);

/** What Node calls certificates that do not verify, and servers that do not speak TLS. */
const certificateTrouble =
  /^(CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|INVALID_|ERR_TLS_|ERR_SSL_|HOSTNAME_|EPROTO$)/;

function inWords(err: unknown): unknown {
  const cause = err instanceof Fault ? (err.cause as NodeJS.ErrnoException | undefined) : undefined;
  if (!cause || !certificateTrouble.test(cause.code ?? "")) return err;
  return new Fault(
    "unreachable",
    `the trusted cluster uses misconfigured HTTP/TLS certificate: ${(err as Fault).message}; give its web proxy one that this machine trusts, or try things out with teleport start --insecure here`,
    { cause },
  );
}

const kinds: Readonly<Record<number, FaultKind>> = {
  400: "bad_parameter",
  403: "access_denied",
  409: "already_exists",
  429: "limit_exceeded",
  503: "unreachable",
};
/** Characters of a stranger's sentence. */
const longest = 300;

function refusal(status: number, body: unknown, origin: string, token: string): Fault {
  const { message } = (body ?? {}) as { message?: unknown };
  const kind = kinds[status];
  if (!kind || typeof message !== "string") return notTeleport(origin);
  // Whoever is there has the token now, and need not have it shown here and in the logs.
  const said = message
    .replaceAll(token, "…")
    .replace(/\p{Cc}/gu, " ")
    .slice(0, longest);
  return new Fault(kind, `${said} (so says ${origin})`);
}
