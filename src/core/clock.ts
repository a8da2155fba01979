/** Milliseconds since the Unix epoch, or a span of them. */
export type Millis = number;

export const second: Millis = 1000;
export const minute: Millis = 60 * second;
export const hour: Millis = 60 * minute;
export const day: Millis = 24 * hour;

/** Where time comes from. Everything that waits or stamps is handed one; nothing else reads the machine's clock. */
export interface Clock {
  now(): Millis;
  /** Since some moment of no meaning: goes on at its pace when somebody sets the clock, so that spans of time are measured by it. */
  uptime(): Millis;
  /** Resolves after `ms`; rejects with `signal.reason` when aborted first. Does not keep the process alive when `background`. */
  sleep(ms: Millis, signal?: AbortSignal, options?: { background?: boolean }): Promise<void>;
}

/** The machine's clock. Only composition roots (`daemon`, `cli`) and benchmarks name it. */
export const systemClock: Clock = {
  now: () => Date.now(),
  uptime: () => performance.now(),
  sleep(ms, signal, { background = false } = {}) {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    if (signal?.aborted) return Promise.reject(signal.reason as Error);
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(
      () => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      },
      Math.min(ms, 2 ** 31 - 1),
    );
    if (background) timer.unref();
    signal?.addEventListener("abort", onAbort, { once: true });
    return promise;
  },
};

/** A clock that moves only when the test moves it. */
export class TestClock implements Clock {
  #now: Millis;
  #sleepers: { at: Millis; wake: () => void }[] = [];
  constructor(now: Millis = Date.UTC(2026, 0, 1)) {
    this.#now = now;
  }

  now(): Millis {
    return this.#now;
  }

  uptime(): Millis {
    return this.#now;
  }

  sleep(ms: Millis, signal?: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    if (signal?.aborted) return Promise.reject(signal.reason as Error);
    const sleeper = { at: this.#now + ms, wake: resolve };
    signal?.addEventListener(
      "abort",
      () => {
        this.#sleepers = this.#sleepers.filter((s) => s !== sleeper);
        reject(signal.reason as Error);
      },
      { once: true },
    );
    this.#sleepers.push(sleeper);
    return promise;
  }

  /** How many sleeps have not ended; lets a test wait until the code under test sleeps. */
  get sleeping(): number {
    return this.#sleepers.length;
  }

  /** Moves time forward and lets everything that became due run, in order of its time. */
  async advance(ms: Millis): Promise<void> {
    this.#now += ms;
    const due = this.#sleepers.filter((s) => s.at <= this.#now).sort((a, b) => a.at - b.at);
    this.#sleepers = this.#sleepers.filter((s) => s.at > this.#now);
    for (const s of due) s.wake();
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}
