import type { App } from "#net";
import type { WebApiOptions } from "./options.ts";

export { authIsAway } from "./away.ts";
export type { WebApiOptions, WebAuth } from "./options.ts";

/** The proxy's HTTPS front door as an application: the web API (WEB-02) and the browser's pages (WEB-01). */
export async function webApi(options: WebApiOptions): Promise<App> {
  return (await import("./app.ts")).webApi(options);
}
