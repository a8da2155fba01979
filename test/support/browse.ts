import { fetchOwn } from "./https.ts";

/**
 * Follows redirects from `url` as a browser would, with the cookies of each origin; answers the first address that begins with `until`,
 * after `least` redirects at the earliest (default none). It is not visited.
 */
export async function browse(url: string, until: string, { least = 0 } = {}): Promise<string> {
  const cookies = new Map<string, Map<string, string>>();
  let at = url;
  for (let hop = 0; hop < 20 && (hop < least || !at.startsWith(until)); hop++) {
    const { origin } = new URL(at);
    const held = cookies.get(origin) ?? new Map<string, string>();
    cookies.set(origin, held);
    const cookie = Array.from(held, ([name, value]) => `${name}=${value}`).join("; ");
    const answer = await fetchOwn(at, { headers: { cookie } });
    for (const line of answer.headers["set-cookie"] ?? []) {
      const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      held.set(name, value);
    }
    const { location } = answer.headers;
    if (location === undefined)
      throw new Error(`${at} answers ${answer.status}: ${answer.text.slice(0, 500)}`);
    at = new URL(location, at).href;
  }
  return at;
}
