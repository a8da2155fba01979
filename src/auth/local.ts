import type { z } from "zod";
import { type AuthContract, authContract } from "#contract/auth";
import { admit, type Client } from "#contract/rpc";
import type { Identity } from "#model";
import { handlers } from "./handlers.ts";
import type { Auth } from "./open.ts";

/**
 * The auth API for a part of the same process, as `identity`: through the same door as from the network, input parsed,
 * caller asked, answer parsed, without the wire. Faults are those of the handlers.
 */
export function localClient(auth: Auth, identity: Identity): Client<AuthContract> {
  const handle = handlers(auth) as unknown as Record<string, AnyHandler>;
  const client: Record<string, unknown> = {};
  for (const [name, { shape, output }] of Object.entries(authContract)) {
    const answer = output as z.ZodType;
    const enter = async (input: unknown) => {
      const caller = await auth.callerOf(identity);
      return { caller, input: admit(authContract, name, input, caller).input };
    };
    const run = handle[name] as AnyHandler;
    client[name] = {
      call: async (given: unknown, signal = new AbortController().signal) => {
        const { caller, input } = await enter(given);
        return answer.parse(await run(input, caller, signal));
      },
      upload: async (given: unknown, body: unknown, signal = new AbortController().signal) => {
        const { caller, input } = await enter(given);
        return answer.parse(await run(input, body, caller, signal));
      },
      feed: async function* (given: unknown, signal = new AbortController().signal) {
        const { caller, input } = await enter(given);
        for await (const value of (await run(input, caller, signal)) as AsyncIterable<unknown>)
          yield answer.parse(value);
      },
    }[shape];
  }
  return client as Client<AuthContract>;
}

type AnyHandler = (...args: unknown[]) => unknown;
