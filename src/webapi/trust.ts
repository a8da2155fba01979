import { type TrustAnswer, TrustRequest } from "#contract/trust";
import { type App, clientAddress, parse } from "#net";
import type { AddressLimits } from "./limits.ts";
import type { WebApiOptions } from "./options.ts";

/** Another cluster's auth server that wants to trust this cluster, with an invitation (WEB-32). */
export function trustRoutes(api: App, { auth }: WebApiOptions, { logins }: AddressLimits): void {
  api.post("/trustedclusters/validate", async (request): Promise<TrustAnswer> => {
    logins.take(request.raw.socket);
    const { token, certificate_authorities: authorities } = parse(TrustRequest, request.body);
    const client_addr = clientAddress(request.raw.socket);
    return {
      certificate_authorities: await auth["remote_clusters.accept"]({ token, authorities, client_addr }),
    };
  });
}
