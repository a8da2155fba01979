import type { AuditEvent } from "#events";
import type { EventStore } from "./store.ts";

/** Events as JSON lines handed to `write`, for `stdout://`: whoever reads them keeps them. */
export class LineEvents implements EventStore {
  readonly uri = "stdout://";
  readonly #write: (line: string) => Promise<void>;

  constructor(write: (line: string) => Promise<void>) {
    this.#write = write;
  }

  append(event: AuditEvent): Promise<void> {
    return this.#write(`${JSON.stringify(event)}\n`);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
