import { type Credentials, keyLoginApi, loginApi, type WebClientOptions } from "#client";
import type { PingAnswer } from "#contract/web";
import { inBrowser } from "./browser.ts";
import type { TshContext } from "./globals.ts";

/** Logs in on a page of the proxy: only a browser asks a security key, and it asks for the password too (AUTH-38). */
export async function logInWithKey(
  context: TshContext,
  web: WebClientOptions,
  settings: PingAnswer["auth"],
  asked: { readonly user: string; readonly ttl: number; readonly compatibility: "" | "standard" | "oldssh" },
): Promise<Credentials> {
  const { signal } = context;
  const [{ loginOnPage }, { beginKeyLogin, checkKeyPage }] = await Promise.all([loginApi(), keyLoginApi()]);
  await checkKeyPage(web, settings, signal);
  const begin = (redirect_url: string, keys: { pub_key: string; tls_pub_key: string }): Promise<string> =>
    beginKeyLogin(web, { ...asked, ...keys, redirect_url, ttl: asked.ttl * 1_000_000 }, signal);
  return loginOnPage(inBrowser(context), begin, asked.user);
}
