import { aborted } from "#core/aborted";
import type { Clock, Millis } from "#core/clock";
import { second } from "#core/clock";
import { formatDuration } from "#core/duration";
import type { Service } from "#core/service";
import type { Labels, Node } from "#model";

/** A label whose value is what a command prints, asked for again every period. */
export interface CommandLabel {
  readonly name: string;
  /** The program and its arguments. */
  readonly command: readonly string[];
  readonly period: Millis;
}

/** So long the node's start waits for first values: who is let in may depend on them, and a command may hang. */
const firstValues: Millis = 2 * second;

/**
 * Labels by command (SSH-50), as a service: runs each command at the start and every period, and is ready when all have a value
 * or were waited for long enough. Until a command has ended once its label is empty, so that it hides a static one of its
 * name from the first moment on (SSH-51).
 */
export class CommandLabels implements Service {
  readonly name = "labels";
  readonly #commands: readonly CommandLabel[];
  readonly #run: (command: readonly string[], signal: AbortSignal) => Promise<string>;
  readonly #changed: () => void;
  readonly #clock: Clock;
  readonly #results = new Map<string, string>();

  /** `run` answers the value whatever the command does, see `labelOf`; `changed` is called when some value is another. */
  constructor(parts: {
    commands: readonly CommandLabel[];
    run: (command: readonly string[], signal: AbortSignal) => Promise<string>;
    changed: () => void;
    clock: Clock;
  }) {
    // Of two commands for one label the later counts, as it does in a map.
    this.#commands = [...new Map(parts.commands.map((label) => [label.name, label])).values()];
    this.#run = parts.run;
    this.#changed = parts.changed;
    this.#clock = parts.clock;
  }

  /** The values of now. */
  labels(): Labels {
    return Object.fromEntries(this.#commands.map(({ name }) => [name, this.#results.get(name) ?? ""]));
  }

  /** The same as a node's record tells them; undefined when there are none. */
  record(): Node["spec"]["cmd_labels"] {
    if (this.#commands.length === 0) return undefined;
    return Object.fromEntries(
      this.#commands.map(({ name, command, period }) => [
        name,
        {
          command: [...command],
          period: formatDuration(period),
          result: this.#results.get(name) ?? "",
        },
      ]),
    );
  }

  async run(signal: AbortSignal, ready: () => void): Promise<void> {
    const stop = new AbortController();
    const firsts = this.#commands.map(() => Promise.withResolvers<void>());
    const all = this.#commands.map((label, i) => this.#follow(label, signal, () => firsts[i]?.resolve()));
    const waited = this.#clock.sleep(firstValues, AbortSignal.any([signal, stop.signal])).catch(() => {});
    await Promise.race([Promise.all(firsts.map(({ promise }) => promise)), waited]);
    stop.abort();
    ready();
    await Promise.all(all);
    await aborted(signal);
  }

  async #follow(
    { name, command, period }: CommandLabel,
    signal: AbortSignal,
    had: () => void,
  ): Promise<void> {
    while (!signal.aborted) {
      const started = this.#clock.uptime();
      const value = await this.#run(command, signal);
      if (signal.aborted) return;
      if (this.#results.get(name) !== value) {
        this.#results.set(name, value);
        this.#changed();
      }
      had();
      await this.#clock.sleep(Math.max(0, started + period - this.#clock.uptime()), signal).catch(() => {});
    }
  }
}
