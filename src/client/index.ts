// Only what is cheap to load stands here; what needs schemas is behind the functions at the end.

export type { Connection } from "#ssh";
export { fingerprint } from "#ssh/keys";
export {
  type Destination,
  type ProxyAddress,
  parseDestination,
  parseLabels,
  parseProxy,
} from "./address.ts";
export { lendAgent, loadAgent, openAgent, unloadAgent } from "./agent.ts";
export { type ConnectOptions, type HostTarget, ProxyConnection } from "./connect.ts";
export { type Credentials, expiryOf, type HostKey, Keystore, rolesOf, signerOf } from "./keystore.ts";
export { type Profile, Profiles, proxyHost } from "./profile.ts";
export type { Place } from "./scp.ts";
export { type Ending, type Local, type LocalTerminal, run } from "./shell.ts";
export { sshConfig } from "./ssh-config.ts";
export { isOlder } from "./version.ts";
export type { WebClientOptions } from "./web.ts";

/** `ping`, `clusterKnown`, `login`, `profileOf`: the web API, for who has no certificate yet. */
export const loginApi = () => import("./login.ts");
/** `openAuth`: the auth API, for who has one. */
export const authApi = () => import("./auth.ts");
/** `openRecording`, `Player`, `playerKeys`. */
export const player = () => import("./play.ts");
/** `LoginKeys`, `serveAgentAt`, `agentAnswers`: an agent of our own. */
export const localAgent = () => import("./local-agent.ts");
/** `upload`, `download`, `parsePlace`. */
export const scpApi = () => import("./scp.ts");
