import type { z } from "zod";
import { type AuthContract, authContract } from "#contract/auth";
import { admit, type Client, type Heard } from "#contract/rpc";
import { Queue } from "#core/queue";
import type { Caller, Identity } from "#model";
import type { Auth } from "../open.ts";
import { handlers } from "./handlers.ts";

/**
 * The auth API for a part of the same process, as `identity`: through the same door as from the network, input parsed,
 * caller asked, answer parsed, without the wire. Faults are those of the handlers.
 */
export function localClient(auth: Auth, identity: Identity): Client<AuthContract> {
  const handle = handlers(auth) as unknown as Record<string, AnyHandler>;
  const client: Record<string, unknown> = {};
  for (const [name, operation] of Object.entries(authContract)) {
    const { shape } = operation;
    const answer = operation.output as z.ZodType;
    const many = "many" in operation && operation.many;
    const run = handle[name] as AnyHandler;
    /** Asks who calls, and whether that one may; then does the work. */
    const enter = async <T>(
      given: unknown,
      work: (input: unknown, caller: Caller) => T,
    ): Promise<Awaited<T>> => {
      let caller: Caller | undefined;
      try {
        caller = await auth.callerOf(identity);
        return await work(admit(authContract, name, given, caller).input, caller);
      } catch (error) {
        const refused = caller ?? ("user" in identity ? identity : undefined);
        if (refused) await auth.refused({ caller: refused, call: name, error });
        throw error;
      }
    };
    client[name] = {
      call: async (given: unknown, signal = new AbortController().signal) => {
        const value = await enter(given, (input, caller) => run(input, caller, signal));
        return many ? value : answer.parse(value);
      },
      upload: async (given: unknown, body: unknown, signal = new AbortController().signal) =>
        answer.parse(await enter(given, (input, caller) => run(input, body, caller, signal))),
      feed: async function* (
        given: unknown,
        signal = new AbortController().signal,
        say?: (signal: AbortSignal) => AsyncIterable<unknown>,
      ) {
        const over = new AbortController();
        const said = say && heard(say(AbortSignal.any([signal, over.signal])));
        try {
          const values = new Queue<unknown>();
          const gone = AbortSignal.any([signal, over.signal]);
          await enter(given, (input, caller) => run(input, caller, gone, values, said));
          for await (const value of values) yield answer.parse(value);
        } finally {
          over.abort();
        }
      },
    }[shape];
  }
  return client as Client<AuthContract>;
}

const heard =
  (said: AsyncIterable<unknown>): Heard<unknown> =>
  async (listener) => {
    for await (const one of said) listener(one);
  };

type AnyHandler = (...args: unknown[]) => unknown;
