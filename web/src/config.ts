import { WebConfig } from "#contract/web";

declare global {
  var GRV_CONFIG: unknown;
}

const parsed = WebConfig.safeParse(globalThis.GRV_CONFIG);

/** What /web/config.js said when the page was loaded. */
export const config: WebConfig = parsed.success
  ? parsed.data
  : { message: "this page could not be loaded completely; reload it" };

/** The proxy as `tsh --proxy` wants it: the address that this browser reached, with its port. */
export const proxyAddress = (): string => (location.port === "" ? `${location.hostname}:443` : location.host);
