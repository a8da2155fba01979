import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { Fault } from "#core/errors";
import { makeSelfSigned } from "#pki";
import type { Cluster } from "./cluster.ts";

/** A web proxy to which other clusters come, at a port of 127.0.0.1, with a certificate that signed itself. */
export interface WebDoor extends AsyncDisposable {
  /** `127.0.0.1:<port>` */
  readonly address: string;
  /** The bodies that came. */
  readonly seen: unknown[];
}

type Answer = (response: ServerResponse, body: unknown) => void | Promise<void>;

/** That of `c`, as the proxy does it. */
export const doorOf = (c: Cluster, from = "192.0.2.7:40000"): Promise<WebDoor> =>
  webDoor(async (response, body) => {
    const { token, certificate_authorities: authorities } = body as {
      token: string;
      certificate_authorities: never[];
    };
    try {
      const mine = await c.proxy["remote_clusters.accept"]({ token, authorities, client_addr: from });
      response.end(JSON.stringify({ certificate_authorities: mine }));
    } catch (err) {
      if (!(err instanceof Fault)) throw err;
      const status =
        { access_denied: 403, bad_parameter: 400, already_exists: 409 }[err.kind as string] ?? 500;
      response.writeHead(status).end(JSON.stringify({ message: err.message }));
    }
  });

/** One that answers as told. */
export async function webDoor(answer: Answer): Promise<WebDoor> {
  const seen: unknown[] = [];
  const own = { commonName: "px", dnsNames: ["localhost"], ips: ["127.0.0.1"], now: Date.UTC(2026, 0) };
  const { cert, key } = await makeSelfSigned(own);
  const server = createServer({ cert, key }, (request, response) => {
    void bodyOf(request).then(async (body) => {
      seen.push(body);
      await answer(response, body);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return JSON.parse(Buffer.concat(parts).toString());
}
