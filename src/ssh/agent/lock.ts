import { randomBytes, scryptSync, timingSafeEqual } from "node:crypto";
import type { Clock, Millis } from "#core/clock";
import { Fault } from "#core/errors";

/** Each wrong passphrase takes so much longer than the one before, up to a hundred of it. */
const patience: Millis = 100;

/** Locks an agent with a passphrase (`ssh-add -x`): it shows no key and signs nothing until it is said again. */
export class AgentLock {
  readonly #clock: Pick<Clock, "sleep">;
  #secret: { readonly salt: Uint8Array; readonly hash: Uint8Array } | undefined;
  #failures = 0;
  /** Guesses wait for each other, over all connections. */
  #last: Promise<void> = Promise.resolve();

  constructor({ clock }: { clock: Pick<Clock, "sleep"> }) {
    this.#clock = clock;
  }

  get locked(): boolean {
    return this.#secret !== undefined;
  }

  /** Throws `access_denied` when it is locked. */
  close(passphrase: Uint8Array): void {
    if (this.#secret) throw new Fault("access_denied", "the agent is locked already");
    const salt = randomBytes(16);
    this.#secret = { salt, hash: hashOf(passphrase, salt) };
    this.#failures = 0;
  }

  /** Throws `access_denied` for another passphrase, after a while, and when it is not locked. */
  open(passphrase: Uint8Array): Promise<void> {
    const turn = this.#last.then(() => this.#try(passphrase));
    this.#last = turn.catch(() => {});
    return turn;
  }

  async #try(passphrase: Uint8Array): Promise<void> {
    if (!this.#secret) throw new Fault("access_denied", "the agent is not locked");
    const { salt, hash } = this.#secret;
    if (timingSafeEqual(hashOf(passphrase, salt), hash)) {
      this.#secret = undefined;
      return;
    }
    this.#failures = Math.min(this.#failures + 1, 100);
    await this.#clock.sleep(this.#failures * patience);
    throw new Fault("access_denied", "this is not the passphrase that locked the agent");
  }
}

const hashOf = (passphrase: Uint8Array, salt: Uint8Array): Uint8Array => scryptSync(passphrase, salt, 32);
