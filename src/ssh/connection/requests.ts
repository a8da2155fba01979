import { Fault } from "#core/errors";
import type { RequestBudget } from "./limits.ts";

export interface PeerRequest {
  readonly name: string;
  readonly payload: Uint8Array;
  readonly wantReply: boolean;
}

type Answer<A> = Promise<A> | A;
export type RequestHandler<A> = (name: string, payload: Uint8Array, wantReply: boolean) => Answer<A>;

/**
 * Requests of the peer, answered one at a time in order, since replies carry no number (RFC 4254 §4, §5.4).
 * A handler that answers at once is answered at once: what follows in the stream comes after it.
 */
export class RequestQueue<A extends boolean | Uint8Array> {
  readonly #reply: (answer: A | false) => void;
  readonly #own: ReadonlyMap<string, RequestHandler<A | false>>;
  readonly #budget: RequestBudget;
  #handler: RequestHandler<A | false> | undefined;
  #waiting: PeerRequest[] = [];
  #bytes = 0;
  #busy = false;
  #closed = false;

  /** `own` are requests answered here, whoever else handles the rest; `budget` is the connection's. */
  constructor(
    reply: (answer: A | false) => void,
    own: ReadonlyMap<string, RequestHandler<A | false>>,
    budget: RequestBudget,
  ) {
    this.#reply = reply;
    this.#own = own;
    this.#budget = budget;
  }

  handle(handler: RequestHandler<A>): void {
    this.#handler = handler;
    this.#run();
  }

  /** Throws `limit_exceeded` when the peer asks faster than it is answered. */
  push(request: PeerRequest): void {
    if (this.#closed) return;
    const bytes = request.payload.length;
    if (!this.#budget.take(bytes, { count: this.#waiting.length, bytes: this.#bytes }))
      throw new Fault("limit_exceeded", `${this.#waiting.length} requests wait for an answer already`, {
        details: { limit: "requests" },
      });
    this.#bytes += bytes;
    this.#waiting.push(request);
    this.#run();
  }

  /** No more will come. What waits is still delivered, and no longer counts: only who holds the channel holds it. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#budget.giveBack(this.#waiting.length, this.#bytes);
  }

  /** From now on requests without a handler are refused. */
  refuseUnhandled(): void {
    this.#handler ??= () => false;
    this.#run();
  }

  #run(): void {
    while (!this.#busy) {
      const request = this.#waiting[0];
      const handler = request && (this.#own.get(request.name) ?? this.#handler);
      if (!request || !handler) return;
      this.#waiting.shift();
      this.#bytes -= request.payload.length;
      if (!this.#closed) this.#budget.giveBack(1, request.payload.length);
      let answer: Answer<A | false>;
      try {
        answer = handler(request.name, request.payload, request.wantReply);
      } catch {
        answer = false;
      }
      if (answer instanceof Promise) void this.#later(request, answer);
      else if (request.wantReply) this.#reply(answer);
    }
  }

  async #later(request: PeerRequest, pending: Promise<A | false>): Promise<void> {
    this.#busy = true;
    const answer = await pending.catch(() => false as const);
    if (request.wantReply) this.#reply(answer);
    this.#busy = false;
    this.#run();
  }
}
