import { type Credentials, loginApi, ssoLoginApi, type WebClientOptions } from "#client";
import type { PingAnswer } from "#contract/web";
import { Fault } from "#core/errors";
import { printable } from "../text.ts";
import { inBrowser } from "./browser.ts";
import type { TshContext } from "./globals.ts";

/** Logs in where the cluster's people have their accounts, in the browser; who one is, is told there (TSH-33). */
export async function logInByProvider(
  context: TshContext,
  web: WebClientOptions,
  { type, ...settings }: PingAnswer["auth"],
  asked: { readonly ttl: number; readonly compatibility: "" | "standard" | "oldssh" },
): Promise<Credentials> {
  const { io, flags, signal } = context;
  if (type === "local") throw new Fault("internal", "a local login is no login by a provider");
  const connector = settings[type];
  if (!connector) {
    throw new Fault(
      "not_found",
      `people log in to this cluster by ${type}, but it has no ${type} connector yet; an administrator makes one with: tctl create FILE`,
    );
  }
  const [{ loginOnPage }, { beginSsoLogin }] = await Promise.all([loginApi(), ssoLoginApi()]);
  io.err(`Logging in by ${printable(connector.display)}.`);
  const begin = (redirect_url: string, keys: { pub_key: string; tls_pub_key: string }): Promise<string> =>
    beginSsoLogin(
      web,
      type,
      { ...asked, ...keys, connector_id: connector.name, redirect_url, ttl: asked.ttl * 1_000_000 },
      signal,
    );
  const credentials = await loginOnPage(inBrowser(context), begin, undefined);
  if (flags.user !== undefined && flags.user !== credentials.user) {
    const [told, given] = [printable(credentials.user), printable(flags.user)];
    io.err(
      `You are ${told}, by what ${printable(connector.display)} says; the user ${given} was not asked for.`,
    );
  }
  return credentials;
}
