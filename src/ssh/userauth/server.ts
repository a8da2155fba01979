import { Fault } from "#core/errors";
import { offeredAlgorithms, type PublicKey, parsePublicKey, plainAlgorithm } from "../keys/index.ts";
import type { ServerOptions } from "../server.ts";
import { DisconnectReason, type PacketTransport } from "../transport/packets.ts";
import { ServiceAccept, ServiceRequest } from "../wire/transport.ts";
import {
  PublicKeyQuery,
  PublicKeySigned,
  UserauthBanner,
  UserauthFailure,
  UserauthPkOk,
  UserauthRequest,
  UserauthSuccess,
} from "../wire/userauth.ts";
import { connectionService, signedBytes, userauthService } from "./publickey.ts";

/** Requests of all kinds, those that cost no attempt included (accepted key queries, the first `none`). */
const maxRequests = 64;

export type AdmitOptions<Identity> = Pick<
  ServerOptions<Identity>,
  "check" | "onRefused" | "banner" | "maxAuthTries"
>;

export interface Admitted<Identity> {
  readonly user: string;
  /** What `check` answered for the key that signed. */
  readonly identity: Identity;
}

/**
 * The server side of RFC 4252: public keys only. Resolves to what `begin` makes of the admitted client; `begin` is
 * called in the very turn in which success is sent, so that it gets the client's next payload.
 * Rejects with `access_denied` after too many refusals, `protocol` or `unreachable` when the connection ends before.
 */
export function admit<Identity, T>(
  transport: PacketTransport,
  options: AdmitOptions<Identity>,
  begin: (admitted: Admitted<Identity>) => T,
): Promise<T> {
  return new Admission(transport, options, begin).outcome;
}

/** One attempt as the client made it, for the refusal's report. */
interface Attempt {
  readonly user: string;
  readonly method: string;
  readonly key?: PublicKey;
}

class Admission<Identity, T> {
  readonly outcome: Promise<T>;
  readonly #outcome = Promise.withResolvers<T>();
  readonly #transport: PacketTransport;
  readonly #options: AdmitOptions<Identity>;
  readonly #begin: (admitted: Admitted<Identity>) => T;
  readonly #maxTries: number;
  #serviceAccepted = false;
  #requests = 0;
  #refusals = 0;
  #askedForNone = false;
  #saidTime = false;
  #waiting: Uint8Array[] = [];
  #busy = false;
  #over = false;

  constructor(
    transport: PacketTransport,
    options: AdmitOptions<Identity>,
    begin: (admitted: Admitted<Identity>) => T,
  ) {
    this.#transport = transport;
    this.#options = options;
    this.#begin = begin;
    this.#maxTries = options.maxAuthTries ?? 6;
    this.outcome = this.#outcome.promise;
    void transport.closed.then((reason) =>
      this.#fail(reason ?? new Fault("unreachable", "the client left before it was logged in")),
    );
    transport.receive((payload) => this.#take(payload));
  }

  /** One payload of a client that nobody knows yet: anything but what leads to a login ends the connection. */
  #take(payload: Uint8Array): void {
    const id = payload[0] ?? 0;
    if (id === ServiceRequest.id && !this.#serviceAccepted) this.#takeService(payload);
    else if (id !== UserauthRequest.id || !this.#serviceAccepted)
      this.#end(
        DisconnectReason.protocolError,
        new Fault("protocol", `message ${id} is not expected before login`),
      );
    else if (++this.#requests > maxRequests)
      this.#end(
        DisconnectReason.noMoreAuthMethods,
        new Fault("limit_exceeded", "too many authentication requests"),
      );
    else {
      this.#waiting.push(payload);
      if (!this.#busy) void this.#run();
    }
  }

  #takeService(payload: Uint8Array): void {
    const { service } = ServiceRequest.decode(payload);
    if (service !== userauthService) {
      this.#end(DisconnectReason.serviceNotAvailable, notOffered(service));
      return;
    }
    this.#serviceAccepted = true;
    this.#transport.send(ServiceAccept.encode({ service }));
    const { banner } = this.#options;
    if (banner) this.#sendBanner(banner);
  }

  #sendBanner(text: string): void {
    this.#transport.send(
      UserauthBanner.encode({ message: Buffer.from(text), languageTag: new Uint8Array(0) }),
    );
  }

  /** Requests are judged one after another, each on its own: no state of one is seen by the next (RFC 4252 §5). */
  async #run(): Promise<void> {
    this.#busy = true;
    try {
      for (let payload = this.#waiting.shift(); payload && !this.#over; payload = this.#waiting.shift())
        await this.#judge(payload);
    } catch (err) {
      this.#end(
        DisconnectReason.protocolError,
        err instanceof Fault ? err : new Fault("internal", "internal error", { cause: err }),
      );
    }
    this.#busy = false;
  }

  async #judge(payload: Uint8Array): Promise<void> {
    const { userName: user, serviceName, methodName: method, request } = UserauthRequest.decode(payload);
    if (serviceName !== connectionService) {
      this.#end(DisconnectReason.serviceNotAvailable, notOffered(serviceName));
      return;
    }
    if (method === "publickey") return this.#judgeKey(user, request);
    // A client asks once with `none` to learn the methods (RFC 4252 §5.2).
    const free = method === "none" && !this.#askedForNone;
    if (free) {
      this.#askedForNone = true;
      this.#sendFailure();
    } else this.#refuse({ user, method }, new Fault("access_denied", `method ${method} is not offered`));
  }

  async #judgeKey(user: string, request: Uint8Array): Promise<void> {
    const isSigned = request[0] !== 0;
    const { algorithm, publicKey, signature } = isSigned
      ? PublicKeySigned.decode(request)
      : { ...PublicKeyQuery.decode(request), signature: undefined };
    let attempt: Attempt = { user, method: "publickey" };
    let identity: Identity;
    try {
      const key = parsePublicKey(publicKey);
      attempt = { ...attempt, key };
      if (!offeredAlgorithms(key).includes(algorithm))
        throw new Fault(
          "access_denied",
          `${algorithm} does not fit a key of type ${key.type}, or is too weak`,
        );
      const plain = plainAlgorithm(algorithm);
      if (signature) {
        const signed = signedBytes(this.#transport.sessionId, user, algorithm, publicKey);
        if (!key.verify(signed, signature, plain))
          throw new Fault("access_denied", "the signature does not verify");
      }
      identity = await this.#options.check({ user, key, algorithm: plain });
    } catch (reason) {
      this.#refuse(attempt, reason);
      return;
    }
    if (this.#over) return;
    if (signature) this.#admit({ user, identity });
    // What `check` said of a key that did not sign ends here (CVE-2024-45337).
    else this.#transport.send(UserauthPkOk.encode({ algorithm, publicKey }));
  }

  #admit(admitted: Admitted<Identity>): void {
    this.#over = true;
    this.#transport.send(UserauthSuccess.encode({}));
    this.#transport.authenticated();
    this.#outcome.resolve(this.#begin(admitted));
  }

  /**
   * The client learns nothing but that it was not enough, in the same words for every reason, but for one: that its
   * certificate, good otherwise, is out of its time by the clock of this machine.
   */
  #refuse(attempt: Attempt, reason: unknown): void {
    if (this.#over) return;
    this.#options.onRefused?.(attempt, reason);
    if (!this.#saidTime && reason instanceof Fault && reason.details.clock !== undefined) {
      this.#saidTime = true;
      this.#sendBanner(`this host refuses the login: ${reason.message}\r\n`);
    }
    if (++this.#refusals < this.#maxTries) this.#sendFailure();
    else
      this.#end(
        DisconnectReason.noMoreAuthMethods,
        new Fault("access_denied", "too many refused attempts to log in", {
          details: { user: attempt.user },
        }),
      );
  }

  #sendFailure(): void {
    this.#transport.send(UserauthFailure.encode({ canContinue: ["publickey"], partialSuccess: false }));
  }

  #end(reason: number, fault: Fault): void {
    this.#fail(fault);
    this.#transport.disconnect(reason, fault.message);
  }

  #fail(reason: unknown): void {
    this.#over = true;
    this.#outcome.reject(reason);
  }
}

const notOffered = (service: string): Fault =>
  new Fault("protocol", `service ${JSON.stringify(service)} is not offered`);
