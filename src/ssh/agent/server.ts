import type { Duplex } from "node:stream";
import { second } from "#core/clock";
import { Fault } from "#core/errors";
import { readPrivateKey } from "../keys/private-fields.ts";
import { parsePublicKey } from "../keys/public.ts";
import {
  AddIdentity,
  AddIdentityConstrained,
  AgentFailure,
  AgentSuccess,
  comment as commentField,
  IdentitiesAnswer,
  lifetimeConstraint,
  messageId,
  RemoveAllIdentities,
  RemoveIdentity,
  RequestIdentities,
  SignRequest,
  SignResponse,
  signFlags,
} from "../wire/agent.ts";
import { byte, Reader, text, uint32 } from "../wire/codec.ts";
import { frame, messages } from "./framing.ts";
import type { Keyring, KeyringEntry } from "./keyring.ts";

export interface ServeAgentOptions {
  /**
   * `owner` may do everything. `forwarded` is a peer at the far end of a forwarded connection: it may list and sign,
   * never add or remove. Nobody can make this agent load a library (CVE-2023-38408): it has no such request.
   */
  readonly peer: "owner" | "forwarded";
}

/**
 * Answers one agent connection until it ends. What cannot be done is answered with a failure, malformed requests too; only
 * broken framing ends the connection, with a `protocol` fault.
 */
export async function serveAgent(
  stream: Duplex,
  keyring: Keyring,
  { peer }: ServeAgentOptions,
): Promise<void> {
  stream.on("error", () => {}); // the loop below gets it too
  try {
    for await (const request of messages(stream)) {
      const reply = await answer(request, keyring, peer);
      if (!stream.write(frame(reply))) await drained(stream);
    }
    stream.end();
  } catch (err) {
    stream.destroy();
    if (err instanceof Fault) throw err;
    throw new Fault("unreachable", "the agent connection broke", { cause: err });
  }
}

async function answer(
  request: Uint8Array,
  keyring: Keyring,
  peer: ServeAgentOptions["peer"],
): Promise<Uint8Array> {
  try {
    const id = messageId(request);
    if (id === RequestIdentities.id) return list(request, keyring);
    if (id === SignRequest.id) return await sign(request, keyring);
    if (peer === "owner") return change(id, request, keyring);
    return AgentFailure.encode({});
  } catch (err) {
    if (err instanceof Fault) return AgentFailure.encode({});
    throw err;
  }
}

function list(request: Uint8Array, keyring: Keyring): Uint8Array {
  RequestIdentities.decode(request);
  const keys = keyring.list().map(({ signer, comment }) => ({ key: signer.publicKey.blob, comment }));
  return IdentitiesAnswer.encode({ keys });
}

async function sign(request: Uint8Array, keyring: Keyring): Promise<Uint8Array> {
  const { key, data, flags } = SignRequest.decode(request);
  const { signer } = keyring.find(parsePublicKey(key));
  const { algorithms } = signer.publicKey;
  const [algorithm] = algorithms.filter((name) => (signFlags.get(name) ?? flags) === flags);
  // An RSA key without a flag is asked for SHA-1.
  if (algorithm === undefined) throw new Fault("bad_parameter", "no algorithm fits the key and the flags");
  return SignResponse.encode({ signature: await signer.sign(data, algorithm) });
}

function change(id: number, request: Uint8Array, keyring: Keyring): Uint8Array {
  switch (id) {
    case AddIdentity.id:
      keyring.add(readIdentity(AddIdentity.decode(request).identity, keyring, false));
      break;
    case AddIdentityConstrained.id:
      keyring.add(readIdentity(AddIdentityConstrained.decode(request).identity, keyring, true));
      break;
    case RemoveIdentity.id:
      keyring.remove(parsePublicKey(RemoveIdentity.decode(request).key));
      break;
    case RemoveAllIdentities.id:
      RemoveAllIdentities.decode(request);
      keyring.removeAll();
      break;
    default:
      return AgentFailure.encode({}); // smartcards, locking, extensions
  }
  return AgentSuccess.encode({});
}

function readIdentity(identity: Uint8Array, keyring: Keyring, constrained: boolean): KeyringEntry {
  const r = new Reader(identity);
  const { key, certificate } = readPrivateKey(text.read(r), r);
  const comment = commentField.read(r);
  const entry = { signer: key.signer(certificate), comment };
  if (!constrained) {
    if (r.left > 0) throw new Fault("protocol", "bytes after the comment of a key");
    return entry;
  }
  let expires: number | undefined;
  while (r.left > 0) {
    // A key that its owner wants confirmed or restricted must not be held without that (CVE-2026-39832, -39833).
    if (byte.read(r) !== lifetimeConstraint)
      throw new Fault("bad_parameter", "this constraint is not supported");
    expires = keyring.now() + uint32.read(r) * second;
  }
  return expires === undefined ? entry : { ...entry, expires };
}

function drained(stream: Duplex): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      stream.off("drain", settle).off("close", settle);
      if (stream.destroyed) reject(new Fault("unreachable", "the agent connection was closed"));
      else resolve();
    };
    stream.on("drain", settle).on("close", settle);
  });
}
