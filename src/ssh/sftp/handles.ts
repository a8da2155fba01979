import { Fault } from "#core/errors";
import type { OpenFile, OpenFolder } from "./files.ts";

type Opened =
  | { readonly kind: "file"; readonly file: OpenFile }
  | { readonly kind: "folder"; readonly folder: OpenFolder };

/** What a client has open. A handle is a number that is not used again, so that a stale one opens nothing. */
export class Handles {
  readonly #open = new Map<number, Opened>();
  readonly #limit: number;
  #last = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** To be asked before something is opened. */
  checkRoom(): void {
    if (this.#open.size >= this.#limit)
      throw new Fault("limit_exceeded", `at most ${this.#limit} files may be open`);
  }

  add(opened: Opened): Uint8Array {
    do this.#last = (this.#last + 1) >>> 0;
    while (this.#open.has(this.#last));
    this.#open.set(this.#last, opened);
    const handle = new Uint8Array(4);
    new DataView(handle.buffer).setUint32(0, this.#last);
    return handle;
  }

  file(handle: Uint8Array): OpenFile {
    const opened = this.#open.get(numberOf(handle));
    if (opened?.kind !== "file") throw new Fault("not_found", "this is no handle of an open file");
    return opened.file;
  }

  folder(handle: Uint8Array): OpenFolder {
    const opened = this.#open.get(numberOf(handle));
    if (opened?.kind !== "folder") throw new Fault("not_found", "this is no handle of an open folder");
    return opened.folder;
  }

  async close(handle: Uint8Array): Promise<void> {
    const opened = this.#open.get(numberOf(handle));
    if (opened === undefined) throw new Fault("not_found", "this is no open handle");
    this.#open.delete(numberOf(handle));
    await (opened.kind === "file" ? opened.file : opened.folder).close();
  }

  /** The client has left. */
  async cut(): Promise<void> {
    const all = [...this.#open.values()];
    this.#open.clear();
    for (const opened of all) {
      await (opened.kind === "file" ? opened.file.close("cut") : opened.folder.close()).catch(() => {});
    }
  }
}

function numberOf(handle: Uint8Array): number {
  if (handle.length !== 4) return 0;
  return new DataView(handle.buffer, handle.byteOffset).getUint32(0);
}
