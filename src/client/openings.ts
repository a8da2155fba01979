import type { ChannelRequest, Connection } from "#ssh";

/** Answers a channel that the host opens, at once or when the promise settles; false when it is none of its business. */
export type Taker = (request: ChannelRequest) => boolean | Promise<void>;

/** Lets several parts of a client take the channels that a host opens. What none of them takes is refused. */
export class Openings {
  readonly #takers: Taker[] = [];

  constructor(connection: Pick<Connection, "onOpen">) {
    connection.onOpen(async (request) => {
      for (const taker of this.#takers) {
        const taken = taker(request);
        if (taken !== false) return taken === true ? undefined : taken;
      }
    });
  }

  add(taker: Taker): void {
    this.#takers.push(taker);
  }
}
