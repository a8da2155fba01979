import { Fault } from "#core/errors";
import type { Signer } from "../keys/key.ts";
import { Reader, Writer } from "../wire/codec.ts";
import type { RequestHandler } from "./requests.ts";

/** A client that trusts one of our plain keys learns of the others, and may ask for proof (OpenSSH PROTOCOL §2.5). */
export const hostKeysRequest = "hostkeys-00@openssh.com";
export const proveRequest = "hostkeys-prove-00@openssh.com";
/** Far more keys than a host has. */
const maxAsked = 32;

/** What the announcement holds: the plain keys, certificates being believed by their authority. Undefined without any. */
export function announcement(signers: readonly Signer[]): Uint8Array | undefined {
  const plain = signers.filter(({ publicKey }) => !publicKey.certificate);
  if (plain.length === 0) return undefined;
  const w = new Writer();
  for (const { publicKey } of plain) w.string(publicKey.blob);
  return w.finish();
}

/** Signs this session's id with each key asked for, which must all be ours; else the request fails. */
export const prover =
  (signers: readonly Signer[], sessionId: Uint8Array): RequestHandler<boolean | Uint8Array> =>
  async (_name, payload) => {
    const r = new Reader(payload);
    const asked: Uint8Array[] = [];
    while (r.left > 0) {
      asked.push(r.string());
      if (asked.length > maxAsked) throw new Fault("protocol", "too many host keys are asked for");
    }
    const w = new Writer();
    for (const blob of asked) {
      const signer = signers.find(({ publicKey }) => Buffer.compare(publicKey.blob, blob) === 0);
      const algorithm = signer?.publicKey.algorithms[0];
      if (!signer || signer.publicKey.certificate || algorithm === undefined) return false;
      const signed = new Writer();
      signed.string(Buffer.from(proveRequest));
      signed.string(sessionId);
      signed.string(blob);
      w.string(await signer.sign(signed.finish(), algorithm));
    }
    return asked.length > 0 && w.finish();
  };
