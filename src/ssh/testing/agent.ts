import { type Duplex, duplexPair } from "node:stream";
import { TestClock } from "#core/clock";
import { frame, messages } from "../agent/framing.ts";
import { Keyring } from "../agent/keyring.ts";
import { AgentLock } from "../agent/lock.ts";
import { serveAgent } from "../agent/server.ts";
import { messageId } from "../wire/agent.ts";

/** An agent that serves one connection, of which the test has the near end. */
export function agent(peer: "owner" | "forwarded" = "owner") {
  const clock = new TestClock();
  const keyring = new Keyring({ clock });
  const [near, far] = duplexPair();
  const lock = new AgentLock({ clock });
  const served = serveAgent(far, keyring, { peer, lock });
  served.catch(() => {}); // tests that care look at it themselves
  return { clock, keyring, near, served };
}

/** Sends raw requests, one at a time, and gives back the ids of the replies. */
export async function say(near: Duplex, requests: Uint8Array[]): Promise<number[]> {
  const replies = messages(near);
  const ids: number[] = [];
  for (const request of requests) {
    near.write(frame(request));
    const { value } = await replies.next();
    ids.push(messageId(value as Uint8Array));
  }
  return ids;
}
