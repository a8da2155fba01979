import type { Duplex } from "node:stream";
import { type Millis, second } from "#core/clock";
import { Fault } from "#core/errors";
import type { PublicKey } from "../keys/key.ts";
import { readPrivateKey } from "../keys/private-fields.ts";
import { parsePublicKey, sameKey } from "../keys/public.ts";
import {
  AddIdentity,
  AddIdentityConstrained,
  AgentFailure,
  AgentSuccess,
  comment as commentField,
  Extension,
  ExtensionResponse,
  IdentitiesAnswer,
  Lock,
  lifetimeConstraint,
  messageId,
  RemoveAllIdentities,
  RemoveIdentity,
  RequestIdentities,
  SignRequest,
  SignResponse,
  signFlags,
  Unlock,
} from "../wire/agent.ts";
import { byte, Reader, text, uint32, Writer } from "../wire/codec.ts";
import { Bindings } from "./bindings.ts";
import { frame, messages } from "./framing.ts";
import type { KeyringEntry } from "./keyring.ts";
import type { AgentLock } from "./lock.ts";

/** The keys that an agent serves; `Keyring` keeps them in memory. What throws a fault is answered with a failure. */
export interface AgentKeys {
  list(): readonly KeyringEntry[] | Promise<readonly KeyringEntry[]>;
  add(entry: KeyringEntry): void | Promise<void>;
  remove(key: PublicKey): void | Promise<void>;
  removeAll(): void | Promise<void>;
  now(): Millis;
}

export interface ServeAgentOptions {
  /**
   * `owner` may do everything. `forwarded` is a peer at the far end of a forwarded connection: it may list and sign,
   * never add or remove. Nobody can make this agent load a library (CVE-2023-38408): it has no such request.
   */
  readonly peer: "owner" | "forwarded";
  /** One for all connections of an agent that its owner can lock. */
  readonly lock?: AgentLock;
}

/**
 * Answers one agent connection until it ends. What cannot be done is answered with a failure, malformed requests too; only
 * broken framing ends the connection, with a `protocol` fault.
 */
export async function serveAgent(
  stream: Duplex,
  keys: AgentKeys,
  { peer, lock }: ServeAgentOptions,
): Promise<void> {
  stream.on("error", () => {}); // the loop below gets it too
  const served: Served = { keys, lock, bindings: new Bindings(), peer };
  try {
    for await (const request of messages(stream)) {
      const reply = await answer(request, served);
      if (!stream.write(frame(reply))) await drained(stream);
    }
    stream.end();
  } catch (err) {
    stream.destroy();
    if (err instanceof Fault) throw err;
    throw new Fault("unreachable", "the agent connection broke", { cause: err });
  }
}

/** One connection. */
interface Served {
  readonly keys: AgentKeys;
  readonly lock: AgentLock | undefined;
  /** What OpenSSH's client said of the connection; it may be one that it forwards. */
  readonly bindings: Bindings;
  readonly peer: ServeAgentOptions["peer"];
}

async function answer(request: Uint8Array, served: Served): Promise<Uint8Array> {
  const { keys, lock, bindings } = served;
  try {
    const id = messageId(request);
    if (lock?.locked && id !== Unlock.id)
      return id === RequestIdentities.id ? list(request, []) : AgentFailure.encode({});
    if (id === RequestIdentities.id) return list(request, await keys.list());
    if (id === SignRequest.id) return await sign(request, keys);
    if (id === Extension.id) return extension(request, bindings);
    if (served.peer === "owner" && !bindings.forwarded) return await change(id, request, keys, lock);
    return AgentFailure.encode({});
  } catch (err) {
    if (err instanceof Fault) return AgentFailure.encode({});
    throw err;
  }
}

function list(request: Uint8Array, entries: readonly KeyringEntry[]): Uint8Array {
  RequestIdentities.decode(request);
  return IdentitiesAnswer.encode({
    keys: entries.map(({ signer, comment }) => ({ key: signer.publicKey.blob, comment })),
  });
}

async function sign(request: Uint8Array, keys: AgentKeys): Promise<Uint8Array> {
  const { key, data, flags } = SignRequest.decode(request);
  const wanted = parsePublicKey(key);
  const found = (await keys.list()).find(({ signer }) => sameKey(signer.publicKey, wanted));
  if (!found) throw new Fault("not_found", "the agent does not hold this key");
  const { signer } = found;
  const { algorithms } = signer.publicKey;
  const [algorithm] = algorithms.filter((name) => (signFlags.get(name) ?? flags) === flags);
  // An RSA key without a flag is asked for SHA-1.
  if (algorithm === undefined) throw new Fault("bad_parameter", "no algorithm fits the key and the flags");
  return SignResponse.encode({ signature: await signer.sign(data, algorithm) });
}

const sessionBind = "session-bind@openssh.com";

function extension(request: Uint8Array, bindings: Bindings): Uint8Array {
  const { extension: name, contents } = Extension.decode(request);
  if (name === sessionBind) {
    bindings.add(contents);
    return AgentSuccess.encode({});
  }
  if (name !== "query") throw new Fault("not_found", "this agent has no such extension");
  const w = new Writer();
  for (const known of ["query", sessionBind]) text.write(w, known);
  return ExtensionResponse.encode({ extension: name, contents: w.finish() });
}

async function change(
  id: number,
  request: Uint8Array,
  keys: AgentKeys,
  lock: AgentLock | undefined,
): Promise<Uint8Array> {
  switch (id) {
    case AddIdentity.id:
      await keys.add(readIdentity(AddIdentity.decode(request).identity, keys, false));
      break;
    case AddIdentityConstrained.id:
      await keys.add(readIdentity(AddIdentityConstrained.decode(request).identity, keys, true));
      break;
    case RemoveIdentity.id:
      await keys.remove(parsePublicKey(RemoveIdentity.decode(request).key));
      break;
    case RemoveAllIdentities.id:
      RemoveAllIdentities.decode(request);
      await keys.removeAll();
      break;
    case Lock.id:
      if (!lock) return AgentFailure.encode({});
      lock.close(Lock.decode(request).passphrase);
      break;
    case Unlock.id:
      if (!lock) return AgentFailure.encode({});
      await lock.open(Unlock.decode(request).passphrase);
      break;
    default:
      return AgentFailure.encode({}); // smartcards, the protocol of SSH-1
  }
  return AgentSuccess.encode({});
}

function readIdentity(identity: Uint8Array, keys: AgentKeys, constrained: boolean): KeyringEntry {
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
    expires = keys.now() + uint32.read(r) * second;
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
