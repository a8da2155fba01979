import { lookup } from "node:dns/promises";
import { once } from "node:events";
import { createServer as createPlain } from "node:http";
import { createServer } from "node:https";
import { type AddressInfo, connect, type Socket } from "node:net";
import { hostname, networkInterfaces } from "node:os";
import type { Duplex } from "node:stream";

/** An address of this machine that is no loopback one: proxies at such are refused, and targets at such not proxied. */
export const ownAddress = Object.values(networkInterfaces())
  .flat()
  .find((at) => at?.family === "IPv4" && !at.internal)?.address;

/** That address, or, on a machine without networks, its name, if that means something there. */
export const ownHost =
  ownAddress ??
  (await lookup(hostname()).then(
    () => (/^localhost\b/i.test(hostname()) ? undefined : hostname()),
    () => undefined,
  ));

/** For `skip`: why no proxy can be played here. */
export const skipUnlessOwnHost =
  ownHost === undefined && "this machine has no address and no name but loopback ones";

/** An HTTP proxy that connects what `targets` names, as `host:port`, to ports of 127.0.0.1, and refuses all else. */
export interface ConnectProxy extends AsyncDisposable {
  readonly port: number;
  /** `CONNECT host:port`, and the authorization that came with it. */
  readonly asked: string[];
}

/** Listens on every address; with TLS where `pair` is given. */
export async function startConnectProxy(
  targets: Readonly<Record<string, number>>,
  pair?: { readonly cert: string; readonly key: string },
): Promise<ConnectProxy> {
  const asked: string[] = [];
  const open = new Set<Duplex>();
  const server = pair ? createServer(pair) : createPlain();
  server.on("connection", (socket: Socket) => void open.add(socket));
  server.on("connect", ({ method, url = "", headers }, near: Duplex) => {
    near.on("error", () => {});
    asked.push([method, url, headers["proxy-authorization"] ?? []].flat().join(" "));
    const port = targets[url];
    if (port === undefined) {
      near.end("HTTP/1.1 403 Not from here\r\nContent-Length: 0\r\n\r\n");
      return;
    }
    const far = connect({ host: "127.0.0.1", port }, () => {
      near.write("HTTP/1.1 200 Connection established\r\n\r\n");
      near.pipe(far).pipe(near);
    });
    open.add(far.on("error", () => near.destroy()));
  });
  server.listen(0);
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    asked,
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
