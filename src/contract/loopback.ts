import { Fault } from "#core/errors";

// A login in the browser that a command waits for ends at an address of that command: `redirect_url`, on a port of the person's
// own machine, with `secret_key` in its query, the 64 hex digits that the answer is sealed with (AUTH-66).

/**
 * The key in `redirectUrl`. Throws `bad_parameter` for an address that leads anywhere else than to a port of the machine that the
 * browser runs on, and for one without a key.
 */
export function loopbackKey(redirectUrl: string): string {
  const url = parsed(redirectUrl);
  const key = url.searchParams.getAll("secret_key");
  if (key.length !== 1 || !/^[0-9a-f]{64}$/i.test(key[0] as string))
    throw new Fault("bad_parameter", "the redirect_url has no secret_key of 64 hex digits");
  return key[0] as string;
}

/** Where the browser goes with the sealed answer. The key stays behind. */
export function answerUrl(redirectUrl: string, sealed: string): string {
  const url = parsed(redirectUrl);
  url.searchParams.delete("secret_key");
  url.searchParams.set("response", sealed);
  return url.href;
}

export const isLoopbackHost = (host: string): boolean =>
  /^(localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[?::1\]?)$/i.test(host);

function parsed(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const plain = url?.protocol === "http:" && url.username === "" && url.password === "" && url.hash === "";
  if (!url || !plain || url.port === "" || !isLoopbackHost(url.hostname))
    throw new Fault("bad_parameter", "the redirect_url does not lead to a port of one's own machine");
  return url;
}
