/**
 * What a proxy says of the connection that it brings, before the client's own bytes: `Teleport-Proxy{"clientAddr":"ip:port"}` and
 * NUL. Anyone may write that, so it is for the record; with `vouched`, a proxy's signature, it is good for access too.
 */
import { type Millis, minute } from "#core/clock";
import { Fault } from "#core/errors";
import { checkCertificate, type PublicKey, type Signer, signerOf, signMessage } from "../keys/index.ts";

export { type Brought, maxBrought, readBrought } from "./line.ts";

import { type Brought, maxBrought, prefix } from "./line.ts";

const namespace = "client-address@teleport";
/** A line that somebody has overheard is soon worth nothing. Clocks may differ by as much. */
const goodFor: Millis = 3 * minute;

/** To whom the line is said: the host's id, or `auth`; and for whose connection, where the other side learns that. */
interface About {
  readonly audience: string;
  readonly user: string;
}

/** The line for a client at `clientAddress` (`ip:port`), signed when there is a `signer`, the proxy's certified host key. */
export async function introduce(
  clientAddress: string,
  vouching?: About & { readonly signer: Signer; readonly now: Millis },
): Promise<Uint8Array> {
  const plain = Buffer.from(`${prefix}${JSON.stringify({ clientAddr: clientAddress })}\0`);
  if (!vouching) return plain;
  const { signer, now } = vouching;
  const signature = await signMessage(signer, namespace, messageOf(clientAddress, now, vouching));
  const vouched = `${now}.${Buffer.from(signature).toString("base64")}`;
  const line = Buffer.from(`${prefix}${JSON.stringify({ clientAddr: clientAddress, vouched })}\0`);
  // A certificate with very many names; whoever is pinned is then refused.
  return line.length > maxBrought ? plain : line;
}

/**
 * The IP address that a proxy of ours vouches for. Throws `access_denied` or `protocol` when nobody does: no proxy has signed, it
 * was said to somebody else, of another user, or too long ago.
 */
export function vouchedAddress(
  { clientAddress, vouched }: Brought,
  about: About & { readonly now: Millis; readonly isAuthority: (key: PublicKey) => boolean },
): string {
  const [, at, signature] = /^(\d{1,15})\.([A-Za-z0-9+/=]+)$/.exec(vouched ?? "") ?? [];
  if (at === undefined || signature === undefined)
    throw new Fault("access_denied", "no proxy vouches for the client's address");
  const said = Number(at);
  const blob = Buffer.from(signature, "base64");
  // One text for one signature: bits that base64 leaves unused are no place for anybody's own.
  if (blob.toString("base64") !== signature)
    throw new Fault("protocol", "what vouches for the client's address is not written as base64 is");
  const key = signerOf(blob, namespace, messageOf(clientAddress, said, about));
  const { isAuthority, now } = about;
  const { extensions } = checkCertificate(key, { type: "host", isAuthority, now });
  if (extensions.get("x-teleport-role") !== "Proxy")
    throw new Fault("access_denied", "who vouches for the client's address is no proxy");
  if (Math.abs(now - said) > goodFor)
    throw new Fault(
      "access_denied",
      "the proxy's word about the client's address is too old, or a clock is wrong",
    );
  return clientAddress.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
}

const messageOf = (clientAddress: string, at: Millis, { audience, user }: About): Uint8Array =>
  Buffer.from(JSON.stringify([clientAddress, user, audience, at]));
