import type { Config } from "#config";

/**
 * Why browsers would ask nobody for a security key at this proxy, a line for the operator; undefined where nothing of the kind is
 * seen from here. `selfSigned`: the certificate of its pages.
 */
export function keyPageTrouble(
  { auth_service, proxy_service }: Config,
  selfSigned: boolean,
): string | undefined {
  const { second_factor, u2f } = auth_service.authentication;
  if (!auth_service.enabled || !proxy_service.enabled || second_factor !== "webauthn" || !u2f)
    return undefined;
  if (selfSigned)
    return "browsers ask for no security key on pages with a self-signed certificate: nobody can sign up or log in before proxy_service.https_cert_file names one that they trust";
  const { hostname } = new URL(u2f.app_id);
  const hosts = proxy_service.public_addr.map(({ host }) => host.toLowerCase());
  if (hosts.length === 0 || hosts.some((host) => host === hostname || host.endsWith(`.${hostname}`)))
    return undefined;
  return `security keys are for ${hostname} by u2f.app_id, and no proxy_service.public_addr lies there: invitations lead to pages on which browsers ask for none`;
}
