import { createHash } from "node:crypto";
import { Fault } from "#core/errors";
import { bytes, Reader, text, uint32, Writer } from "../wire/codec.ts";
import type { PublicKey, Signer } from "./key.ts";
import { parsePublicKey } from "./public.ts";

const magic = "SSHSIG";
const version = 1;
const hash = "sha512";

/** Signs `message` for one purpose, `namespace`, and nothing else (OpenSSH PROTOCOL.sshsig). The answer is the blob. */
export async function signMessage(
  signer: Signer,
  namespace: string,
  message: Uint8Array,
): Promise<Uint8Array> {
  const algorithm = signer.publicKey.algorithms[0] as string;
  const signature = await signer.sign(signedPart(namespace, message), algorithm);
  const w = new Writer();
  w.bytes(Buffer.from(magic));
  uint32.write(w, version);
  bytes.write(w, signer.publicKey.blob);
  text.write(w, namespace);
  text.write(w, "");
  text.write(w, hash);
  bytes.write(w, signature);
  return w.finish();
}

/**
 * The key, perhaps a certificate, that signed `message` for `namespace`. Whether it is to be believed is the caller's to judge.
 * Throws `protocol` for a blob that makes no sense, `access_denied` for a signature that does not verify.
 */
export function signerOf(blob: Uint8Array, namespace: string, message: Uint8Array): PublicKey {
  const r = new Reader(blob);
  if (Buffer.from(r.bytes(magic.length)).toString() !== magic || uint32.read(r) !== version)
    throw new Fault("protocol", "this is no signature over a message");
  const key = parsePublicKey(bytes.read(r));
  const forWhat = text.read(r);
  text.read(r);
  const hashed = text.read(r);
  const signature = bytes.read(r);
  if (r.left > 0 || hashed !== hash)
    throw new Fault("protocol", "the signature over a message is of another form");
  const algorithm = text.read(new Reader(signature));
  const good =
    forWhat === namespace &&
    key.algorithms.includes(algorithm) &&
    key.verify(signedPart(namespace, message), signature, algorithm);
  if (!good) throw new Fault("access_denied", "the signature over a message does not verify");
  return key;
}

function signedPart(namespace: string, message: Uint8Array): Uint8Array {
  const w = new Writer();
  w.bytes(Buffer.from(magic));
  text.write(w, namespace);
  text.write(w, "");
  text.write(w, hash);
  bytes.write(w, createHash(hash).update(message).digest());
  return w.finish();
}
