import type { ServerResponse } from "node:http";
import type { Sink } from "#contract/rpc";
import { faultBody, linesType } from "#contract/wire";
import { Fault } from "#core/errors";
import type { Log } from "#core/log";

/**
 * A feed's answer, line by line, written as values come: thousands of members listen, and the promises of an iterator cost more
 * than the write. What the reader is too slow for waits here. Nothing is written before `open`.
 */
export class Feed implements Sink<unknown> {
  readonly #response: ServerResponse;
  readonly #log: Log;
  #waiting: unknown[] = [];
  #blocked = true;
  #last: string | undefined;

  constructor(response: ServerResponse, log: Log) {
    this.#response = response;
    this.#log = log;
  }

  get size(): number {
    return this.#waiting.length;
  }

  open(): void {
    const response = this.#response;
    // The end is a line: chunks were three more writes for each value.
    response.useChunkedEncodingByDefault = false;
    response.writeHead(200, { "content-type": linesType, connection: "close" });
    response.flushHeaders();
    response.on("drain", () => this.#flush());
    this.#flush();
  }

  push(value: unknown): void {
    if (this.#last !== undefined) return;
    if (this.#blocked) this.#waiting.push(value);
    else this.#write(value);
  }

  end(error?: unknown): void {
    if (this.#last !== undefined) return;
    if (error !== undefined && !(error instanceof Fault))
      this.#log.error("feed failed", { error: String(error) });
    this.#last = JSON.stringify(error === undefined ? { end: true } : { fault: faultBody(error) });
    if (!this.#blocked) this.#flush();
  }

  #write(value: unknown): void {
    // Somebody who has just gone: who feeds is about to hear of it.
    if (this.#response.destroyed) return;
    this.#blocked = !this.#response.write(`${JSON.stringify({ value })}\n`);
  }

  #flush(): void {
    const waiting = this.#waiting;
    let next = 0;
    this.#blocked = false;
    while (next < waiting.length && !this.#blocked) this.#write(waiting[next++]);
    this.#waiting = waiting.slice(next);
    if (this.#last === undefined || this.#waiting.length > 0 || this.#response.destroyed) return;
    this.#response.end(`${this.#last}\n`);
  }
}
