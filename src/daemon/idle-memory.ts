import { performance } from "node:perf_hooks";
import { type Clock, type Millis, second } from "#core/clock";
import type { Service } from "#core/service";

/** What of the JavaScript engine is needed to have it look for garbage. */
export interface Engine {
  collect(): void;
  /** Bytes of the heap and of buffers outside it, garbage included. */
  used(): number;
  /** The share of time that the event loop has worked since the last call, 0 to 1. */
  load(): number;
}

const lookEvery: Millis = 5 * second;
/** A collection stops everything for some tens of milliseconds: only while hardly anything goes on. */
const idleBelow = 0.05;
const worthIt = 1.15;

/**
 * Gives the memory of busy hours back to the machine. The engine looks for garbage when something is allocated, so in a daemon
 * that has become idle what is left of its sessions would stay.
 */
export function idleMemory(engine: Engine, clock: Clock): Service {
  return {
    name: "idle memory",
    async run(signal, ready) {
      ready();
      let lowest = engine.used();
      engine.load();
      let again = false;
      while (!signal.aborted) {
        await clock.sleep(lookEvery, signal, { background: true }).catch(() => {});
        const used = engine.used();
        // By itself the engine collects too.
        lowest = Math.min(lowest, used);
        if (engine.load() > idleBelow || signal.aborted) continue;
        if (used < lowest * worthIt && !again) continue;
        engine.collect();
        lowest = engine.used();
        // What one collection empties, the next gives back to the machine.
        again = !again;
      }
    },
  };
}

/** This process's engine; none where Node was started without `--expose-gc`. */
export function thisEngine(): Engine | undefined {
  const { gc } = globalThis;
  if (!gc) return undefined;
  let last = performance.eventLoopUtilization();
  return {
    collect: () => gc({ type: "major" }),
    used: () => {
      const { heapUsed, external } = process.memoryUsage();
      return heapUsed + external;
    },
    load: () => {
      const now = performance.eventLoopUtilization();
      const { utilization } = performance.eventLoopUtilization(now, last);
      last = now;
      return utilization;
    },
  };
}
