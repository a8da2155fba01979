import type { Clock, Millis } from "#core/clock";
import { Fault } from "#core/errors";
import type { PublicKey, Signer } from "../keys/key.ts";
import { sameKey } from "../keys/public.ts";

export interface KeyringEntry {
  readonly signer: Signer;
  readonly comment: string;
  /** From then on the key is gone. */
  readonly expires?: Millis;
}

/** Bytes of all keys and comments, so that the list of them fits into one message. */
const maxBytes = 240 * 1024;

/** The keys of an agent, in memory only. A certificate and its plain key are two entries. */
export class Keyring {
  readonly #clock: Pick<Clock, "now">;
  #entries: KeyringEntry[] = [];

  constructor({ clock }: { clock: Pick<Clock, "now"> }) {
    this.#clock = clock;
  }

  /** In the order in which they came. */
  list(): readonly KeyringEntry[] {
    const now = this.#clock.now();
    this.#entries = this.#entries.filter(({ expires }) => expires === undefined || expires > now);
    return this.#entries;
  }

  /** In place of an entry for the same key. Throws `limit_exceeded` when the keyring is full. */
  add(entry: KeyringEntry): void {
    const others = this.list().filter(({ signer }) => !sameKey(signer.publicKey, entry.signer.publicKey));
    const all = [...others, entry];
    const size = ({ signer, comment }: KeyringEntry): number =>
      signer.publicKey.blob.length + 3 * comment.length + 8;
    if (all.reduce((sum, each) => sum + size(each), 0) > maxBytes)
      throw new Fault("limit_exceeded", "the agent is full: remove a key first");
    this.#entries = all;
  }

  /** Throws `not_found`. */
  remove(key: PublicKey): void {
    const found = this.list().find(({ signer }) => sameKey(signer.publicKey, key));
    if (!found) throw new Fault("not_found", "the agent does not hold this key");
    this.#entries = this.#entries.filter((entry) => entry !== found);
  }

  removeAll(): void {
    this.#entries = [];
  }

  now(): Millis {
    return this.#clock.now();
  }
}
