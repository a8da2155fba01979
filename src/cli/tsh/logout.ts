import { parseProxy, proxyHost, unloadAgent } from "#client";
import { Fault } from "#core/errors";
import type { Io } from "../io.ts";
import { printable } from "../text.ts";
import type { TshContext } from "./globals.ts";
import { type Home, openHome } from "./home.ts";
import { refuseIdentity } from "./identity.ts";
import { withAgent } from "./log-in.ts";

/** `tsh logout` (TSH-37). */
export async function logout(context: TshContext): Promise<number> {
  const { proxy, user } = context.flags;
  refuseIdentity(context);
  const home = openHome(context.io);
  if (proxy === undefined && user === undefined) return all(context, home);
  if (proxy === undefined || user === undefined) {
    throw new Fault(
      "bad_parameter",
      "give both --proxy and --user to log out one user from one proxy, or neither to log out everywhere",
    );
  }
  return one(context, home, parseProxy(proxy).host, user);
}

async function all({ io }: TshContext, { profiles, keystore }: Home): Promise<number> {
  for (const profile of await profiles.all()) await profiles.remove(proxyHost(profile));
  await keystore.removeAll();
  await emptyAgent(io);
  io.out("Logged out all users from all proxies.");
  return 0;
}

async function one(
  { io }: TshContext,
  { profiles, keystore }: Home,
  typed: string,
  user: string,
): Promise<number> {
  const profile = await profiles.read(typed);
  const host = profile ? proxyHost(profile) : typed;
  const wasThere = await keystore.remove(host, user);
  if (profile?.user === user) await profiles.remove(host);
  if (!wasThere) {
    io.err(`User ${printable(user)} already logged out from ${host}.`);
    return 1;
  }
  await emptyAgent(io, user);
  io.out(`Logged out ${printable(user)} from ${host}.`);
  return 0;
}

/** Takes what logins put there out of the agent; with a dead agent nothing is left to take. */
async function emptyAgent(io: Io, user?: string): Promise<void> {
  const path = io.env.SSH_AUTH_SOCK;
  if (!path) return;
  await withAgent(path, (agent) => unloadAgent(agent, user)).catch(() => {});
}
