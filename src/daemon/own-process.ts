import type { Inherited } from "./listeners.ts";

/** Signals by which an operator tells a daemon to do more than end. */
export type Told = "SIGHUP" | "SIGUSR1" | "SIGUSR2" | "SIGQUIT";

/** What the process that the daemon runs in is to it: how it was started, and what it was started with. */
export interface OwnProcess {
  /** The same command again, by its name: another version may be in its place by now. */
  readonly command: { readonly file: string; readonly args: readonly string[] };
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Calls `told` for every such signal, from now on. */
  onSignal(told: (signal: Told) => void): void;
  /** There when another process of the daemon started this one to take its place. */
  readonly before?: {
    readonly inherited: readonly Inherited[];
    /** Tells it that this one serves. */
    ready(): void;
  };
}

/** The environment variable that tells a process what it inherits: JSON of `Inherited[]`. */
export const inheritedVariable = "TELEPORT_INHERITED";

/** What a new process tells the one that started it. */
export interface Ready {
  readonly ready: true;
}
