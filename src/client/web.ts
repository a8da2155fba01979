import { request } from "node:https";
import { getCACertificates } from "node:tls";
import { Fault, type FaultKind } from "#core/errors";
import { plain } from "#net";

export interface WebClientOptions {
  readonly host: string;
  readonly port: number;
  /** Do not verify the proxy's certificate. */
  readonly insecure: boolean;
  /** PEM certificates trusted beside the system's, e.g. the self-signed one of a proxy on this host (TSH-58). */
  readonly extraAuthorities: readonly string[];
}

const answerLimit = 4 * 1024 * 1024; // bytes
const silence = 60_000; // milliseconds

/** HTTP status → what went wrong (WEB-02). */
const kinds: Readonly<Record<number, FaultKind>> = {
  400: "bad_parameter",
  401: "access_denied",
  403: "access_denied",
  404: "not_found",
  409: "already_exists",
  429: "limit_exceeded",
};

/** Calls the proxy's web API: before there is a certificate to show it is the only door (WEB-02). */
export async function callWeb(
  options: WebClientOptions,
  method: "GET" | "POST",
  path: string,
  signal: AbortSignal,
  body?: unknown,
): Promise<unknown> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>();
  const sent = request({
    host: options.host,
    port: options.port,
    method,
    path,
    agent: false,
    signal,
    timeout: silence,
    rejectUnauthorized: !options.insecure,
    ca: [...getCACertificates("default"), ...getCACertificates("system"), ...options.extraAuthorities],
    headers: {
      accept: "application/json",
      ...(body !== undefined && { "content-type": "application/json" }),
    },
  });
  sent.once("response", (response) => {
    const parts: Buffer[] = [];
    let size = 0;
    response.on("data", (part: Buffer) => {
      size += part.length;
      if (size > answerLimit) sent.destroy(new Error("the answer is too large"));
      else parts.push(part);
    });
    response.once("end", () =>
      resolve({ status: response.statusCode ?? 0, text: Buffer.concat(parts).toString() }),
    );
    response.once("error", reject);
  });
  sent.once("timeout", () => sent.destroy(new Error("no answer within 60 s")));
  sent.once("error", (err) => reject(signal.aborted ? signal.reason : unreachable(err, options)));
  sent.end(body === undefined ? undefined : JSON.stringify(body));
  const { status, text } = await promise;
  const answer = json(text);
  if (status >= 200 && status < 300) {
    if (answer === undefined) throw notTeleport(options);
    return answer;
  }
  const message = (answer as { message?: unknown } | undefined)?.message;
  if (typeof message !== "string") throw notTeleport(options);
  throw new Fault(kinds[status] ?? "unreachable", message);
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const notTeleport = ({ host, port }: WebClientOptions): Fault =>
  new Fault("unreachable", `${host}:${port} does not answer like a Teleport proxy; check --proxy`);

/** TLS trouble in words that say what to do (CLI-04). */
function unreachable(err: Error, { host, port }: WebClientOptions): Fault {
  const code = (err as NodeJS.ErrnoException).code ?? "";
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    return new Fault(
      "unreachable",
      `Cannot establish https connection to ${host}: its certificate is for another name; use that name with --proxy, or --insecure to go on without a check`,
      { cause: err },
    );
  }
  if (untrusted.has(code)) {
    return new Fault(
      "unreachable",
      [
        `the proxy ${host}:${port} shows a certificate of an unknown authority.`,
        "WARNING: it is self-signed, or its chain is incomplete, or somebody is in between.",
        "Trust its authority through SSL_CERT_FILE or SSL_CERT_DIR, or use --insecure if you are sure whom you talk to.",
      ].join("\n"),
      { cause: err },
    );
  }
  if (code === "CERT_HAS_EXPIRED") {
    return new Fault(
      "unreachable",
      `the certificate of ${host} has expired, or the clock of this machine is ahead; tell its administrator`,
      { cause: err },
    );
  }
  if (code === "CERT_NOT_YET_VALID") {
    return new Fault(
      "unreachable",
      `the certificate of ${host} is not valid yet by the clock of this machine, which is probably behind`,
      { cause: err },
    );
  }
  if (code === "EPROTO") {
    return new Fault("unreachable", `${host}:${port} does not speak HTTPS; check the port of --proxy`, {
      cause: err,
    });
  }
  return new Fault("unreachable", `cannot reach the proxy ${host}:${port}: ${plain(err)}`, { cause: err });
}

const untrusted = new Set([
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "CERT_SIGNATURE_FAILURE",
]);
