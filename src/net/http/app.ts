import cookie from "@fastify/cookie";
import fastify, {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from "fastify";
import { Fault, type FaultKind } from "#core/errors";
import type { Log } from "#core/log";
import { dropClaims } from "./claims.ts";
import { securityHeaders } from "./headers.ts";

export type App = FastifyInstance;
export type Request = FastifyRequest;
export type Reply = FastifyReply;

export interface AppOptions {
  readonly log: Log;
  /** Bytes of a request body. */
  readonly bodyLimit?: number;
  /** Counts a request before anything is done for it. Throws `limit_exceeded`. */
  readonly count?: (peer: { readonly remoteAddress?: string | undefined }) => void;
}

/**
 * A Fastify application as all of ours are: JSON in and out, `{"message"}` for every refusal with the status of its
 * Fault, no stack or secret in any answer or log line, cookies, and the headers of WEB-05. Routes are the caller's.
 */
export function httpApp({ log, bodyLimit = 64 * 1024, count }: AppOptions): App {
  const app = fastify({
    logger: false,
    bodyLimit,
    trustProxy: false,
    routerOptions: { maxParamLength: 256 },
    frameworkErrors: (error, request, reply) => {
      // Also reached before any hook ran, for a path that cannot be decoded.
      securityHeaders(reply);
      refuse(error, request, reply, log);
    },
  });
  // A form or plain text can be posted across origins without asking; JSON cannot.
  app.removeContentTypeParser("text/plain");
  void app.register(cookie);
  app.addHook("onRequest", async (request, reply) => {
    securityHeaders(reply);
    dropClaims(request.raw.headers);
    count?.(request.raw.socket);
  });
  app.addHook("preValidation", async (request) => sameOrigin(request));
  app.setErrorHandler<FastifyError | Fault | Error>((error, request, reply) =>
    refuse(error, request, reply, log),
  );
  app.setNotFoundHandler((_, reply) => {
    void reply.status(404).send({ message: nothingHere });
  });
  return app;
}

/**
 * A browser says where a request comes from; one that another site caused changes nothing here. Programs that are
 * no browser send neither header.
 */
function sameOrigin({ method, headers }: FastifyRequest): void {
  if (method === "GET" || method === "HEAD") return;
  const { origin, host } = headers;
  const site = headers["sec-fetch-site"];
  const foreign = origin !== undefined && (!URL.canParse(origin) || new URL(origin).host !== hostOf(host));
  if (foreign || site === "cross-site" || site === "same-site") {
    throw new Fault("access_denied", "this request comes from another site");
  }
}

/** `Host` as a URL would write it: lower case, without the port 443. */
const hostOf = (host = ""): string | undefined =>
  URL.canParse(`https://${host}`) ? new URL(`https://${host}`).host : undefined;

const statusOf: Record<FaultKind, number> = {
  bad_parameter: 400,
  access_denied: 403,
  not_found: 404,
  already_exists: 409,
  compare_failed: 409,
  limit_exceeded: 429,
  protocol: 502,
  unreachable: 503,
  internal: 500,
};

const nothingHere = "there is nothing at this address";

/** Faults of the HTTP request itself, in our words: the framework's speak to programmers. */
const requestFaults: Readonly<Record<number, string>> = {
  400: "the request cannot be read",
  404: nothingHere,
  413: "the request is too large",
  414: "the address is too long",
  415: "the request body must be JSON (Content-Type: application/json)",
};

function refuse(error: Error, request: FastifyRequest, reply: FastifyReply, log: Log): void {
  if (error instanceof Fault) {
    const status = statusOf[error.kind];
    if (status >= 500) report(error, request, status, log);
    const { retryAfter } = error.details;
    if (retryAfter !== undefined) reply.header("retry-after", String(retryAfter));
    void reply.status(status).send({ message: error.message });
    return;
  }
  const { statusCode = 500 } = error as Partial<FastifyError>;
  if (statusCode < 500) {
    // A file that is not to be had is not there either.
    const status = statusCode === 403 ? 404 : statusCode;
    void reply.status(status).send({ message: requestFaults[status] ?? "the request is not possible" });
    return;
  }
  report(error, request, 500, log);
  void reply.status(500).send({ message: "something went wrong in the server; its log says what" });
}

/** The route's pattern, not its address: addresses carry invite tokens. */
function report(error: Error, { method, routeOptions }: FastifyRequest, status: number, log: Log): void {
  const fields = { method, route: routeOptions?.url ?? "", status, error: error.message };
  if (error instanceof Fault && error.kind !== "internal") log.warn("request failed", fields);
  else
    log.error("request failed", {
      ...fields,
      stack: (error.cause as Error | undefined)?.stack ?? error.stack,
    });
}
