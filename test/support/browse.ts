import { fetchOwn } from "./https.ts";

/** Follows redirects from `url` as a browser would, with cookies of each host; the first address that begins with `until`. */
export async function browse(url: string, until: string): Promise<string> {
  const cookies = new Map<string, string>();
  let at = url;
  for (let hop = 0; hop < 20 && !at.startsWith(until); hop++) {
    const { origin } = new URL(at);
    const cookie = [...cookies]
      .filter(([key]) => key.startsWith(origin))
      .map(([key, value]) => `${key.slice(origin.length + 1)}=${value}`);
    const answer = await fetchOwn(at, { headers: { cookie: cookie.join("; ") } });
    for (const line of answer.headers["set-cookie"] ?? []) {
      const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      cookies.set(`${origin} ${name}`, value);
    }
    const { location } = answer.headers;
    if (location === undefined)
      throw new Error(`${at} answers ${answer.status}: ${answer.text.slice(0, 500)}`);
    at = new URL(location, at).href;
  }
  return at;
}
