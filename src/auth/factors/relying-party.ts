import type { AuthPreference, ProxyServer } from "#model";

/** For whom security keys sign: the name that they are bound to, and the pages that may ask. */
export interface RelyingParty {
  /** The host of `app_id` (CFG-48). */
  readonly id: string;
  /** As browsers write them: `https://proxy.example.com:3080`. */
  readonly origins: readonly string[];
}

/**
 * Pages of `app_id`, of the facets, and of the proxies as they are advertised, as far as they lie under the host of `app_id`: a
 * browser lets no other page ask.
 */
export function relyingParty(
  { app_id, facets }: NonNullable<AuthPreference["u2f"]>,
  proxies: readonly ProxyServer[],
): RelyingParty {
  const id = new URL(app_id).hostname;
  const advertised = proxies.flatMap(({ spec }) => (spec.public_addr ? [spec.public_addr] : []));
  const pages = [
    app_id,
    ...facets,
    ...advertised.map((addr) => `https://${/:\d+$/.test(addr) ? addr : `${addr}:3080`}`),
  ];
  const urls = pages.map((page) => URL.parse(page)).filter((url) => url !== null);
  const ours = urls.filter(
    ({ protocol, hostname }) => protocol === "https:" && (hostname === id || hostname.endsWith(`.${id}`)),
  );
  return { id, origins: [...new Set(ours.map(({ origin }) => origin))] };
}
