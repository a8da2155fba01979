import type { HostCerts } from "#contract/auth";
import type { Certify } from "./identity.ts";
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
  /** There when another process of the daemon started this one. */
  readonly parent?: Parent;
}

/** The process that started this one: for this one to take its place, or to serve the proxy's ports beside it. */
export interface Parent {
  readonly inherited: readonly Inherited[];
  /** Which of the proxy's processes this is, from 2 on; none for one that takes its parent's place. */
  readonly companion?: number;
  send(message: FromChild): void;
  onMessage(listener: (message: FromParent) => void): void;
  /** Calls `gone` when the parent has ended, or has no more to say. */
  onGone(gone: () => void): void;
}

/** The environment variable that tells a process what it inherits: JSON of `Inherited[]`. */
export const inheritedVariable = "TELEPORT_INHERITED";
/** The one that makes it a process of a proxy: `Parent.companion`. */
export const companionVariable = "TELEPORT_PROXY_PROCESS";

export type FromChild = { readonly ready: true } | { readonly certify: Parameters<Certify>[0] };
export type FromParent =
  | { readonly leave: { readonly replaced: boolean } }
  | { readonly certified: HostCerts }
  | { readonly refused: string };
