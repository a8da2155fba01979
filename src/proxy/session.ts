import { Fault } from "#core/errors";
import type { Channel } from "#ssh";
import { sessionRequests } from "#ssh/session";
import { parseTarget } from "#tunnel";
import { type Carrier, carry } from "./carry.ts";
import { sites } from "./sites.ts";

/** A client's session channel at the proxy: no shell and no commands here, only the proxy's own subsystems (PRX-02). */
export function serveSession(channel: Channel, carrier: Carrier): void {
  const refuse = async (sentence: string): Promise<false> => {
    await channel.writeStderr(Buffer.from(`${sentence}\n`));
    return false;
  };
  let started = false;
  channel.onRequest(async (name, payload) => {
    // Accepted for OpenSSH's sake; nothing at the proxy reads them.
    if (name === "env" || name === "auth-agent-req@openssh.com") return true;
    if (name !== "subsystem") {
      await refuse(`(proxy) proxy doesn't support request type '${name}'`);
      void channel.close();
      return false;
    }
    if (started) return refuse("(proxy) this channel has its subsystem already");
    started = true;
    const subsystem = sessionRequests.subsystem.decode(payload).name;
    try {
      await start(subsystem, channel, carrier);
      return true;
    } catch (err) {
      return await refuse(err instanceof Fault ? err.message : "the proxy failed; its log says why");
    }
  });
}

/** Resolves when the subsystem is under way. */
async function start(subsystem: string, channel: Channel, carrier: Carrier): Promise<void> {
  if (subsystem === "proxysites") {
    void answer(channel, sites({ cluster_name: carrier.clusterName() }, carrier.now()));
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
