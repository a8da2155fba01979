import { readdir, rename, rm, writeFile } from "node:fs/promises";
import { isAlive } from "./processes.ts";
import { mustRun } from "./run.ts";
import type { TempDir } from "./temp-dir.ts";

/** The machine's clock for programs under libfaketime, moved while they run; their timers go on as they were. */
export class ShiftedClock {
  readonly env: Readonly<Record<string, string>>;
  readonly #file: string;
  #seconds: number;

  private constructor(file: string, library: string, seconds: number) {
    this.#file = file;
    this.#seconds = seconds;
    this.env = {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: "1",
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
    };
  }

  /** Reads `time`, in milliseconds since the epoch; several of one folder are one. */
  static async at(folder: TempDir, time: number): Promise<ShiftedClock> {
    await clearSemaphores();
    const library = (await mustRun("faketime", ["-m", "-f", "+0", "printenv", "LD_PRELOAD"])).trim();
    const clock = new ShiftedClock(folder.at("clock"), library, 0);
    await clock.jump(Math.round((time - Date.now()) / 1000));
    return clock;
  }

  get assignments(): string[] {
    return Object.entries(this.env).map(([name, value]) => `${name}=${value}`);
  }

  async jump(seconds: number): Promise<void> {
    this.#seconds += seconds;
    await writeFile(`${this.#file}.new`, `${this.#seconds < 0 ? "" : "+"}${this.#seconds}\n`);
    await rename(`${this.#file}.new`, this.#file);
  }
}

/**
 * libfaketime names what it shares by the number of the process, leaves it behind when that is killed, and fails in the next process
 * of the number.
 */
async function clearSemaphores(): Promise<void> {
  const folder = "/dev/shm";
  for (const name of await readdir(folder).catch(() => [])) {
    const [, pid] = /^(?:sem\.)?faketime_(?:sem|shm)_(\d+)$/.exec(name) ?? [];
    if (pid !== undefined && !isAlive(Number(pid))) await rm(`${folder}/${name}`, { force: true });
  }
}
