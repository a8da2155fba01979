import { once } from "node:events";
import { isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { type Clock, type Millis, second } from "#core/clock";
import { Fault } from "#core/errors";
import { Secret } from "#core/secret";
import { type Address, formatAddress } from "./address.ts";
import { askProxy } from "./connect.ts";
import { dial, plain } from "./dial.ts";
import { isOwnHost, noProxy } from "./no-proxy.ts";
import { trustedAuthorities } from "./tls.ts";

/**
 * Opens a connection to somewhere outside: to another cluster, to an identity provider. At `addresses`, when they are given,
 * whatever the name means; a proxy on the way is asked by the name, once. Rejects with a `Fault`, or the signal's reason.
 */
export type DialOut = (
  address: Address & { readonly addresses?: readonly string[] },
  signal: AbortSignal,
) => Promise<Socket>;

export interface Outbound {
  readonly dial: DialOut;
  /** The proxy that is asked, and the variable that names it. */
  readonly proxy?: { readonly variable: string; readonly address: Address };
  /** Why nothing that would go through a proxy is connected (CON-03). */
  readonly refusal?: string;
}

interface Proxy {
  readonly variable: string;
  readonly address: Address;
  /** Whether one speaks TLS with it. */
  readonly isSecure: boolean;
  readonly authorization: Secret | undefined;
}

/** In this order (CON-01). */
const variables = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"];
const exceptions = ["NO_PROXY", "no_proxy"];

/** Until a host answers at all, the target or the proxy. */
const reachPatience: Millis = 10 * second;
/** Until the proxy has its answer: it looks for the target, and may wait for it itself. */
const answerPatience: Millis = 30 * second;

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Connections to the outside as the environment asks for them: by HTTP CONNECT through the proxy that it names, or directly to what
 * `NO_PROXY` lists, to this machine, and when there is no proxy. With a proxy that may not be (CON-03) those that it would carry
 * are refused, and not made past it.
 */
export function outbound(env: Environment, clock: Clock): Outbound {
  const variable = variables.find((name) => env[name]?.trim());
  if (variable === undefined) return { dial: straight };
  const listed = noProxy(exceptions.map((name) => env[name]).find((list) => list?.trim()) ?? "");
  const isDirect = (name: string, at: Address): boolean =>
    isOwnHost(at.host) || listed(at) || listed({ ...at, host: name });
  const proxy = proxyOf(variable, env[variable]?.trim() ?? "");
  return {
    async dial({ host, port, addresses }, signal) {
      let failure: unknown = new Fault("unreachable", `cannot connect to ${host}: no such host`);
      let isAsked = false;
      for (const address of addresses ?? [undefined]) {
        const at = { host: address ?? host, port };
        try {
          if (isDirect(host, at))
            return await straight({ host, port, ...(address && { addresses: [address] }) }, signal);
          if (typeof proxy === "string") throw new Fault("bad_parameter", proxy);
          // By its name, by which proxies are told what to let pass; of its addresses they choose themselves.
          if (isAsked) continue;
          isAsked = true;
          return await through(proxy, { host, port }, clock, signal);
        } catch (err) {
          if (signal.aborted) throw err;
          failure = err;
        }
      }
      throw failure;
    },
    ...(typeof proxy === "string" ? { refusal: proxy } : { proxy }),
  };
}

const straight: DialOut = (address, signal) => dial(address, signal, reachPatience);

/** Its value is shown to nobody: a password may be in it. */
function proxyOf(variable: string, text: string): Proxy | string {
  const url = URL.parse(text.includes("://") ? text : `http://${text}`);
  const isSecure = url?.protocol === "https:";
  const port = url?.port ? Number(url.port) : isSecure ? 443 : 80;
  if (!url || !(isSecure || url.protocol === "http:") || port === 0)
    return `${variable} is not the address of an HTTP proxy; write it as http://host:port`;
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  if (isOwnHost(host))
    return `${variable}: the proxy's host cannot be localhost or a loopback address; give another name of it, or a private address`;
  const { username, password } = url;
  const login = `${decoded(username)}:${decoded(password)}`;
  return {
    variable,
    address: { host, port },
    isSecure,
    authorization: login === ":" ? undefined : new Secret(`Basic ${Buffer.from(login).toString("base64")}`),
  };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    // A percent sign that stands for itself.
    return part;
  }
}

async function through(proxy: Proxy, target: Address, clock: Clock, signal: AbortSignal): Promise<Socket> {
  const { variable, address, isSecure, authorization } = proxy;
  // It becomes a line of the request.
  if (!/^[\w.:-]+$/.test(target.host))
    throw new Fault(
      "bad_parameter",
      `${JSON.stringify(target.host)} is no host that a proxy can be asked for`,
    );
  const over = new AbortController();
  const late = new AbortController();
  const sentence = `${variable}: the proxy ${formatAddress(address)} did not connect within ${answerPatience / second} s`;
  clock.sleep(answerPatience, over.signal, { background: true }).then(
    () => late.abort(new Fault("unreachable", sentence)),
    () => {}, // in time
  );
  const within = AbortSignal.any([signal, late.signal]);
  try {
    const near = await reach(address, variable, within);
    const socket = isSecure ? await secured(near, proxy, within) : near;
    await askProxy(socket, target, authorization, within);
    return socket;
  } finally {
    over.abort();
  }
}

async function reach(address: Address, variable: string, signal: AbortSignal): Promise<Socket> {
  try {
    return await dial(address, signal, reachPatience);
  } catch (cause) {
    if (signal.aborted) throw cause;
    throw new Fault("unreachable", `${variable}: ${(cause as Error).message}`, { cause });
  }
}

/** TLS with the proxy itself, whose certificate has to verify: a password goes there. */
async function secured(near: Socket, { address, variable }: Proxy, signal: AbortSignal): Promise<Socket> {
  const { host } = address;
  const socket = connectTls({
    socket: near,
    host,
    ...(isIP(host) === 0 && { servername: host }),
    ca: trustedAuthorities(),
    ALPNProtocols: ["http/1.1"],
  });
  near.on("error", () => {});
  try {
    await once(socket, "secureConnect", { signal });
    return socket;
  } catch (cause) {
    socket.on("error", () => {});
    socket.destroy();
    near.destroy();
    signal.throwIfAborted();
    const why = plain(cause as Error).replace(/; if the root CA .*$/s, "");
    throw new Fault("unreachable", `${variable}: no TLS with the proxy ${formatAddress(address)}: ${why}`, {
      cause,
    });
  }
}
