import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { type ChannelRequest, OpenFailure } from "#ssh";
import { AgentClient } from "#ssh/agent";
import { splice } from "#ssh/forward";
import type { Credentials } from "./keystore.ts";
import type { Taker } from "./openings.ts";

/** How an agent's list shows our keys (TSH-54). */
export const commentOf = (user: string): string => `teleport:${user}`;

/** Opens the agent on a socket path, `SSH_AUTH_SOCK`. Rejects with the system's error when nobody is there. */
export async function openAgent(path: string, signal: AbortSignal): Promise<AgentClient> {
  const socket = connect({ path, signal });
  await once(socket, "connect");
  return new AgentClient(socket);
}

/** Puts the login into an agent: the certificate with its key, and the plain key; what an earlier login left goes. */
export async function loadAgent(agent: AgentClient, credentials: Credentials): Promise<void> {
  const { user, key, certificate } = credentials;
  await unloadAgent(agent, user);
  if (!certificate) return;
  await agent.add({ key, certificate }, { comment: commentOf(user) });
  await agent.add({ key }, { comment: commentOf(user) });
}

/** Takes out of an agent what logins of `user` put there, or of everybody. */
export const unloadAgent = (agent: AgentClient, user?: string): Promise<number> =>
  agent.removeWhere((comment) =>
    user === undefined ? comment.startsWith("teleport:") : comment === commentOf(user),
  );

/** Lets a host use the agent on a socket path (TSH-22 `-A`): what takes the channels that it opens for that. */
export const lendAgent =
  (path: string): Taker =>
  (request) =>
    request.kind === "auth-agent@openssh.com" && lend(request, path);

async function lend(request: ChannelRequest, path: string): Promise<void> {
  let socket: Socket;
  try {
    socket = await open(path);
  } catch {
    request.reject(OpenFailure.connectFailed, "the agent does not answer");
    return;
  }
  // A broken pipe ends this one use of the agent and nothing else.
  void splice(request.accept(), socket).catch(() => {});
}

async function open(path: string): Promise<Socket> {
  const socket = connect({ path, allowHalfOpen: true });
  await once(socket, "connect");
  return socket;
}
