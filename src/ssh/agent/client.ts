import type { Duplex } from "node:stream";
import { Fault } from "#core/errors";
import { plainAlgorithm } from "../keys/algorithms.ts";
import type { PublicKey, Signer } from "../keys/key.ts";
import { type KeyPair, writePrivateKey } from "../keys/private-fields.ts";
import { parsePublicKey } from "../keys/public.ts";
import {
  AddIdentity,
  AddIdentityConstrained,
  AgentSuccess,
  comment as commentField,
  IdentitiesAnswer,
  lifetimeConstraint,
  messageId,
  RemoveIdentity,
  RequestIdentities,
  SignRequest,
  SignResponse,
  signFlags,
} from "../wire/agent.ts";
import { byte, uint32, Writer } from "../wire/codec.ts";
import { Signature } from "../wire/keys.ts";
import { frame, maxMessage, messages } from "./framing.ts";

/** A key that an agent holds. It signs there, as long as the client is open. */
export interface AgentIdentity extends Signer {
  readonly comment: string;
}

/**
 * Talks to an ssh-agent over a stream that the caller opened; it is closed with the client. Requests wait for each
 * other. All methods throw `unreachable` when the agent has gone, `protocol` when it talks nonsense, and `access_denied` when it refuses.
 */
export class AgentClient implements Disposable {
  readonly #stream: Duplex;
  readonly #replies: AsyncGenerator<Uint8Array>;
  #last: Promise<unknown> = Promise.resolve();

  constructor(stream: Duplex) {
    this.#stream = stream;
    // An error between two requests is told to whoever asks next, not to the process.
    stream.on("error", () => {});
    this.#replies = messages(stream);
  }

  /** Its keys and certificates, in its order; keys of kinds we do not know are left out. */
  async identities(): Promise<AgentIdentity[]> {
    const { keys } = IdentitiesAnswer.decode(
      await this.#ask(RequestIdentities.encode({}), IdentitiesAnswer.id),
    );
    const out: AgentIdentity[] = [];
    for (const { key, comment } of keys) {
      const publicKey = knownKey(key);
      if (!publicKey) continue;
      const sign: Signer["sign"] = (data, algorithm) => this.#sign(publicKey, data, algorithm);
      out.push({ publicKey, comment, askFirst: true, sign });
    }
    return out;
  }

  /** Hands a private key over, with its certificate when it has one; for `lifetime` seconds, else for good. */
  async add(pair: KeyPair, { comment, lifetime }: { comment: string; lifetime?: number }): Promise<void> {
    const w = new Writer();
    writePrivateKey(w, pair);
    commentField.write(w, comment);
    if (lifetime !== undefined) {
      byte.write(w, lifetimeConstraint);
      uint32.write(w, lifetime);
    }
    const identity = w.finish();
    const request = lifetime === undefined ? AddIdentity : AddIdentityConstrained;
    await this.#ask(request.encode({ identity }), AgentSuccess.id);
  }

  async remove(key: PublicKey): Promise<void> {
    await this.#ask(RemoveIdentity.encode({ key: key.blob }), AgentSuccess.id);
  }

  /** Removes all keys whose comment fits, and says how many that were. */
  async removeWhere(fits: (comment: string) => boolean): Promise<number> {
    const found = (await this.identities()).filter(({ comment }) => fits(comment));
    for (const { publicKey } of found) await this.remove(publicKey);
    return found.length;
  }

  [Symbol.dispose](): void {
    this.#stream.destroy();
  }

  async #sign(key: PublicKey, data: Uint8Array, algorithm: string): Promise<Uint8Array> {
    const plain = plainAlgorithm(algorithm);
    if (!key.algorithms.includes(plain))
      throw new Fault("bad_parameter", `a key of type ${key.type} does not sign with ${algorithm}`);
    const request = SignRequest.encode({ key: key.blob, data, flags: signFlags.get(plain) ?? 0 });
    const { signature } = SignResponse.decode(await this.#ask(request, SignResponse.id));
    // Old agents do not know the flags and sign with SHA-1, which no server takes any more.
    const got = Signature.decode(signature).algorithm;
    if (got !== plain)
      throw new Fault("protocol", `the agent signed with ${JSON.stringify(got)}, not with ${plain}`);
    return signature;
  }

  #ask(request: Uint8Array, wanted: number): Promise<Uint8Array> {
    const turn = this.#last.then(() => this.#exchange(request, wanted));
    this.#last = turn.catch(() => {});
    return turn;
  }

  async #exchange(request: Uint8Array, wanted: number): Promise<Uint8Array> {
    if (request.length > maxMessage) throw new Fault("bad_parameter", "this is too much to hand to an agent");
    const reply = await this.#roundTrip(request);
    const id = messageId(reply);
    if (id === wanted) return reply;
    // SSH_AGENT_FAILURE, or any other answer: none of them is a yes.
    throw new Fault("access_denied", "the SSH agent refused");
  }

  async #roundTrip(request: Uint8Array): Promise<Uint8Array> {
    try {
      this.#stream.write(frame(request));
      const { value, done } = await this.#replies.next();
      if (!done) return value;
    } catch (cause) {
      if (cause instanceof Fault) throw cause;
      throw new Fault("unreachable", "the connection to the SSH agent broke", { cause });
    }
    throw new Fault("unreachable", "the SSH agent has closed the connection");
  }
}

function knownKey(blob: Uint8Array): PublicKey | undefined {
  try {
    return parsePublicKey(blob);
  } catch (err) {
    if (err instanceof Fault) return undefined;
    throw err;
  }
}
