import { Fault } from "#core/errors";

/** As in OpenSSH. No key list or signature comes near it. */
export const maxMessage = 256 * 1024; // bytes

/** A message with its length in front. */
export function frame(message: Uint8Array): Uint8Array {
  const out = new Uint8Array(4 + message.length);
  new DataView(out.buffer).setUint32(0, message.length);
  out.set(message, 4);
  return out;
}

/** The messages of a stream. Throws `protocol` for one that is empty or over `maxMessage`, or when the stream ends inside one. */
export async function* messages(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let chunks: Uint8Array[] = [];
  let have = 0;
  let want = 4;
  for await (const chunk of stream) {
    chunks.push(chunk);
    have += chunk.length;
    // Joined only when enough is there: a peer that sends single bytes costs us no more than one that does not.
    while (have >= want) {
      const joined = Buffer.concat(chunks);
      const length = joined.readUInt32BE(0);
      if (length === 0 || length > maxMessage)
        throw new Fault("protocol", `agent message of ${length} bytes: only 1 to ${maxMessage} are allowed`);
      want = 4 + length;
      if (have < want) {
        chunks = [joined];
        break;
      }
      yield joined.subarray(4, want);
      chunks = [joined.subarray(want)];
      have -= want;
      want = 4;
    }
  }
  if (have > 0) throw new Fault("protocol", "the agent connection ended inside a message");
}
