import { Fault } from "#core/errors";

/** Work under one name is done one after the other, in the order it came. */
export class Turns {
  readonly #waiting: number;
  readonly #queues = new Map<string, { last: Promise<unknown>; length: number }>();

  /** So many may stand in one queue; more are turned away with `limit_exceeded`. */
  constructor(waiting: number) {
    this.#waiting = waiting;
  }

  async take<T>(name: string, work: () => Promise<T>): Promise<T> {
    const queue = this.#queues.get(name) ?? { last: Promise.resolve(), length: 0 };
    if (queue.length >= this.#waiting) throw tooMany();
    this.#queues.set(name, queue);
    queue.length++;
    const mine = queue.last.then(work, work);
    queue.last = mine.catch(() => {});
    try {
      return await mine;
    } finally {
      queue.length--;
      if (queue.length === 0) this.#queues.delete(name);
    }
  }
}

export const tooMany = (): Fault =>
  new Fault("limit_exceeded", "too many people log in at once; try again in a moment");
