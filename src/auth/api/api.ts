import type { IncomingMessage } from "node:http";
import type { Server } from "node:https";
import { createSecureContext, type SecureContext, type TLSSocket } from "node:tls";
import { type FastifyInstance, type FastifyRequest, fastify } from "fastify";
import type { z } from "zod";
import { type AuthContract, authContract } from "#contract/auth";
import { admit, type Handlers, type Heard, type Sink } from "#contract/rpc";
import { faultBody, linesType, minClientVersion, packing, statusOf, versionHeader } from "#contract/wire";
import { type Clock, type Millis, minute, second } from "#core/clock";
import { Fault } from "#core/errors";
import type { Log } from "#core/log";
import { isOlder } from "#core/version";
import type { Caller, CertAuthority, Identity, TrustedLink } from "#model";
import { type Address, formatAddress, lookAhead, parseAddress } from "#net";
import type { TlsPair } from "#pki";
import { readBrought, vouchedAddress } from "#ssh/brought";
import { type PublicKey, parsePublicKeyLine, sameKey } from "#ssh/keys";
import type { Refused } from "../access/refusals.ts";
import { checkSource, identify } from "../certificates/peer.ts";
import { answerText, packed } from "./answer.ts";
import { Feed } from "./feed.ts";
import { endOutdated } from "./outdated.ts";
import { jsonOf, Said } from "./said.ts";

export interface AuthApiOptions {
  readonly handlers: Handlers<AuthContract>;
  /** What the identity may do. Throws `access_denied` for a user who is gone or locked (AUTH-44). */
  readonly callerOf: (identity: Identity) => Caller | Promise<Caller>;
  /** Is told of each call that was not answered, for the audit log. */
  readonly refused?: (refused: {
    caller: Refused;
    call: string;
    error: unknown;
    from: string;
  }) => Promise<void>;
  /** Whose certificates are let in, now. */
  readonly authorities: () => readonly CertAuthority[];
  /** Clusters that are trusted, now: their people are let in while the link is enabled. */
  readonly trusted: () => readonly TrustedLink[];
  /** Calls back when either has changed. */
  readonly onAuthorities?: (listener: () => void) => () => void;
  /** The server's own certificate and key, PEM. */
  readonly certificate: TlsPair;
  /** Another certificate for who asks for the server by this name. */
  readonly certificateFor?: (serverName: string) => TlsPair | undefined;
  /** OpenSSL's list of cipher suites; default Node's. */
  readonly ciphers?: string;
  /** Peers of whom a PROXY line is taken; default nobody. */
  readonly mayBring?: (address: string) => boolean;
  /** Counts a call of somebody who is no member. Throws `limit_exceeded`. */
  readonly count?: (peer: { readonly remoteAddress?: string | undefined }) => void;
  readonly clock: Clock;
  readonly log: Log;
}

const bodyLimit = 4 * 1024 * 1024; // bytes of one JSON request
/** For a handshake, and for the headers of a request: strangers may not hold connections by being slow (S14). */
const patience: Millis = 10 * second;
/** For the whole of a request that is no upload. */
const bodyPatience: Millis = minute;

/** The auth API's HTTPS server, not yet listening: mutual TLS in, contract operations out (see `contract/wire.ts`). */
export function authApi(options: AuthApiOptions): FastifyInstance<Server> {
  const { handlers, clock, log, certificateFor } = options;
  const app = fastify({
    https: {
      ...options.certificate,
      ...(certificateFor && { SNICallback: choosing(certificateFor, options) }),
      requestCert: true,
      // A stranger may join; who shows a certificate is checked by `identify`, with the reason in the answer.
      rejectUnauthorized: false,
      minVersion: "TLSv1.2",
      ...(options.ciphers !== undefined && { ciphers: options.ciphers }),
      handshakeTimeout: patience,
      headersTimeout: patience,
      connectionsCheckingInterval: patience / 2,
    },
    bodyLimit,
    forceCloseConnections: true,
    // An upload takes as long as it takes; `timeBody` times all other requests.
    requestTimeout: 0,
    connectionTimeout: 0,
    keepAliveTimeout: 60_000,
  });

  const { mayBring = () => false } = options;
  lookAhead(app.server, { mayBring, brought: (line) => broughtBy(line, options), patience });

  const { onAuthorities } = options;
  if (onAuthorities) endOutdated(app.server, { ...options, onAuthorities });

  // What a connection's certificate says does not change; whether it still counts is asked at each request.
  const callers = new WeakMap<FastifyRequest, Refused>();
  const callerFor = async (request: FastifyRequest): Promise<Caller> => {
    const peer = (request.raw.socket as TLSSocket).getPeerX509Certificate();
    const identity = identify(peer?.raw, options.authorities(), clock, options.trusted());
    if (identity.kind === "system" && identity.role === "Admin") refuseOld(request.headers[versionHeader]);
    if (identity.kind === "user" || identity.kind === "remote_user") callers.set(request, identity);
    checkSource(identity, request.raw.socket.remoteAddress ?? "");
    // Members' heartbeats must not stop because a client of the same address asks too much.
    if (identity.kind !== "system") options.count?.(request.raw.socket);
    const caller = await options.callerOf({ ...identity, from: addressOf(request) });
    callers.set(request, caller);
    return caller;
  };

  // How to stop the clock of a request whose body may go on.
  const timed = new WeakMap<IncomingMessage, AbortController>();
  app.addHook("onRequest", async ({ raw }) => {
    if (raw.method !== "PUT") timed.set(raw, timeBody(raw, clock));
  });
  app.setErrorHandler(async (err, request, reply) => {
    const fault = asFault(err);
    // What is left of a refused upload, or of somebody who talks, is not waited for.
    if (!request.raw.complete) reply.header("connection", "close");
    const caller = callers.get(request);
    if (caller && options.refused) {
      const call = (request.params as { name?: string }).name ?? "";
      await options.refused({ caller, call, error: fault, from: addressOf(request) });
    }
    if (fault.kind === "internal") {
      log.error("call failed", {
        path: request.url.split("?")[0],
        error: err instanceof Error ? (err.stack ?? err.message) : String(err),
      });
    }
    return reply.status(statusOf[fault.kind]).send(faultBody(fault));
  });
  app.setNotFoundHandler((_request, reply) =>
    reply.status(404).send(faultBody(new Fault("not_found", "the auth API has no such path"))),
  );
  // An upload's body is read by its handler as it comes.
  app.addContentTypeParser("application/octet-stream", (_request, _payload, done) => done(null));
  app.addContentTypeParser(linesType, (_request, _payload, done) => done(null));

  app.post<{ Params: { name: string } }>("/v2/:name", async (request, reply) => {
    const caller = await callerFor(request);
    const { name } = request.params;
    const talking = request.headers["content-type"] === linesType ? new Said(request.raw) : undefined;
    const body = talking ? ((await talking.next()) ?? {}) : request.body;
    const { operation, input } = admit(authContract, name, body, caller);
    const signal = whenGone(reply.raw);
    if (talking && !("said" in operation)) throw new Fault("bad_parameter", `nothing can be said to ${name}`);
    if (operation.shape === "call") {
      const handle = handlers[name as keyof AuthContract] as Answering;
      const value = await handle(input, caller, signal);
      const text = answerText(operation, value);
      const short = await packed(operation, text, request.headers["accept-encoding"]);
      reply.type("application/json");
      return short ? reply.header("content-encoding", packing).send(short) : reply.send(text);
    }
    if (operation.shape === "feed") {
      const handle = handlers[name as keyof AuthContract] as Feeding;
      const { said } = operation as { said?: z.ZodType };
      if (talking) timed.get(request.raw)?.abort();
      const feed = new Feed(reply.raw, log);
      await handle(input, caller, signal, feed, said && talking?.values(said));
      reply.hijack();
      feed.open();
      return reply;
    }
    throw new Fault("bad_parameter", `${name} takes an upload`);
  });

  app.put<{ Params: { name: string }; Querystring: { input?: string } }>(
    "/v2/:name",
    async (request, reply) => {
      const caller = await callerFor(request);
      const { name } = request.params;
      const { operation, input } = admit(authContract, name, jsonOf(request.query.input), caller);
      if (operation.shape !== "upload") throw new Fault("bad_parameter", `${name} takes no upload`);
      const handle = handlers[name as keyof AuthContract] as Uploading;
      const value = await handle(input, request.raw, caller, whenGone(reply.raw));
      return reply
        .type("application/json")
        .send(JSON.stringify((operation.output as z.ZodType).parse(value)));
    },
  );
  return app as unknown as FastifyInstance<Server>;
}

/** The client of a proxy of ours, which vouches for its address. */
function broughtBy(line: string, { authorities, clock }: AuthApiOptions): Address | undefined {
  const keys = authorities()
    .filter(({ spec }) => spec.type === "host")
    .flatMap(({ spec }) => spec.checking_keys.map((one) => parsePublicKeyLine(one).key));
  const brought = readBrought(line.slice(line.indexOf("{")));
  const isAuthority = (key: PublicKey): boolean => keys.some((known) => sameKey(known, key));
  vouchedAddress(brought, { audience: "auth", user: "", now: clock.now(), isAuthority });
  return parseAddress(brought.clientAddress, 0);
}

/** By the name that the client asks for; the server's own certificate where there is no other. */
function choosing(
  certificateFor: (name: string) => TlsPair | undefined,
  { ciphers }: Pick<AuthApiOptions, "ciphers">,
) {
  const contexts = new WeakMap<TlsPair, SecureContext>();
  return (name: string, done: (err: null, context?: SecureContext) => void): void => {
    const pair = certificateFor(name);
    const made = pair && contexts.get(pair);
    const context =
      made ??
      (pair &&
        createSecureContext({ ...pair, minVersion: "TLSv1.2", ...(ciphers !== undefined && { ciphers }) }));
    if (pair && context) contexts.set(pair, context);
    done(null, context);
  };
}

const addressOf = ({ raw: { socket } }: FastifyRequest): string =>
  formatAddress({ host: socket.remoteAddress ?? "", port: socket.remotePort ?? 0 });

type Answering = (input: unknown, caller: Caller, signal: AbortSignal) => Promise<unknown>;
type Feeding = (
  input: unknown,
  caller: Caller,
  signal: AbortSignal,
  answers: Sink<unknown>,
  said: Heard<unknown> | undefined,
) => void | Promise<void>;
type Uploading = (
  input: unknown,
  body: AsyncIterable<Uint8Array>,
  caller: Caller,
  signal: AbortSignal,
) => Promise<unknown>;

/** An administrator's `tctl` that knows less than is asked of it (UPG-02). */
function refuseOld(said: string | string[] | undefined): void {
  if (typeof said !== "string" || !isOlder(said, minClientVersion)) return;
  throw new Fault(
    "protocol",
    `this tctl is ${said}, the auth server needs at least ${minClientVersion}: use the tctl of the auth server's version`,
  );
}

/** Ends the connection unless the request is whole in time, or the answer is aborted. */
function timeBody(request: IncomingMessage, clock: Clock): AbortController {
  const whole = new AbortController();
  for (const event of ["end", "close"]) request.once(event, () => whole.abort());
  clock.sleep(bodyPatience, whole.signal, { background: true }).then(
    () => request.socket.destroy(),
    () => {}, // it came in time
  );
  return whole;
}

/** Aborts when the answer can no longer be sent. */
function whenGone(response: { once(event: "close", listener: () => void): unknown }): AbortSignal {
  const gone = new AbortController();
  response.once("close", () => gone.abort(new Fault("unreachable", "the caller has gone")));
  return gone.signal;
}

/** Fastify's own refusals (a body too large, not JSON) are the caller's mistake; all else is ours. */
function asFault(err: unknown): Fault {
  if (err instanceof Fault) return err;
  const status = (err as { statusCode?: number }).statusCode ?? 500;
  if (status === 413) return new Fault("limit_exceeded", "the request is too large");
  if (status < 500) return new Fault("bad_parameter", "the request cannot be read");
  return new Fault("internal", "internal error", { cause: err });
}
