import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { isLoopbackHost } from "#contract/loopback";
import { SsoRefusal } from "#contract/web";
import { type Clock, type Millis, second } from "#core/clock";
import { Fault } from "#core/errors";
import type { Random } from "#core/random";
import { newSealingKey, unseal } from "#core/seal";
import { formatAddress, parseAddress, plain } from "#net";

/** How long somebody may take in the browser (TSH-33). */
const patience: Millis = 180 * second;

export interface BrowserLogin {
  /**
   * Begins the login at the proxy, which is to lead the browser to `redirectUrl` in the end: a port of this machine, with the
   * key to seal with as `secret_key` (AUTH-66). Answers the address of the page that begins it.
   */
  readonly start: (redirectUrl: string) => Promise<string>;
  /** Brings the person there: opens a browser and prints the address, which is short and on this machine. */
  readonly show: (address: string) => void;
  /** `host:port` of this machine to wait at; a free port of 127.0.0.1 when undefined. */
  readonly bindAddr: string | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
}

/**
 * Waits for a login that happens in the browser, and answers what the proxy sealed for us, unsealed. What is not sealed with our
 * key is refused and does not end the waiting: any page can send a browser here. Throws `unreachable` after three minutes, and
 * `bad_parameter` for an address to wait at that others could reach.
 */
export async function browserLogin(login: BrowserLogin): Promise<unknown> {
  const { bindAddr, clock, random, signal } = login;
  const bind = bindAddr === undefined ? { host: "127.0.0.1", port: 0 } : parseAddress(bindAddr, 0);
  if (!isLoopbackHost(bind.host))
    throw new Fault(
      "bad_parameter",
      `--bind-addr: ${bind.host} is not of this machine alone; use 127.0.0.1:PORT`,
    );
  const key = newSealingKey();
  const begin = `/${Buffer.from(random.bytes(8)).toString("hex")}`;
  const { promise: answered, resolve } = Promise.withResolvers<unknown>();
  const page = Promise.withResolvers<string>();
  page.promise.catch(() => {}); // told below
  let over = false;

  const take = (request: IncomingMessage, response: ServerResponse): void => {
    const url = URL.parse(request.url ?? "", "http://127.0.0.1");
    // A name of somebody else's that leads here is not us.
    if (!url || request.method !== "GET" || request.headers.host?.toLowerCase() !== own) {
      say(response, 404, pages.nothing);
    } else if (url.pathname === begin) {
      void page.promise.then(
        (to) => response.writeHead(302, { ...headers, location: to }).end(),
        () => say(response, 503, pages.nothing),
      );
    } else if (url.pathname !== callback) {
      say(response, 404, pages.nothing);
    } else if (over) {
      say(response, 410, pages.over);
    } else {
      const got = answerOf(url, key);
      if (!got) return void say(response, 400, pages.refused);
      over = true;
      response.once("close", () => resolve(got.value));
      say(response, 200, SsoRefusal.safeParse(got.value).success ? pages.failed : pages.done);
    }
  };
  const server = createServer({ requestTimeout: 10_000, maxHeaderSize: 65_536 }, take);
  const at = formatAddress({ host: bind.host, port: await listening(server, bind) });
  const own = at.toLowerCase();
  const stop = new AbortController();
  try {
    page.resolve(await login.start(`http://${at}${callback}?secret_key=${key}`));
    login.show(`http://${at}${begin}`);
    const late = clock.sleep(patience, AbortSignal.any([signal, stop.signal])).then(() => {
      throw new Fault("unreachable", "timed out waiting for callback: nobody logged in within three minutes");
    });
    return await Promise.race([answered, late]);
  } catch (err) {
    page.reject(err);
    throw err;
  } finally {
    stop.abort();
    server.close();
    server.closeAllConnections();
  }
}

const callback = "/callback";

function answerOf(url: URL, key: string): { readonly value: unknown } | undefined {
  try {
    return { value: unseal(url.searchParams.get("response") ?? "", key) };
  } catch {
    return undefined;
  }
}

/** The port. Throws `unreachable` when it is taken. */
async function listening(server: Server, bind: { host: string; port: number }): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen({ ...bind, exclusive: true }, resolve);
  try {
    await promise;
  } catch (cause) {
    throw new Fault(
      "unreachable",
      `cannot wait for the browser at ${formatAddress(bind)}: ${plain(cause as Error)}`,
      { cause },
    );
  }
  server.removeListener("error", reject);
  const address = server.address();
  return typeof address === "object" && address ? address.port : 0;
}

const style =
  ":root{color-scheme:light dark;font:1rem/1.5 system-ui,sans-serif}body{max-width:28rem;margin:15vh auto;padding:0 1rem}";
const styleHash = createHash("sha256").update(style).digest("base64");

/** The address of a page holds a sealed certificate; no page that follows is to hear of it. */
const headers = {
  "cache-control": "no-store",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "content-security-policy": `default-src 'none'; style-src 'sha256-${styleHash}'; frame-ancestors 'none'`,
  connection: "close",
} as const;

const pages = {
  done: ["You are logged in", "You can close this window and go back to your terminal."],
  failed: ["You are not logged in", "Your terminal says why. You can close this window."],
  over: ["This login is over", "You can close this window."],
  refused: [
    "Nothing was taken",
    "This answer is not for the login that waits here; begin it anew in your terminal.",
  ],
  nothing: ["Nothing here", "This is not the address that your terminal shows."],
} as const;

function say(response: ServerResponse, status: number, [title, text]: readonly [string, string]): void {
  response.writeHead(status, { ...headers, "content-type": "text/html; charset=utf-8" });
  response.end(
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title} · Teleport</title><style>${style}</style></head><body><main><h1>${title}</h1><p>${text}</p></main></body></html>\n`,
  );
}
