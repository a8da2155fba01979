/** The ssh-agent protocol, both sides, over any stream. Forwarding an agent is a pipe between two streams and needs neither. */
export { AgentClient, type AgentIdentity } from "./client.ts";
export { Keyring, type KeyringEntry } from "./keyring.ts";
export { AgentLock } from "./lock.ts";
export { type AgentKeys, type ServeAgentOptions, serveAgent } from "./server.ts";
