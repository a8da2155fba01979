import type { Clock, Millis } from "#core/clock";
import type { Backend } from "./index.ts";

/** Is told of every call of the storage, with the time it took, however it ended. */
export interface StorageMeter {
  read(took: Millis): void;
  wrote(took: Millis): void;
}

/** The same storage, counted. */
export function measured(backend: Backend, meter: StorageMeter, clock: Pick<Clock, "now">): Backend {
  const timed = async <T>(tell: (took: Millis) => void, work: () => Promise<T>): Promise<T> => {
    const began = clock.now();
    try {
      return await work();
    } finally {
      tell(clock.now() - began);
    }
  };
  const read = <T>(work: () => Promise<T>): Promise<T> => timed((took) => meter.read(took), work);
  const write = <T>(work: () => Promise<T>): Promise<T> => timed((took) => meter.wrote(took), work);
  return {
    get: (key) => read(() => backend.get(key)),
    create: (item) => write(() => backend.create(item)),
    put: (item) => write(() => backend.put(item)),
    compareAndSwap: (item, revision) => write(() => backend.compareAndSwap(item, revision)),
    delete: (key) => write(() => backend.delete(key)),
    deletePrefix: (prefix) => write(() => backend.deletePrefix(prefix)),
    commit: (ops, conditions) => write(() => backend.commit(ops, conditions)),
    extend: (items) => write(() => backend.extend(items)),
    range(prefix, options) {
      const range = backend.range(prefix, options);
      return {
        revision: () => range.revision(),
        async *[Symbol.asyncIterator]() {
          // What the reader does between two items is not the storage's time.
          let took: Millis = 0;
          const items = range[Symbol.asyncIterator]();
          try {
            while (true) {
              const began = clock.now();
              const next = await items.next().finally(() => {
                took += clock.now() - began;
              });
              if (next.done) return;
              yield next.value;
            }
          } finally {
            await items.return?.();
            meter.read(took);
          }
        },
      };
    },
    since: (prefix, after) => read(() => backend.since(prefix, after)),
    watch: (prefix, options) => backend.watch(prefix, options),
    [Symbol.asyncDispose]: () => backend[Symbol.asyncDispose](),
  };
}
