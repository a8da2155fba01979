import type { z } from "zod";
import { Fault } from "#core/errors";
import type { Caller, ResourceKind, Verb } from "#model";

/** Who may call: a verb on a kind, decided by the caller's roles; or a rule of the call's own. */
export type Allow<I> = readonly [Verb, ResourceKind] | ((caller: Caller, input: I) => boolean);

/** One request, one answer. */
export interface Call<I extends z.ZodType, O extends z.ZodType> {
  readonly shape: "call";
  readonly input: I;
  readonly output: O;
  /** The answer is a list of thousands of stored records, which were checked when they were read, and are not once more. */
  readonly many?: boolean;
  readonly allow: Allow<z.output<I>>;
}
/** One request, a stream of answers, one JSON value a line, until either side ends it. */
export interface Feed<I extends z.ZodType, O extends z.ZodType, S extends z.ZodType = z.ZodNever> {
  readonly shape: "feed";
  readonly input: I;
  readonly output: O;
  /** What the caller may go on saying while it listens, one JSON value a line; absent: nothing. */
  readonly said?: S;
  readonly allow: Allow<z.output<I>>;
}
/** Raw bytes to the server, described by the input; answered when they are safe. */
export interface Upload<I extends z.ZodType, O extends z.ZodType> {
  readonly shape: "upload";
  readonly input: I;
  readonly output: O;
  readonly allow: Allow<z.output<I>>;
}

type Parts<I extends z.ZodType, O extends z.ZodType> = { input: I; output: O; allow: Allow<z.output<I>> };
export const call = <I extends z.ZodType, O extends z.ZodType>(
  parts: Parts<I, O> & { many?: boolean },
): Call<I, O> => ({
  shape: "call",
  ...parts,
});
export const feed = <I extends z.ZodType, O extends z.ZodType, S extends z.ZodType = z.ZodNever>(
  parts: Parts<I, O> & { said?: S },
): Feed<I, O, S> => ({
  shape: "feed",
  ...parts,
});
export const upload = <I extends z.ZodType, O extends z.ZodType>(parts: Parts<I, O>): Upload<I, O> => ({
  shape: "upload",
  ...parts,
});

// biome-ignore lint/suspicious/noExplicitAny: a contract mixes operations of every input and output
type AnyOperation = Call<any, any> | Feed<any, any, any> | Upload<any, any>;
export type Contract = Readonly<Record<string, AnyOperation>>;

/**
 * What a caller goes on saying to a feed: `listener` is called with each value as it comes. Resolves at the end; rejects with what
 * broke it off, such as something that was not understood.
 */
export type Heard<T> = (listener: (value: T) => void) => Promise<void>;

/** Where the values of a feed go. A `Queue` is one. */
export interface Sink<T> {
  /** How many values wait for the reader. */
  readonly size: number;
  push(value: T): void;
  /** What was pushed is still read, then the end, or `error`. */
  end(error?: unknown): void;
}

/** What a server must have: one handler an operation, or it does not compile. */
export type Handlers<C extends Contract> = {
  readonly [K in keyof C]: C[K] extends Feed<infer I, infer O, infer S>
    ? (
        input: z.output<I>,
        caller: Caller,
        /** Aborts when the caller has gone. */
        signal: AbortSignal,
        /** The feed lasts until the handler ends it, or refuses it by throwing. */
        answers: Sink<z.input<O>>,
        /** Undefined when the caller only listens. */
        said: Heard<z.output<S>> | undefined,
      ) => void | Promise<void>
    : C[K] extends Upload<infer I, infer O>
      ? (
          input: z.output<I>,
          body: AsyncIterable<Uint8Array>,
          caller: Caller,
          signal: AbortSignal,
        ) => Promise<z.input<O>>
      : C[K] extends Call<infer I, infer O>
        ? (input: z.output<I>, caller: Caller, signal: AbortSignal) => Promise<z.input<O>>
        : never;
};

/** What a client sees, in the same process or over HTTPS. Failures are `Fault`s of the server's kind and message. */
export type Client<C extends Contract> = {
  readonly [K in keyof C]: C[K] extends Feed<infer I, infer O, infer S>
    ? (
        input: z.input<I>,
        signal?: AbortSignal,
        /** What is said while listening; its signal aborts when the feed is over. */
        say?: (signal: AbortSignal) => AsyncIterable<z.input<S>>,
      ) => AsyncIterable<z.output<O>>
    : C[K] extends Upload<infer I, infer O>
      ? (input: z.input<I>, body: AsyncIterable<Uint8Array>, signal?: AbortSignal) => Promise<z.output<O>>
      : C[K] extends Call<infer I, infer O>
        ? (input: z.input<I>, signal?: AbortSignal) => Promise<z.output<O>>
        : never;
};

/** The door of every operation: knows the name, parses the input, asks `allow`; only then the handler may run. */
export function admit(
  contract: Contract,
  name: string,
  body: unknown,
  caller: Caller,
): { operation: AnyOperation; input: unknown } {
  const operation = Object.hasOwn(contract, name) ? contract[name] : undefined;
  if (!operation) throw new Fault("not_found", `there is no call ${JSON.stringify(name)}`);
  const parsed = operation.input.safeParse(body ?? {});
  if (!parsed.success) {
    // Who may not call at all learns nothing of the call's shape.
    if (typeof operation.allow !== "function" && !caller.can(...operation.allow)) throw denied(caller, name);
    const where = parsed.error.issues[0];
    throw new Fault("bad_parameter", `${name}: ${where?.path.join(".") || "input"}: ${where?.message}`);
  }
  const { allow } = operation;
  const allowed = typeof allow === "function" ? allow(caller, parsed.data) : caller.can(...allow);
  if (!allowed) throw denied(caller, name);
  return { operation, input: parsed.data };
}

const denied = (caller: Caller, name: string): Fault =>
  new Fault("access_denied", `${caller.name} may not call ${name}`);
