import { once } from "node:events";
import { connect } from "node:net";
import { AgentClient } from "#ssh/agent";
import type { Credentials } from "./keystore.ts";

/** How an agent's list shows our keys (TSH-54). */
const commentOf = (user: string): string => `teleport:${user}`;

/** Opens the agent on a socket path, `SSH_AUTH_SOCK`. Rejects with the system's error when nobody is there. */
export async function openAgent(path: string): Promise<AgentClient> {
  const socket = connect(path);
  await once(socket, "connect");
  return new AgentClient(socket);
}

/** Puts the login into an agent: the certificate with its key, and the plain key; what an earlier login left goes. */
export async function loadAgent(agent: AgentClient, credentials: Credentials): Promise<void> {
  const { user, key, certificate } = credentials;
  await agent.removeWhere((comment) => comment === commentOf(user));
  if (!certificate) return;
  await agent.add({ key, certificate }, { comment: commentOf(user) });
  await agent.add({ key }, { comment: commentOf(user) });
}

/** Takes out of an agent what logins of `user` put there, or of everybody. */
export const unloadAgent = (agent: AgentClient, user?: string): Promise<number> =>
  agent.removeWhere((comment) =>
    user === undefined ? comment.startsWith("teleport:") : comment === commentOf(user),
  );
