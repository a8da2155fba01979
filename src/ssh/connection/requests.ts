import { Fault } from "#core/errors";

export interface PeerRequest {
  readonly name: string;
  readonly payload: Uint8Array;
  readonly wantReply: boolean;
}

type Answer<A> = Promise<A> | A;
export type RequestHandler<A> = (name: string, payload: Uint8Array, wantReply: boolean) => Answer<A>;

/** Far above what an honest peer leaves unanswered. */
const maxWaiting = 256;
const maxWaitingBytes = 1 << 20;

/**
 * Requests of the peer, answered one at a time in order, since replies carry no number (RFC 4254 §4, §5.4).
 * A handler that answers at once is answered at once: what follows in the stream comes after it.
 */
export class RequestQueue<A extends boolean | Uint8Array> {
  readonly #reply: (answer: A | false) => void;
  readonly #own: ReadonlyMap<string, () => A>;
  #handler: RequestHandler<A | false> | undefined;
  #waiting: PeerRequest[] = [];
  #bytes = 0;
  #busy = false;

  /** `own` are requests answered here, whoever else handles the rest. */
  constructor(reply: (answer: A | false) => void, own: ReadonlyMap<string, () => A>) {
    this.#reply = reply;
    this.#own = own;
  }

  handle(handler: RequestHandler<A>): void {
    this.#handler = handler;
    this.#run();
  }

  /** Throws `limit_exceeded` when the peer asks faster than it is answered. */
  push(request: PeerRequest): void {
    this.#bytes += request.payload.length;
    if (this.#waiting.length >= maxWaiting || this.#bytes > maxWaitingBytes)
      throw new Fault("limit_exceeded", `${this.#waiting.length} requests wait for an answer already`);
    this.#waiting.push(request);
    this.#run();
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
