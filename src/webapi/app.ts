import { type App, httpApp } from "#net";
import { sayingAway } from "./away.ts";
import { certRoutes } from "./certs.ts";
import { discovery } from "./discovery.ts";
import { keyRoutes } from "./keys.ts";
import { addressLimits } from "./limits.ts";
import type { WebApiOptions } from "./options.ts";
import { pageRoutes } from "./pages.ts";
import { sessionRoutes } from "./sessions.ts";
import { signupRoutes } from "./signup.ts";
import { ssoRoutes } from "./sso.ts";
import { trustRoutes } from "./trust.ts";

export async function webApi(given: WebApiOptions): Promise<App> {
  const options = { ...given, auth: sayingAway(given.auth) };
  const app = await httpApp({ log: options.log, ...(options.count && { count: options.count }) });
  const limits = addressLimits(options.clock);
  const { routes, webConfig } = discovery(options, limits);
  for (const prefix of ["/webapi", "/v1/webapi"]) {
    await app.register(
      (api, _options, done) => {
        routes(api);
        sessionRoutes(api, options, limits);
        signupRoutes(api, options, limits);
        certRoutes(api, options, limits);
        ssoRoutes(api, options, limits);
        keyRoutes(api, options, limits);
        trustRoutes(api, options, limits);
        done();
      },
      { prefix },
    );
  }
  await pageRoutes(app, options, webConfig);
  return app;
}
