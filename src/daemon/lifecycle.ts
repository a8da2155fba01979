import type { Clock } from "#core/clock";
import type { Leaving } from "#core/leaving";
import type { Log } from "#core/log";
import type { Listeners } from "./listeners.ts";
import { type Notify, reloading } from "./notify.ts";
import type { OwnProcess, Told } from "./own-process.ts";
import { startSuccessor } from "./successor.ts";

export interface LifecycleParts {
  readonly own: OwnProcess;
  readonly listeners: Listeners;
  readonly leaving: Leaving;
  readonly notify: Notify;
  /** Facts about the process, for whoever looks into it (DEC-17). */
  readonly describe: () => void;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * What a process does by the signals of CFG-142 beside ending: it has another one take its place (HUP, USR2), ends after its
 * last connection (HUP, QUIT), tells about itself (USR1).
 */
export class Lifecycle {
  readonly #parts: LifecycleParts;
  readonly #stop: AbortSignal;
  readonly #end = new AbortController();
  #state: "starting" | "serving" | "handing over" | "retired" = "starting";
  /** The process that serves in the place of this one. */
  #successor: number | undefined;
  #retired: Promise<void> = Promise.resolve();
  #leaves = false;
  /** Came while this process was starting: the configuration may have changed since it was read. */
  #early: Told | undefined;
  /** Was told to quit while another process was on its way to take this one's place. */
  #quits = false;

  /** `stop` aborts when the process is to end at once. */
  constructor(parts: LifecycleParts, stop: AbortSignal) {
    this.#parts = parts;
    this.#stop = stop;
    const { parent } = parts.own;
    parts.own.onSignal((signal) => {
      // The first of a proxy's processes leads the others; a terminal tells all of them at once.
      if (parent?.companion === undefined || signal === "SIGUSR1") this.#told(signal);
    });
    parent?.onMessage((message) => {
      if ("leave" in message) this.#follow(message.leave);
    });
    stop.addEventListener("abort", () => void this.#say("STOPPING=1"), { once: true });
  }

  /** Aborts after the last connection of a process that leaves. */
  get end(): AbortSignal {
    return this.#end.signal;
  }

  /** Every service of this process works. */
  async ready(): Promise<void> {
    const { own, listeners, leaving, notify } = this.#parts;
    this.#state = "serving";
    leaving.serves();
    listeners.dropUnused();
    if (own.parent?.companion === undefined)
      await notify("READY=1", ...(own.parent ? [`MAINPID=${process.pid}`] : []));
    own.parent?.send({ ready: true });
    if (this.#early) this.#told(this.#early);
  }

  #told(signal: Told): void {
    if (signal === "SIGUSR1") this.#parts.describe();
    else if (signal === "SIGQUIT") this.#quit();
    else if (this.#state === "starting") this.#early = signal;
    else {
      const why = this.#objection();
      if (why === undefined) void this.#handOver(signal);
      else this.#parts.log.warn(`${signal.slice(3)} is of no use now`, { why });
    }
  }

  /** Why no other process can take the place of this one now. */
  #objection(): string | undefined {
    if (this.#successor !== undefined)
      return `the process ${this.#successor} serves in the place of this one`;
    if (this.#state === "handing over") return "a new process is on its way";
    return this.#state === "retired" ? "this process is about to end" : undefined;
  }

  #quit(): void {
    if (this.#state === "starting") this.#end.abort();
    else if (this.#state === "handing over") this.#quits = true;
    else {
      void this.#say("STOPPING=1");
      this.#retire({ replaced: this.#successor !== undefined });
      this.#leave();
    }
  }

  async #handOver(signal: "SIGHUP" | "SIGUSR2"): Promise<void> {
    const { own, listeners, clock, log, notify } = this.#parts;
    this.#state = "handing over";
    log.info("starting a new process", { command: own.command.file });
    try {
      await notify(...reloading());
      this.#successor = await startSuccessor(own, listeners.open, clock, this.#stop);
    } catch (err) {
      this.#state = "serving";
      log.warn("the new process did not start, this one goes on", { error: (err as Error).message });
      if (!this.#stop.aborted) await notify("READY=1");
      if (this.#quits) this.#quit();
      return;
    }
    log.info("a new process serves, this one takes no new connections", { pid: this.#successor });
    this.#retire({ replaced: true });
    if (signal === "SIGHUP" || this.#quits) this.#leave();
  }

  /** One of a proxy's processes, told by the first. */
  #follow(how: { readonly replaced: boolean }): void {
    if (this.#state === "starting") this.#end.abort();
    else {
      this.#retire(how);
      this.#leave();
    }
  }

  /** Takes no new connections. */
  #retire(how: { readonly replaced: boolean }): void {
    if (this.#state === "retired") return;
    this.#state = "retired";
    const { leaving, listeners } = this.#parts;
    leaving.begin(how);
    this.#retired = Promise.all([listeners.retire(), leaving.over()]).then(() => {});
  }

  #leave(): void {
    if (this.#leaves) return;
    this.#leaves = true;
    this.#parts.log.info("this process ends after its last connection");
    void this.#retired.then(() => this.#end.abort());
  }

  /** The service manager follows the process that serves, and hears of no other. */
  async #say(assignment: string): Promise<void> {
    const { own, notify } = this.#parts;
    if (this.#successor === undefined && own.parent?.companion === undefined) await notify(assignment);
  }
}
