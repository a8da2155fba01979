import { Fault } from "#core/errors";
import type { Channel } from "#ssh";
import { sendExit, sessionRequests } from "#ssh/session";
import { parseTarget } from "#tunnel";
import { type Carrier, carry } from "./carry.ts";

/** A client's session channel at the proxy: no shell and no commands here, only the proxy's own subsystems (PRX-02). */
export function serveSession(channel: Channel, carrier: Carrier): void {
  let started = false;
  channel.onRequest(async (name, payload) => {
    // Accepted for OpenSSH's sake; nothing at the proxy reads them.
    if (name === "env" || name === "auth-agent-req@openssh.com") return true;
    if (name === "shell" || name === "exec" || name === "pty-req") {
      return refuse(channel, `(proxy) proxy doesn't support request type '${name}'`);
    }
    if (name !== "subsystem" || started) return false;
    started = true;
    try {
      await start(sessionRequests.subsystem.decode(payload).name, channel, carrier);
      return true;
    } catch (err) {
      return refuse(channel, err instanceof Fault ? err.message : "the proxy failed; its log says why");
    }
  });
}

/**
 * Says why on error output, with exit status 1. The request itself is granted: OpenSSH's client leaves at once when one is
 * refused, and would not show the reason (PRX-08).
 */
function refuse(channel: Channel, sentence: string): true {
  const tell = async (): Promise<void> => {
    await channel.writeStderr(Buffer.from(`${sentence}\n`));
    await sendExit(channel, { code: 1 });
    await channel.end();
    await channel.close();
  };
  // Whoever has gone in the meantime misses it.
  setImmediate(() => void tell().catch(() => {}));
  return true;
}

/** Resolves when the subsystem is under way. */
async function start(subsystem: string, channel: Channel, carrier: Carrier): Promise<void> {
  if (subsystem === "proxysites") {
    void answer(channel, carrier.sites());
    return;
  }
  const target = parseTarget(subsystem);
  const { promise: opened, resolve } = Promise.withResolvers<void>();
  const done = carry(target, carrier, () => {
    resolve();
    return channel;
  });
  await Promise.race([opened, done]);
}

async function answer(channel: Channel, text: string): Promise<void> {
  try {
    await channel.write(Buffer.from(text));
    await channel.end();
  } finally {
    await channel.close();
  }
}
