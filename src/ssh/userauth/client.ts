import { Fault } from "#core/errors";
import type { ClientOptions } from "../client.ts";
import { offeredAlgorithms, type PublicKey, plainAlgorithm, type Signer } from "../keys/index.ts";
import { DisconnectReason, type PacketTransport } from "../transport/packets.ts";
import { ServiceAccept, ServiceRequest } from "../wire/transport.ts";
import {
  PublicKeySigned,
  UserauthBanner,
  UserauthFailure,
  UserauthPkOk,
  UserauthRequest,
  UserauthSuccess,
} from "../wire/userauth.ts";
import { connectionService, publicKeyRequest, signedBytes, userauthService } from "./publickey.ts";

/** More banners than this, or more bytes in them, and the server is not trying to log us in. */
const maxBanners = 64;
const maxBannerBytes = 256 * 1024;

type LogInOptions = Pick<ClientOptions, "user" | "signers" | "onBanner">;

/**
 * The client side of RFC 4252: offers each signer in turn. Resolves to what `begin` makes of the connection; it is
 * called in the very turn in which success arrived, so that it gets the server's next payload.
 * Rejects with `access_denied` when the server takes none of the keys, `protocol` or `unreachable` when it misbehaves or leaves.
 */
export async function logIn<T>(
  transport: PacketTransport,
  options: LogInOptions,
  begin: () => T,
): Promise<T> {
  try {
    const login = new Login(transport, options, begin);
    // A person may be looking for their key while the server hangs up.
    return await Promise.race([login.run(), login.lost]);
  } catch (err) {
    transport.disconnect(
      Fault.is(err, "access_denied") ? DisconnectReason.noMoreAuthMethods : DisconnectReason.byApplication,
      err instanceof Fault ? err.message : "login failed",
    );
    throw err;
  }
}

type Answer<T> =
  | { kind: "in"; result: T }
  | { kind: "refused"; methods: readonly string[]; partial: boolean }
  | { kind: "wanted" };

class Login<T> {
  /** Rejects when the connection is gone. */
  readonly lost: Promise<never>;
  readonly #transport: PacketTransport;
  readonly #options: LogInOptions;
  readonly #begin: () => T;
  /** What may come next, and who waits for it. */
  #waiting: { ids: readonly number[]; reply: PromiseWithResolvers<Uint8Array> } | undefined;
  #result: { value: T } | undefined;
  #banners = 0;
  #bannerBytes = 0;
  #tried = 0;

  constructor(transport: PacketTransport, options: LogInOptions, begin: () => T) {
    this.#transport = transport;
    this.#options = options;
    this.#begin = begin;
    this.lost = transport.closed.then((reason) => {
      // Who is let in and at once sent away has logged in: the connection tells why it is over.
      if (this.#result) return new Promise<never>(() => {});
      throw this.#gone(reason);
    });
    transport.receive((payload) => this.#take(payload));
  }

  async run(): Promise<T> {
    const accept = await this.#ask(ServiceRequest.encode({ service: userauthService }), ServiceAccept.id);
    const { service } = ServiceAccept.decode(accept);
    if (service !== userauthService) throw new Fault("protocol", `the server accepted service ${service}`);

    const { user, signers } = this.#options;
    const offered = typeof signers === "function" ? await signers() : signers;
    let last: Answer<T> = { kind: "wanted" };
    let signFault: unknown;
    if (offered.length === 0) last = await this.#none();
    for (const signer of offered) {
      try {
        last = await this.#offer(signer);
      } catch (err) {
        if (!(err instanceof SignFailed)) throw err;
        signFault = err.cause;
        continue;
      }
      if (last.kind === "refused" && !last.methods.includes("publickey")) break;
      if (last.kind === "in") break;
    }
    if (last.kind === "in") return last.result;
    throw refused(user, this.#tried, last, signFault);
  }

  async #none(): Promise<Answer<T>> {
    return this.#request(
      UserauthRequest.encode({
        userName: this.#options.user,
        serviceName: connectionService,
        methodName: "none",
        request: new Uint8Array(0),
      }),
      UserauthSuccess.id,
    );
  }

  async #offer(signer: Signer): Promise<Answer<T>> {
    const { user } = this.#options;
    const { publicKey } = signer;
    const algorithm = chooseAlgorithm(publicKey, this.#transport.extensions.get("server-sig-algs"));
    this.#tried++;
    if (signer.askFirst) {
      const answer = await this.#request(
        publicKeyRequest(user, algorithm, publicKey.blob, false),
        UserauthPkOk.id,
        (payload) => checkEcho(payload, algorithm, publicKey),
      );
      if (answer.kind !== "wanted") return answer;
    }
    const signature = await sign(
      signer,
      signedBytes(this.#transport.sessionId, user, algorithm, publicKey.blob),
      plainAlgorithm(algorithm),
    );
    return this.#request(
      UserauthRequest.encode({
        userName: user,
        serviceName: connectionService,
        methodName: "publickey",
        request: PublicKeySigned.encode({
          hasSignature: true,
          algorithm,
          publicKey: publicKey.blob,
          signature,
        }),
      }),
      UserauthSuccess.id,
    );
  }

  async #request(
    payload: Uint8Array,
    good: typeof UserauthSuccess.id | typeof UserauthPkOk.id,
    checkGood: (payload: Uint8Array) => void = () => {},
  ): Promise<Answer<T>> {
    const reply = await this.#ask(payload, good, UserauthFailure.id);
    if (this.#result) return { kind: "in", result: this.#result.value };
    if (reply[0] === UserauthFailure.id) {
      const { canContinue: methods, partialSuccess: partial } = UserauthFailure.decode(reply);
      return { kind: "refused", methods, partial };
    }
    checkGood(reply);
    return { kind: "wanted" };
  }

  #ask(payload: Uint8Array, ...ids: number[]): Promise<Uint8Array> {
    const reply = Promise.withResolvers<Uint8Array>();
    this.#waiting = { ids, reply };
    this.#transport.send(payload);
    return reply.promise;
  }

  #take(payload: Uint8Array): void {
    const id = payload[0] ?? 0;
    if (id === UserauthBanner.id) {
      this.#takeBanner(payload);
      return;
    }
    const waiting = this.#waiting;
    if (!waiting?.ids.includes(id)) throw new Fault("protocol", `message ${id} is not expected during login`);
    this.#waiting = undefined;
    if (id === UserauthSuccess.id) {
      UserauthSuccess.decode(payload);
      this.#transport.authenticated();
      this.#result = { value: this.#begin() };
    }
    waiting.reply.resolve(payload);
  }

  #takeBanner(payload: Uint8Array): void {
    const { message } = UserauthBanner.decode(payload);
    this.#bannerBytes += message.length;
    if (++this.#banners > maxBanners || this.#bannerBytes > maxBannerBytes)
      throw new Fault("limit_exceeded", "the server sends banners without end");
    this.#options.onBanner?.(Buffer.from(message).toString());
  }

  #gone(reason: Fault | undefined): Fault {
    if (this.#tried === 0)
      return reason ?? new Fault("unreachable", "the server closed the connection before login");
    // Servers end the connection after some refused keys, so this is what a refusal may look like.
    const why = reason ? `: ${reason.message}` : "";
    return new Fault(
      "access_denied",
      `the server closed the connection while ${this.#options.user} logged in, after ${count(this.#tried, "key")}${why}`,
      { cause: reason, details: { tried: this.#tried } },
    );
  }
}

/** The best algorithm of the key that the server says it takes (RFC 8308 §3.1), as named in requests. */
function chooseAlgorithm(key: PublicKey, serverSigAlgs: Uint8Array | undefined): string {
  const offered = offeredAlgorithms(key);
  const taken = serverSigAlgs && Buffer.from(serverSigAlgs).toString().split(",");
  // A server that lists nothing of ours may still take it: the list need not be complete.
  const best =
    offered.find((name) => taken?.includes(name) || taken?.includes(plainAlgorithm(name))) ?? offered[0];
  if (best === undefined) throw new Fault("bad_parameter", `keys of type ${key.type} cannot sign`);
  return best;
}

/** RFC 4252 §7: PK_OK repeats what was asked; a signature is not made for anything else. */
function checkEcho(payload: Uint8Array, algorithm: string, key: PublicKey): void {
  const echo = UserauthPkOk.decode(payload);
  if (echo.algorithm !== algorithm || Buffer.compare(echo.publicKey, key.blob) !== 0)
    throw new Fault("protocol", "the server wants a key that was not offered");
}

/** The agent said no, or is gone: no reason to stop trying other keys. */
class SignFailed extends Error {}

async function sign(signer: Signer, data: Uint8Array, algorithm: string): Promise<Uint8Array> {
  try {
    return await signer.sign(data, algorithm);
  } catch (cause) {
    throw new SignFailed("signing failed", { cause });
  }
}

function refused(
  user: string,
  tried: number,
  last: { kind: string; methods?: readonly string[]; partial?: boolean },
  cause: unknown,
): Fault {
  const more = last.methods?.filter((method) => method !== "publickey").join(", ");
  let sentence = `the server does not let ${user} in: `;
  if (tried === 0) sentence += "there was no key to log in with";
  else if (last.partial) sentence += `a key was accepted, but it asks for more (${last.methods?.join(", ")})`;
  else sentence += `${count(tried, "key")} tried, none accepted`;
  if (more && !last.partial) sentence += `; it offers ${more} as well, which is not supported`;
  return new Fault("access_denied", sentence, { cause, details: { tried } });
}

const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? "" : "s"}`;
