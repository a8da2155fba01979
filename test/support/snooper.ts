import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { connect, createServer, type TLSSocket } from "node:tls";
import { selfSigned } from "../self-signed.ts";

/** A man in the middle: TLS with a certificate of its own, whatever it hears goes to the server behind, and is kept. */
export interface Snooper extends AsyncDisposable {
  readonly port: number;
  /** What clients sent so far, in the clear. */
  readonly heard: string;
}

/** Stands before the TLS server at `target` on 127.0.0.1. */
export async function snooper(target: number): Promise<Snooper> {
  const open = new Set<TLSSocket>();
  let heard = "";
  const server = createServer({ ...selfSigned("auth"), ALPNProtocols: ["http/1.1"] }, (client) => {
    const behind = connect({
      host: "127.0.0.1",
      port: target,
      servername: "teleport.cluster.local",
      ALPNProtocols: ["http/1.1"],
      rejectUnauthorized: false,
    });
    for (const socket of [client, behind]) {
      open.add(socket);
      socket.on("error", () => {}).on("close", () => [client, behind].map((one) => one.destroy()));
    }
    client.on("data", (chunk: Buffer) => {
      heard += chunk.toString("latin1");
    });
    client.pipe(behind).pipe(client);
  });
  server.on("tlsClientError", () => {});
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    get heard() {
      return heard;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
