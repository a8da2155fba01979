import { LoginRequest, type UserContext } from "#contract/web";
import type { ResourceKind, Verb } from "#model";
import { type App, checkCsrf, clientAddress, parse } from "#net";
import type { AddressLimits } from "./limits.ts";
import type { WebApiOptions } from "./options.ts";
import { authenticate, closeSession, credentials, ended, openSession } from "./session.ts";

/** Logging in and out of the browser app, and who one is there (WEB-13, WEB-14, WEB-34). */
export function sessionRoutes(
  api: App,
  { auth, can, versions, clock }: WebApiOptions,
  { logins }: AddressLimits,
): void {
  api.post("/sessions", async (request, reply) => {
    checkCsrf(request);
    logins.take(request.raw.socket);
    const { user, pass, second_factor_token } = parse(LoginRequest, request.body);
    const session = await auth["logins.web"]({
      user,
      password: pass,
      otp_token: second_factor_token,
      client_addr: clientAddress(request.raw.socket),
    });
    return openSession(session, reply, clock);
  });

  api.post("/sessions/renew", async (request, reply) => {
    const session = await auth["web_sessions.renew"](credentials(request)).catch(ended);
    return openSession(session, reply, clock);
  });

  api.delete("/sessions", async (request, reply) => {
    // Whatever auth says, this browser is done with its session.
    closeSession(reply);
    await auth["web_sessions.delete"](credentials(request)).catch(ended);
    return { message: "ok" };
  });

  api.get("/user/status", async (request) => {
    await authenticate(request, auth);
    return { message: "ok" };
  });

  api.get("/user/context", async (request): Promise<UserContext> => {
    const { user, logins, cluster_name } = await authenticate(request, auth);
    const connector = user.spec.created_by?.connector;
    const access = (kind: ResourceKind): UserContext["userAcl"]["roles"] => {
      const may = (verb: Verb): boolean => can(user, verb, kind);
      return {
        list: may("list"),
        read: may("read"),
        edit: may("update"),
        create: may("create"),
        remove: may("delete"),
      };
    };
    return {
      authType: connector ? "sso" : "local",
      ...(connector && { connector: connector.id }),
      userName: user.metadata.name,
      clusterName: cluster_name,
      roles: user.spec.roles,
      userAcl: {
        sessions: access("session"),
        authConnectors: access("auth_connector"),
        roles: access("role"),
        trustedClusters: access("trusted_cluster"),
        sshLogins: logins,
      },
      version: versions.server_version,
    };
  });
}
