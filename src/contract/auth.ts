import { accessCalls } from "./calls/access.ts";
import { auditCalls } from "./calls/audit.ts";
import { clusterCalls } from "./calls/cluster.ts";
import { trustCalls } from "./calls/clusters.ts";
import { loginCalls } from "./calls/logins.ts";
import { machineCalls } from "./calls/machines.ts";
import { userCalls } from "./calls/users.ts";

export type { AccessExplanation } from "./calls/access.ts";
export type { Alive, LaggingMember, MirrorChange } from "./calls/cluster.ts";
export type { SsoFinished, SsoFlow } from "./calls/logins.ts";
export type { HostCerts } from "./calls/machines.ts";
export { IssuedCerts, type WebSession } from "./calls/people.ts";

/**
 * The auth API (3025): what machines, proxies and `tctl` ask of the auth service, and who may. Mutual TLS says who calls;
 * `anyone` means also a stranger without a certificate, so those calls check a secret of their own.
 */
export const authContract = {
  ...clusterCalls,
  ...machineCalls,
  ...userCalls,
  ...loginCalls,
  ...accessCalls,
  ...trustCalls,
  ...auditCalls,
};
export type AuthContract = typeof authContract;
