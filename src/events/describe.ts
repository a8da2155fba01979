import type { AuditEvent } from "./schema.ts";

/** One sentence for people. Names in it are as they were given: escape them for where they are shown. */
export function describe(e: AuditEvent): string {
  switch (e.code) {
    case "T1000I":
      return `${e.user} logged in${at(e)}`;
    case "T1000W":
      return `${e.user} failed to log in${at(e)}: ${e.error}`;
    case "T1001I":
      return `${e.user} logged in by ${e.method}${at(e)}`;
    case "T1001W":
      return `${e.user ?? "someone"} failed to log in by ${e.method}${at(e)}: ${e.error}`;
    case "T1002I":
      return `${e.user} was given the roles ${list(e.roles)}${by(e)}`;
    case "T1003I":
      return `user ${e.user} was deleted${by(e)}`;
    case "T2000I":
      return `${as(e)} started a session on ${e.server_id}`;
    case "T2001I":
      return `${as(e)} joined a session on ${e.server_id}`;
    case "T2002I":
      return `${e.user} resized the terminal to ${e.size.replace(":", "×")}`;
    case "T2003I":
      return `${e.user} left a session on ${e.server_id}`;
    case "T2004I":
      return `the session of ${e.participants?.length ? list(e.participants) : e.user} on ${e.server_id} ended`;
    case "T2005I":
      return `the recording of session ${e.sid} was stored at ${e.url}`;
    case "T2006I":
      return `${as(e)} sent ${e.tx} and received ${e.rx} bytes`;
    case "T3001I":
      return `${as(e)} used the subsystem ${e.name} on ${e.server_id}`;
    case "T3001E":
      return `${as(e)} failed to use the subsystem ${e.name} on ${e.server_id}: ${e.exitError}`;
    case "T3002I":
      return `${as(e)} ran ${e.command} on ${e.server_id}`;
    case "T3002E":
      return `${as(e)} ran ${e.command} on ${e.server_id}, which failed: ${e.exitError || `exit code ${e.exitCode}`}`;
    case "T3003I":
      return `${as(e)} forwarded a connection to ${e.addr}`;
    case "T3003E":
      return `${as(e)} failed to forward a connection to ${e.addr}: ${e.error}`;
    case "T3004I":
      return `${as(e)} downloaded ${e.path} (${e.len} bytes) from ${e.server_id}`;
    case "T3004E":
      return `${as(e)} failed to download ${e.path} from ${e.server_id}: ${e.exitError}`;
    case "T3005I":
      return `${as(e)} uploaded ${e.path} (${e.len} bytes) to ${e.server_id}`;
    case "T3005E":
      return `${as(e)} failed to upload ${e.path} to ${e.server_id}: ${e.exitError}`;
    case "T3006I":
      return `${as(e)} was disconnected from ${e.server_id}: ${e.reason}`;
    case "T3007W":
      return `${e.user || "someone"} was refused on ${e.server_id}${at(e)}: ${e.error}`;
    case "T4000I":
      return `${e.hostname ?? e.server_id} joined the cluster as ${e.role}`;
    case "T4000W":
      return `${e.hostname ?? e.server_id ?? "a host"} was refused to join the cluster as ${e.role}${at(e)}: ${e.error}`;
    case "T4001I":
      return `${e.user} created an invite token for ${list(e.roles)}`;
    case "T4002I":
      return `${e.user} deleted an invite token`;
    case "T4003I":
      return `${e.user} ${e.reset ? "let" : "invited"} ${e.name} ${e.reset ? "set a new password" : "to sign up"}`;
    case "T4004W":
      return `${e.user} is locked until ${e.until} after too many failed logins`;
    case "T4005I":
      return `the password of ${e.user} was changed${by(e)}${at(e)}`;
    case "T4100I":
      return `${e.user} locked the account ${e.name}${e.message ? `: ${e.message}` : ""}`;
    case "T4101W":
      return `logins from ${e.source} are locked until ${e.until} after too many failures`;
    case "T4102I":
      return `${e.user} unlocked the account ${e.name}`;
    case "T4103I":
      return `${e.user} unlocked logins from ${e.source}`;
    case "T4110I":
      return `${e.user} enrolled the security key ${e.key}${at(e)}`;
    case "T4110W":
      return `${e.user} failed to enrol a security key${at(e)}: ${e.message}`;
    case "T4111W":
      return `the security key ${e.key} of ${e.user} counted ${e.given} after ${e.stored}${at(e)}: it may have been copied`;
    case "T4010I":
      return `${e.user} created the role ${e.name}`;
    case "T4011I":
      return `${e.user} changed the role ${e.name}`;
    case "T4012I":
      return `${e.user} deleted the role ${e.name}`;
    case "T4140I":
      return `${e.user} created the ${e.kind} connector ${e.name}`;
    case "T4141I":
      return `${e.user} changed the ${e.kind} connector ${e.name}`;
    case "T4142I":
      return `${e.user} deleted the ${e.kind} connector ${e.name}`;
    case "T4190I":
      return `${e.user} made the cluster ${e.name} (${e.addr}) a trusted cluster`;
    case "T4190W":
      return `${e.user} failed to make the cluster ${e.name} (${e.addr}) a trusted cluster: ${e.error}`;
    case "T4191I":
      return `${e.user} changed the trusted cluster ${e.name}, which is ${e.enabled ? "enabled" : "disabled"} now`;
    case "T4192I":
      return `${e.user} deleted the trusted cluster ${e.name}`;
    case "T4193I":
      return `the cluster ${e.name} trusts this one${at(e)}`;
    case "T4193W":
      return `${e.name === undefined ? "a cluster" : `the cluster ${e.name}`} was refused to trust this one${at(e)}: ${e.error}`;
    case "T4194I":
      return `${e.user} deleted the remote cluster ${e.name}`;
    case "T4195I":
      return `the authorities of the linked cluster ${e.name} have changed, as it says`;
    case "T4195W":
      return `what was said of the authorities of the linked cluster ${e.name} was not believed: ${e.error}`;
    case "T4130I":
      return `${e.user} restored the ${e.kind} certificate authority ${e.fingerprint}`;
    case "T4130W":
      return `${e.user} failed to restore certificate authorities: ${e.error}`;
    case "T4131I":
      return `${e.user} took the node ${e.hostname} (${e.server_id}) off the list`;
    case "T4132W":
      return `${e.user} took out the secrets of the connectors ${list(e.names)}`;
    case "T4020I":
      return `the ${e.kind} certificate authority ${e.fingerprint} was created`;
    case "T4021I":
      return `${e.user ?? "the cluster"} rotates the ${e.kind} certificate authority: ${e.phase}, ${e.state}`;
    case "T4150W":
      return `${e.user ?? "the cluster"} did not rotate the ${e.kind} certificate authority: ${e.phase}: ${e.error}`;
    case "T4160I":
      return `${e.user} issued a ${e.kind} certificate for ${certified(e)}`;
    case "T4160W":
      return `${e.user} was refused a ${e.kind} certificate for ${certified(e)}: ${e.error}`;
    case "T4161W":
      return `${e.user} took out private keys of certificate authorities: ${list(e.fingerprints)}`;
    case "T4030I":
      return `${e.user} was connected to ${e.target}`;
    case "T4030W":
      return `${e.user} was not connected to ${e.target}: ${e.error}`;
    case "T4031I":
      return `${as(e)} on ${e.server_id}: ${e.action} ${e.path}${e.target === undefined ? "" : ` to ${e.target}`}`;
    case "T4031E":
      return `${as(e)} on ${e.server_id}: ${e.action} ${e.path} failed: ${e.error}`;
    case "T4032I":
      return `${as(e)} listens at ${e.addr} of ${e.server_id}`;
    case "T4032E":
      return `${as(e)} failed to listen at ${e.addr} of ${e.server_id}: ${e.error}`;
    case "T4033I":
      return `${as(e)} forwarded the ${e.direction} socket ${e.path} on ${e.server_id}`;
    case "T4033E":
      return `${as(e)} failed to forward the ${e.direction} socket ${e.path} on ${e.server_id}: ${e.error}`;
    case "T4120I":
      return `${as(e)} lent the agent to ${e.server_id}`;
    case "T4120W":
      return `${as(e)} could not lend the agent to ${e.server_id}: ${e.error}`;
    case "T4050W":
      return `${e.user} was refused to join a session on ${e.server_id}: ${e.error}`;
    case "T4051W":
      return `${e.user} was refused to ${e.action} ${e.resource}: ${e.error}`;
  }
}

const as = ({ user, login }: { user: string; login: string }): string =>
  user === login ? user : `${user} as ${login}`;
const at = (e: { "addr.remote"?: string | undefined }): string =>
  e["addr.remote"] ? ` from ${e["addr.remote"]}` : "";
const by = (e: { by?: string | undefined }): string => (e.by ? ` by ${e.by}` : "");
const certified = ({ account, names }: { account?: string | undefined; names: readonly string[] }): string =>
  account === undefined ? list(names) : `${account}, logins ${list(names)}`;
const list = (names: readonly string[]): string => names.join(", ") || "none";
