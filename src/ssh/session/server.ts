import type { Channel } from "../connection/channel.ts";
import type { Exit } from "./client.ts";
import { sessionRequests } from "./requests.ts";

/** Tells the client how its command ended (RFC 4254 §6.10): after the last output, before the channel is closed. */
export async function sendExit(channel: Channel, exit: Exit): Promise<void> {
  if ("code" in exit)
    await channel.request("exit-status", sessionRequests["exit-status"].encode({ code: exit.code }), false);
  else {
    const body = { signal: exit.signal, coreDumped: exit.core, message: exit.message, language: "" };
    await channel.request("exit-signal", sessionRequests["exit-signal"].encode(body), false);
  }
}
