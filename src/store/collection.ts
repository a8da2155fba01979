import type { z } from "zod";
import type { Backend, Op, Revision, Stored } from "#backend";
import type { Millis } from "#core/clock";
import { Fault, notFound } from "#core/errors";
import { ListOfMany } from "./list-of-many.ts";
import { decode, encode, keyPart } from "./record.ts";

interface CollectionSpec<S extends z.ZodType> {
  readonly backend: Backend;
  /** As in messages: `user`. */
  readonly what: string;
  /** `/users/`; the name follows. */
  readonly prefix: string;
  readonly schema: S;
  readonly nameOf: (value: z.output<S>) => string;
  /** There may be thousands, listed often: what was read is kept, and brought up to date by what has changed since. */
  readonly many?: boolean;
  /** When a record goes away by itself. */
  readonly expiresOf?: (value: z.output<S>) => Millis | undefined;
}

/** A record with the revision it was read at, for a swap. */
interface Versioned<T> {
  readonly value: T;
  readonly revision: Revision;
  readonly expires?: Millis;
}

/** How often a change is tried again because someone else was faster. */
const attempts = 20;

/** Records of one kind, by name. What expires is gone (AUTH-43). */
export class Collection<S extends z.ZodType, T extends z.output<S> = z.output<S>> {
  readonly #spec: CollectionSpec<S>;
  readonly #list: ListOfMany<T> | undefined;
  readonly prefix: string;

  constructor(spec: CollectionSpec<S>) {
    this.#spec = spec;
    this.prefix = spec.prefix;
    if (spec.many) this.#list = new ListOfMany({ ...spec, read: (item) => this.read(item) });
  }

  key(name: string): string {
    return this.#spec.prefix + keyPart(name);
  }

  async find(name: string): Promise<T | undefined> {
    return (await this.findVersioned(name))?.value;
  }

  async findVersioned(name: string): Promise<Versioned<T> | undefined> {
    try {
      return this.#read(await this.#spec.backend.get(this.key(name)));
    } catch (err) {
      if (Fault.is(err, "not_found")) return undefined;
      throw err;
    }
  }

  /** Throws `not_found`. */
  async get(name: string): Promise<T> {
    const found = await this.find(name);
    if (found === undefined) throw notFound(this.#spec.what, name);
    return found;
  }

  /** By key order. */
  async list(): Promise<T[]> {
    if (this.#list) return this.#list.now();
    const values: T[] = [];
    for await (const item of this.#spec.backend.range(this.prefix)) values.push(this.read(item));
    return values;
  }

  /** Throws `already_exists`. */
  async create(value: T): Promise<void> {
    const op = this.putting(value);
    try {
      await this.#spec.backend.create(op.item);
    } catch (err) {
      if (!Fault.is(err, "already_exists")) throw err;
      const name = this.#spec.nameOf(value);
      throw new Fault("already_exists", `${this.#spec.what} '${name}' already exists`, { cause: err });
    }
  }

  async put(value: T, expires?: Millis): Promise<void> {
    await this.#spec.backend.put(this.putting(value, expires).item);
  }

  /**
   * Reads, changes and swaps until nobody came between; undefined from `change` leaves the record as it is. `change`
   * is given undefined where there is no record yet. Returns what is stored now.
   */
  async update(
    name: string,
    change: (now: T | undefined) => T | undefined,
    expires?: Millis,
  ): Promise<T | undefined> {
    for (let attempt = 0; attempt < attempts; attempt++) {
      const now = await this.findVersioned(name);
      const next = change(now?.value);
      if (next === undefined) return now?.value;
      const op = this.putting(next, expires);
      try {
        await this.#spec.backend.commit([op], [{ key: op.item.key, revision: now?.revision ?? "absent" }]);
        return next;
      } catch (err) {
        if (!Fault.is(err, "compare_failed")) throw err;
      }
    }
    throw new Fault("limit_exceeded", `${this.#spec.what} ${name} is changed by too many at once; try again`);
  }

  /** Throws `not_found`. */
  async delete(name: string): Promise<void> {
    try {
      await this.#spec.backend.delete(this.key(name));
    } catch (err) {
      throw Fault.is(err, "not_found") ? notFound(this.#spec.what, name) : err;
    }
  }

  /** The write as a part of a commit. */
  putting(value: T, expires = this.#spec.expiresOf?.(value)): Extract<Op, { type: "put" }> {
    const key = this.key(this.#spec.nameOf(value));
    return {
      type: "put",
      item: { key, value: encode(value), ...(expires !== undefined && { expires }) },
    };
  }

  deleting(name: string): Op {
    return { type: "delete", key: this.key(name) };
  }

  /** What a stored item of this collection says. */
  read(item: Stored): T {
    return this.#read(item).value;
  }

  #read(item: Stored): Versioned<T> {
    const value = decode(this.#spec.schema, item.key, item.value) as T;
    return {
      value,
      revision: item.revision,
      ...(item.expires !== undefined && { expires: item.expires }),
    };
  }
}
