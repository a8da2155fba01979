/** Different users that are served at a time (CFG-18): one who is there may come again. */
export class Seats {
  readonly #most: number;
  /** Connections of each user. */
  readonly #users = new Map<string, number>();

  constructor(most: number) {
    this.#most = most;
  }

  /** Counts a connection of a user; what to call once when it has ended. Undefined when all seats are taken by others. */
  take(user: string): (() => void) | undefined {
    if (!this.#users.has(user) && this.#users.size >= this.#most) return undefined;
    this.#users.set(user, (this.#users.get(user) ?? 0) + 1);
    return () => {
      const left = (this.#users.get(user) ?? 0) - 1;
      if (left > 0) this.#users.set(user, left);
      else this.#users.delete(user);
    };
  }
}
