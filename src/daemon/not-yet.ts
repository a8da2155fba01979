import type { Config } from "#config";
import { Fault } from "#core/errors";

/**
 * What the configuration asks for and this version does not do, a line each for the operator. Throws `bad_parameter` where
 * going on would leave a cluster less safe than its file says, or one that nobody can log in to.
 */
export function notYet({ auth_service, proxy_service, ssh_service }: Config): string[] {
  const { session_recording } = auth_service;
  const refused: string[] = [];
  const refuse = (key: string, why: string): void =>
    void refused.push(`${key} is not offered in this version: ${why}`);
  if (auth_service.enabled) {
    if (session_recording === "proxy")
      refuse("auth_service.session_recording: proxy", "sessions would not be recorded; use node");
  }
  if (ssh_service.enabled && ssh_service.pam.enabled)
    refuse("ssh_service.pam.enabled: yes", "logins would not pass PAM; take it out to go on without");
  if (refused.length > 0) throw new Fault("bad_parameter", refused.join("\n"));

  const asked = {
    "proxy_service.kubernetes": proxy_service.enabled && proxy_service.kubernetes.enabled,
  };
  return Object.entries(asked)
    .filter(([, wanted]) => wanted)
    .map(([key]) => `${key} has no effect in this version`);
}
