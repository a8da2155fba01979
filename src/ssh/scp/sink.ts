import { Fault } from "#core/errors";
import { ScpInput } from "./input.ts";
import { parseAnnouncement, type Times } from "./message.ts";

/** Bytes to and from the other side. */
export interface ScpLink {
  readonly input: AsyncIterable<Uint8Array>;
  write(bytes: Uint8Array): Promise<void>;
}

/** Where received things go: one folder, or at the top the target that the user named. */
export interface SinkFolder {
  /** Throws to refuse the file; the text reaches the other side, which goes on with the next. */
  file(name: Uint8Array, mode: number, size: number, times: Times | undefined): Promise<SinkFile>;
  directory(name: Uint8Array, mode: number, times: Times | undefined): Promise<SinkFolder>;
  /** After the last thing in it: the time to set its own mode and times. */
  done(): Promise<void>;
}

export interface SinkFile {
  write(chunk: Uint8Array): Promise<void>;
  /** After the last byte, or, with `reason`, when the file stays incomplete. Throws what could not be set. */
  close(reason?: unknown): Promise<void>;
}

/** Folders in folders that we follow. */
const maxDepth = 512;

/**
 * Receives until the other side ends (`scp -t`, and the client of a download). Returns the troubles on the way, one
 * sentence each; throws `protocol` when the other side gives up or does not speak scp.
 */
export async function receive(
  link: ScpLink,
  target: SinkFolder,
  { recursive = false } = {},
): Promise<string[]> {
  const input = new ScpInput(link.input);
  const troubles: string[] = [];
  const folders: SinkFolder[] = [target];
  let times: Times | undefined;

  const accept = (): Promise<void> => link.write(Uint8Array.of(0));
  const refuse = async (err: unknown): Promise<void> => {
    const text = sentence(err);
    troubles.push(text);
    await link.write(warning(text));
  };

  await accept();
  while (true) {
    const letter = await input.byte();
    if (letter === undefined) break;
    if (letter === 1 || letter === 2) {
      const text = new TextDecoder().decode(await input.line());
      if (letter === 2) throw new Fault("protocol", text);
      troubles.push(text);
      continue;
    }
    const folder = folders.at(-1) as SinkFolder;
    const what = await fatal(async () =>
      parseAnnouncement(Buffer.concat([Uint8Array.of(letter), await input.line()])),
    );
    const own = times;
    times = undefined;
    if (what.kind === "times") {
      times = what.times;
      await accept();
    } else if (what.kind === "up") {
      if (folders.length === 1)
        await fatal(() => Promise.reject(new Fault("protocol", "scp: left a folder twice")));
      folders.pop();
      await folder.done().then(accept, refuse);
    } else if (what.kind === "directory") {
      if (!recursive || folders.length > maxDepth) {
        const why = recursive ? "too many folders in each other" : "a folder was sent without -r";
        await fatal(() => Promise.reject(new Fault("protocol", `scp: ${why}`)));
      }
      try {
        folders.push(await folder.directory(what.name, what.mode, own));
        await accept();
      } catch (err) {
        await refuse(err);
      }
    } else {
      await receiveFile(folder, what, own);
    }
  }
  if (folders.length > 1) throw new Fault("protocol", "scp: lost connection");
  return troubles;

  async function receiveFile(
    folder: SinkFolder,
    { name, mode, size }: { name: Uint8Array; mode: number; size: number },
    own: Times | undefined,
  ): Promise<void> {
    let file: SinkFile;
    try {
      file = await folder.file(name, mode, size, own);
    } catch (err) {
      return refuse(err);
    }
    let failed: unknown;
    try {
      await accept();
      for await (const piece of input.take(size)) {
        // A full disk ends the file, not the conversation: the rest of its bytes still comes.
        if (failed === undefined) await file.write(piece).catch((err: unknown) => (failed = err ?? "failed"));
      }
      const end = await input.byte();
      if (end !== 0)
        failed ??= new Fault("protocol", end === undefined ? "scp: lost connection" : await said(end));
    } catch (err) {
      await file.close(err).catch(() => {});
      throw err;
    }
    await file.close(failed).catch((err: unknown) => {
      failed ??= err;
    });
    if (failed === undefined) await accept();
    else await refuse(failed);
  }

  /** What the sender says when it could not read its file to the end. */
  async function said(code: number): Promise<string> {
    const text = new TextDecoder().decode(await input.line());
    return code === 1 || code === 2 ? text : "scp: the file was not ended as it should";
  }

  async function fatal<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (err) {
      await link.write(Buffer.concat([Uint8Array.of(2), Buffer.from(`${sentence(err)}\n`)])).catch(() => {});
      throw err;
    }
  }
}

/** One line of text, whatever the error says. */
export const sentence = (err: unknown): string =>
  (err instanceof Error ? err.message : String(err)).replaceAll(/[\r\n]+/g, " ");

export const warning = (text: string): Uint8Array =>
  Buffer.concat([Uint8Array.of(1), Buffer.from(`${text.startsWith("scp: ") ? text : `scp: ${text}`}\n`)]);
