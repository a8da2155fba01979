import { Fault } from "#core/errors";
import { lost, ScpInput } from "./input.ts";
import { formatAnnouncement, type Times } from "./message.ts";
import { type ScpLink, sentence, warning } from "./sink.ts";

/** Something to send. `trouble` stands for what could not be read; the copy goes on after it. */
export type SourceEntry =
  | {
      readonly kind: "file";
      readonly name: Uint8Array;
      readonly mode: number;
      readonly size: number;
      readonly times?: Times;
      read(): AsyncIterable<Uint8Array>;
      /** Told how it went. */
      done(trouble?: string): void;
    }
  | {
      readonly kind: "directory";
      readonly name: Uint8Array;
      readonly mode: number;
      readonly times?: Times;
      entries(): AsyncIterable<SourceEntry>;
    }
  | { readonly kind: "trouble"; readonly text: string };

/**
 * Sends everything (`scp -f`, and the client of an upload). Returns the troubles on the way, its own and those the other
 * side told; throws `protocol` when the other side gives up.
 */
export async function send(link: ScpLink, entries: AsyncIterable<SourceEntry>): Promise<string[]> {
  const input = new ScpInput(link.input);
  const troubles: string[] = [];

  if (!(await accepted())) return troubles;
  await all(entries);
  return troubles;

  async function all(some: AsyncIterable<SourceEntry>): Promise<void> {
    for await (const entry of some) {
      if (entry.kind === "trouble") {
        troubles.push(entry.text);
        await link.write(warning(entry.text));
        continue;
      }
      const { times } = entry;
      if (times !== undefined && !(await ask({ kind: "times", times }))) continue;
      if (entry.kind === "file") await file(entry);
      else if (await ask({ kind: "directory", mode: entry.mode, name: entry.name })) {
        await all(entry.entries());
        await ask({ kind: "up" });
      }
    }
  }

  async function file(entry: Extract<SourceEntry, { kind: "file" }>): Promise<void> {
    if (!(await ask({ kind: "file", mode: entry.mode, size: entry.size, name: entry.name }))) {
      return entry.done(troubles.at(-1));
    }
    let left = entry.size;
    let trouble: string | undefined;
    try {
      for await (const chunk of entry.read()) {
        const piece = chunk.subarray(0, left);
        left -= piece.length;
        await link.write(piece);
        if (left === 0) break;
      }
      if (left > 0) trouble = "the file became shorter while it was read";
    } catch (err) {
      if (Fault.is(err, "unreachable")) throw err;
      trouble = sentence(err);
    }
    // The size was promised; what follows the filling says that it is no file.
    while (left > 0) {
      const filling = new Uint8Array(Math.min(left, 32_768));
      left -= filling.length;
      await link.write(filling);
    }
    if (trouble !== undefined) troubles.push(trouble);
    await link.write(trouble === undefined ? Uint8Array.of(0) : warning(trouble));
    const fine = await accepted();
    entry.done(trouble ?? (fine ? undefined : troubles.at(-1)));
  }

  async function ask(what: Parameters<typeof formatAnnouncement>[0]): Promise<boolean> {
    await link.write(formatAnnouncement(what));
    return accepted();
  }

  /** The answer: 0 is yes, 1 and a line is no for this one thing, anything else is the end. */
  async function accepted(): Promise<boolean> {
    const code = await input.byte();
    if (code === 0) return true;
    if (code === undefined) throw lost();
    const text = new TextDecoder().decode(await input.line());
    if (code !== 1)
      throw new Fault("protocol", code === 2 ? text : "scp: the other side does not speak the scp protocol");
    troubles.push(text);
    return false;
  }
}
