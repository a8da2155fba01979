import { isAway } from "#authclient";
import { Fault } from "#core/errors";
import type { WebAuth } from "./options.ts";

/** For strangers: what is the matter and what it means, but not where our auth servers are. */
export const authIsAway =
  "the cluster's auth server cannot be reached, so nobody can log in at the moment; who has logged in already can go on";

/** The same calls; those that find auth away fail with that sentence. */
export const sayingAway = (auth: WebAuth): WebAuth =>
  new Proxy(auth, {
    get(target, name) {
      const call: unknown = Reflect.get(target, name);
      if (typeof call !== "function") return call;
      return async (...args: unknown[]): Promise<unknown> => {
        try {
          return await (call.apply(target, args) as Promise<unknown>);
        } catch (cause) {
          if (isAway(cause)) throw new Fault("unreachable", authIsAway, { cause });
          throw cause;
        }
      };
    },
  });
