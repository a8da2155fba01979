// Only what is cheap to load stands here; what needs schemas is behind the functions at the end.

export { validity } from "#pki";
export type { Connection } from "#ssh";
export { fingerprint, formatPublicKeyLine } from "#ssh/keys";
export {
  type Destination,
  type Jump,
  type ProxyAddress,
  parseDestination,
  parseJumps,
  parseLabels,
  parseProxy,
} from "./address.ts";
export { lendAgent, loadAgent, openAgent, unloadAgent } from "./agent.ts";
export type { BrowserLogin } from "./browser-login.ts";
export { type ConnectOptions, type HostTarget, ProxyConnection } from "./connect.ts";
export type { EscapeReader, Typed } from "./escapes.ts";
export { writeWhole } from "./files.ts";
export type { Forward, ForwardFlag } from "./forward-spec.ts";
export type { Forwards } from "./forwards.ts";
export {
  type Credentials,
  expiryOf,
  type HostKey,
  Keystore,
  knowsCluster,
  rolesOf,
  signerOf,
} from "./keystore.ts";
export { Openings } from "./openings.ts";
export { type Profile, Profiles, profileAt, proxyHost } from "./profile.ts";
export type { Place, Progress } from "./scp.ts";
export { connectStdio, type Ending, type Local, type LocalTerminal, run } from "./shell.ts";
export { sshConfig } from "./ssh-config.ts";
export type { WebClientOptions } from "./web.ts";

/** `ping`, `clusterKnown`, `login`, `loginOnPage`, `profileOf`: the web API, for who has no certificate yet. */
export const loginApi = () => import("./login.ts");
/** `beginSsoLogin`: logins by a connector. */
export const ssoLoginApi = () => import("./sso-login.ts");
/** `checkKeyPage`, `beginKeyLogin`: logins with a security key. */
export const keyLoginApi = () => import("./key-login.ts");
/** `openAuth`: the auth API, for who has one. */
export const authApi = () => import("./auth.ts");
/** `relearnAuthorities`: what certifies hosts, when that has changed. */
export const relearning = () => import("./relearn.ts");
/** `openRecording`, `Player`, `playerKeys`. */
export const player = () => import("./play.ts");
/** `LoginKeys`, `serveAgentAt`, `agentAnswers`: an agent of our own. */
export const localAgent = () => import("./local-agent.ts");
/** `upload`, `download`, `parsePlace`. */
export const scpApi = () => import("./scp.ts");
/** `Forwards`, `parseForward`, `parseListening`, `placeText`: `-L`, `-R` and `-D`. */
export const forwarding = async () => {
  const [forwards, spec] = await Promise.all([import("./forwards.ts"), import("./forward-spec.ts")]);
  return { ...forwards, ...spec };
};
/** `EscapeReader`, `withoutEscapes`, `parseEscape`: what `~` at the beginning of a line means. */
export const escapes = () => import("./escapes.ts");
/** `readKnownHosts`, `addKnownHost`: a known_hosts file of the user's own. */
export const knownHostsFile = () => import("./known-hosts-file.ts");
/** `formatIdentity`, `formatPair`, `readIdentity`: a login in one file, for programs. */
export const identityFile = () => import("./identity-file.ts");
/** `signUser`, `signHost`, `makeKeyPair`: new keys, certified by an administrator's connection. */
export const signing = () => import("./sign.ts");
