import type { Server } from "node:https";
import type { TLSSocket } from "node:tls";
import { type Clock, type Millis, second } from "#core/clock";
import { Fault } from "#core/errors";
import type { CertAuthority, TrustedLink } from "#model";
import { identify } from "../certificates/peer.ts";

/** Time for those who watch to be told, by the connection that ends, why it does. */
const lastWords: Millis = 1 * second;

/**
 * Ends the connections of clients whose authority is not trusted any more: requests are refused in any case, but an answer that
 * goes on, as a watch of the cluster's state does, was asked for long ago (S36).
 */
export function endOutdated(
  server: Server,
  parts: {
    readonly authorities: () => readonly CertAuthority[];
    readonly trusted: () => readonly TrustedLink[];
    readonly onAuthorities: (listener: () => void) => () => void;
    readonly clock: Clock;
  },
): void {
  const { clock } = parts;
  const open = new Set<TLSSocket>();
  const closed = new AbortController();
  server.on("secureConnection", (socket) => {
    open.add(socket);
    socket.once("close", () => open.delete(socket));
  });
  const leave = parts.onAuthorities(() => {
    clock.sleep(lastWords, closed.signal, { background: true }).then(
      () => {
        for (const socket of open) if (isOutdated(socket, parts)) socket.destroy();
      },
      () => {}, // the server has closed
    );
  });
  server.once("close", () => {
    leave();
    closed.abort();
  });
}

function isOutdated(
  socket: TLSSocket,
  { authorities, trusted, clock }: Parameters<typeof endOutdated>[1],
): boolean {
  try {
    identify(socket.getPeerX509Certificate()?.raw, authorities(), clock, trusted());
    return false;
  } catch (err) {
    return Fault.is(err, "access_denied");
  }
}
