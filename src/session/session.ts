import { type Millis, second } from "#core/clock";
import { drained, type Pump, pump } from "./drain.ts";
import type { Recorder } from "./recorder.ts";
import { type Telling, tell, type Who } from "./tell.ts";

export interface Size {
  readonly columns: number;
  readonly rows: number;
}

/** How a program ended; a signal is named without SIG. */
export type Exit = { readonly code: number } | { readonly signal: string };

/** A program on a terminal, as a session sees it. */
export interface Shell {
  /** What the terminal shows, until the last program has let go of it. */
  readonly output: AsyncIterable<Uint8Array>;
  write(bytes: Uint8Array): Promise<void>;
  resize(size: Size): void;
  readonly exit: Promise<Exit>;
  /** Closes the terminal: programs on it get SIGHUP, `output` ends. */
  hangUp(): void;
  /** For a program that does not mind a hang-up. */
  kill(): void;
}

/** Someone who sees the terminal and types on it. */
export interface Party {
  readonly user: string;
  readonly input: AsyncIterable<Uint8Array>;
  /** Rejects when the party is gone. */
  write(chunk: Uint8Array): Promise<void>;
  readonly gone: Promise<void>;
}

/** How long a session waits for someone to come back (SSH-43), and a hung-up program may take to end. */
const linger: Millis = 20 * second;
const grace: Millis = 5 * second;

/** An interactive session: one terminal, whoever takes part, its recording and its events. */
export class LiveSession {
  readonly sid: string;
  readonly #who: Who;
  readonly #shell: Shell;
  readonly #recorder: Recorder;
  readonly #telling: Telling;
  /** Who is here, and how to tell them that they are no longer. */
  readonly #parties = new Map<Party, () => void>();
  readonly #participants = new Set<string>();
  #size: Size;
  #output: Pump | undefined;
  #arrived: (() => void) | undefined;
  #emptied: (() => void) | undefined;

  constructor(parts: {
    readonly sid: string;
    readonly who: Who;
    readonly shell: Shell;
    readonly size: Size;
    readonly recorder: Recorder;
    readonly telling: Telling;
  }) {
    this.sid = parts.sid;
    this.#who = parts.who;
    this.#shell = parts.shell;
    this.#size = parts.size;
    this.#recorder = parts.recorder;
    this.#telling = parts.telling;
  }

  /**
   * Runs the session with its first party until the program has ended and everything of it is recorded and told. Once
   * `signal` has aborted nobody can come back, and an empty session ends at once.
   */
  async run(first: Party, signal: AbortSignal): Promise<Exit> {
    const { clock } = this.#telling;
    const { user, login, server_id } = this.#who;
    const session = { user, login, server_id, sid: this.sid };
    this.#tell({ code: "T2000I", ...this.#who, sid: this.sid, size: sizeText(this.#size) });
    const output = pump(this.#shell.output, this.#recorder, (chunk) => this.#show(chunk));
    this.#output = output;
    const left = this.join(first);
    const exit = await this.#untilOver(signal);
    await drained([output], clock, { once: true });
    this.#shell.hangUp();
    await output.done;
    for (const party of [...this.#parties.keys()]) this.#leave(party);
    this.#tell({ code: "T2004I", ...session, participants: [...this.#participants] });
    await this.#recorder.end();
    const { received, sent } = await left;
    tell({ code: "T2006I", ...this.#who, sid: this.sid, tx: received, rx: sent }, this.#telling);
    return exit;
  }

  /** Takes someone in. Resolves when they have left, with the bytes they typed and saw. */
  async join(party: Party): Promise<{ received: number; sent: number }> {
    const before = this.#output?.sent ?? 0;
    const { promise: left, resolve: leave } = Promise.withResolvers<void>();
    this.#parties.set(party, leave);
    this.#participants.add(party.user);
    this.#arrived?.();
    let received = 0;
    const typing = (async () => {
      for await (const chunk of party.input) {
        received += chunk.length;
        await this.#shell.write(chunk);
      }
    })();
    // Input that breaks off says nothing that `gone` does not.
    typing.catch(() => {});
    await Promise.race([party.gone, left]);
    this.#leave(party);
    return { received, sent: (this.#output?.sent ?? 0) - before };
  }
  /** Changes the size of the terminal, for everybody. */
  resize(size: Size): void {
    if (size.columns === this.#size.columns && size.rows === this.#size.rows) return;
    this.#size = size;
    this.#shell.resize(size);
    const { user, login, server_id } = this.#who;
    this.#tell({ code: "T2002I", user, login, server_id, sid: this.sid, size: sizeText(size) });
  }

  #leave(party: Party): void {
    const leave = this.#parties.get(party);
    if (leave === undefined) return;
    this.#parties.delete(party);
    leave();
    const { login, server_id } = this.#who;
    this.#tell({ code: "T2003I", user: party.user, login, server_id, sid: this.sid });
    if (this.#parties.size === 0) this.#emptied?.();
  }

  async #show(chunk: Uint8Array): Promise<void> {
    await Promise.all(
      [...this.#parties.keys()].map((party) => party.write(chunk).catch(() => this.#leave(party))),
    );
  }

  /** Until the program ends, of itself or because nobody is there any more. */
  async #untilOver(signal: AbortSignal): Promise<Exit> {
    const exit = this.#shell.exit.then((how) => ({ how }));
    while (true) {
      const empty = new Promise<"empty">((resolve) => {
        this.#emptied = () => resolve("empty");
        if (this.#parties.size === 0) resolve("empty");
      });
      const event = await Promise.race([exit, empty]);
      if (event !== "empty") return event.how;
      const back = new Promise<"back">((resolve) => {
        this.#arrived = () => resolve("back");
      });
      const after = await this.#within(linger, Promise.race([exit, back]), signal);
      if (after === "back") continue;
      if (after !== undefined) return after.how;
      this.#shell.hangUp();
      const hungUp = await this.#within(grace, exit);
      if (hungUp === undefined) this.#shell.kill();
      return (hungUp ?? (await exit)).how;
    }
  }

  /** Undefined when `ms` pass first, or `signal` aborts. */
  async #within<T>(ms: Millis, work: Promise<T>, signal?: AbortSignal): Promise<T | undefined> {
    const stop = new AbortController();
    const cut = signal ? AbortSignal.any([stop.signal, signal]) : stop.signal;
    const late = this.#telling.clock.sleep(ms, cut).then(
      () => undefined,
      () => undefined,
    );
    try {
      return await Promise.race([work, late]);
    } finally {
      stop.abort();
    }
  }

  #tell(draft: Parameters<typeof tell>[0]): void {
    tell(draft, this.#telling, this.#recorder);
  }
}

const sizeText = ({ columns, rows }: Size): string => `${columns}:${rows}`;
