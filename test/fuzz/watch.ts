/** What a worker is doing, in memory that the one who watches it can read while it hangs. */
const maxInput = 64 * 1024;
const headBytes = 16;

export class Watch {
  readonly memory: SharedArrayBuffer;
  /** Inputs begun, index of the target, length of the input. */
  readonly #head: Int32Array;
  readonly #input: Uint8Array;

  constructor(memory = new SharedArrayBuffer(headBytes + maxInput)) {
    this.memory = memory;
    this.#head = new Int32Array(memory, 0, 3);
    this.#input = new Uint8Array(memory, headBytes);
  }

  begin(target: number, input: Uint8Array): void {
    const length = Math.min(input.length, maxInput);
    this.#input.set(input.subarray(0, length));
    this.#head[1] = target;
    this.#head[2] = length;
    Atomics.add(this.#head, 0, 1);
  }

  /** How many inputs were begun, and the one of now. */
  get count(): number {
    return Atomics.load(this.#head, 0);
  }
  get target(): number {
    return this.#head[1] as number;
  }
  get input(): Uint8Array {
    return this.#input.slice(0, this.#head[2]);
  }
}
