/** The lines of a byte stream, without their newline; a last one without newline is dropped, its writer died. */
export async function* lines(stream: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let held: Uint8Array = new Uint8Array(0);
  for await (const chunk of stream) {
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    while (true) {
      const at = held.indexOf(0x0a);
      if (at < 0) break;
      yield new TextDecoder().decode(held.subarray(0, at));
      held = held.subarray(at + 1);
    }
  }
}
