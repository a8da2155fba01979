import { type Profiler, Session } from "node:inspector";

/** Counts by V8 of the blocks that ran, as a fuzzer wants them: only what is new. */
export class Coverage implements Disposable {
  readonly #session = new Session();
  readonly #part: string;
  readonly #seen = new Set<string>();

  /** Of the scripts whose address holds `part`. */
  constructor(part: string) {
    this.#part = part;
    this.#session.connect();
    this.#session.post("Profiler.enable");
    this.#session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  }

  /** Blocks known so far, each with the magnitudes of its counts. */
  get size(): number {
    return this.#seen.size;
  }

  /** What ran since the last call and had not run, or not so often, before. Remembered when `keep`. */
  take(keep: boolean): number {
    let fresh = 0;
    // In the same thread the answer comes before `post` returns.
    this.#session.post("Profiler.takePreciseCoverage", (err, answer) => {
      if (err) throw err;
      for (const script of answer.result) {
        if (!script.url.includes(this.#part)) continue;
        for (const { ranges } of script.functions)
          for (const range of ranges) fresh += this.#add(script, range, keep);
      }
    });
    return fresh;
  }

  #add(script: Profiler.ScriptCoverage, range: Profiler.CoverageRange, keep: boolean): number {
    if (range.count === 0) return 0;
    const magnitude = Math.min(8, 32 - Math.clz32(range.count));
    const key = `${script.scriptId}:${range.startOffset}:${range.endOffset}:${magnitude}`;
    if (this.#seen.has(key)) return 0;
    if (keep) this.#seen.add(key);
    return 1;
  }

  [Symbol.dispose](): void {
    this.#session.disconnect();
  }
}
