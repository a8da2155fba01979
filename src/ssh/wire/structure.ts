import { Fault } from "#core/errors";
import { type AnyShape, type Field, Reader, type Values, Writer } from "./codec.ts";

/** A table like a message's, without the message number: what keys, certificates and signatures are made of. */
export interface Structure<V> extends Field<V> {
  readonly name: string;
  encode(value: V): Uint8Array;
  /** Throws `protocol` when `blob` is short or has bytes left over. */
  decode(blob: Uint8Array): V;
}

/** Key order is wire order. A structure is a field too, so tables nest. */
export function structure<const S extends AnyShape>(name: string, shape: S): Structure<Values<S>> {
  const fields = Object.entries(shape as Record<string, Field<unknown>>);
  const read = (r: Reader): Values<S> => {
    const out: Record<string, unknown> = {};
    for (const [key, field] of fields) out[key] = field.read(r);
    return out as Values<S>;
  };
  const write = (w: Writer, value: Values<S>): void => {
    for (const [key, field] of fields) field.write(w, (value as Record<string, unknown>)[key]);
  };
  return {
    name,
    read,
    write,
    encode(value) {
      const w = new Writer();
      write(w, value);
      return w.finish();
    },
    decode(blob) {
      const r = new Reader(blob);
      const value = read(r);
      if (r.left > 0) throw new Fault("protocol", `${name} has ${r.left} bytes after its last field`);
      return value;
    },
  };
}
