import type { Duplex } from "node:stream";
import { type Clock, second } from "#core/clock";
import { Fault } from "#core/errors";
import { DisconnectReason } from "./packets.ts";

/** How long the peer may take to read our DISCONNECT. */
const lingerTime = 2 * second;

/** What a DISCONNECT carries. */
export interface Farewell {
  readonly reason: number;
  readonly message: string;
}

/** How a fault of ours is told to the peer; nothing at all when there is nobody left to tell. */
export function farewell(fault: Fault, exchanging: boolean): Farewell | undefined {
  switch (fault.kind) {
    case "unreachable":
      return undefined;
    case "protocol": {
      const reason = exchanging ? DisconnectReason.keyExchangeFailed : DisconnectReason.protocolError;
      return { reason, message: fault.message };
    }
    case "access_denied": {
      const reason = exchanging ? DisconnectReason.hostKeyNotVerifiable : DisconnectReason.noMoreAuthMethods;
      return { reason, message: fault.message };
    }
    case "internal":
      return { reason: DisconnectReason.connectionLost, message: "internal error" };
    default:
      return { reason: DisconnectReason.connectionLost, message: fault.message };
  }
}

/** The fault a peer's DISCONNECT is to us; none when it just left. `text` is the peer's, so it is made printable. */
export function peerLeft(reason: number, text: string): Fault | undefined {
  if (reason === DisconnectReason.byApplication) return undefined;
  return new Fault("unreachable", `the other side ended the connection: ${printable(text)}`, {
    details: { reason },
  });
}

export const printable = (text: string): string =>
  text.slice(0, 255).replace(/[^\x20-\x7e\xa0-\u{10ffff}]/gu, "?");

/** Whatever went wrong, as the one fault that ends a connection. */
export function asFault(err: unknown): Fault {
  if (err instanceof Fault) return err;
  return new Fault("internal", "the SSH connection ended by an internal error", { cause: err });
}

/**
 * Ends our half and waits a little until the peer has read it and closed its own. Destroying a socket with unread input
 * would reset the connection, and the peer would lose our last words.
 */
export function linger(stream: Duplex, clock: Clock): void {
  const closed = new AbortController();
  const destroy = (): void => void stream.destroy();
  stream.once("end", destroy);
  stream.once("close", () => {
    stream.off("end", destroy);
    closed.abort();
  });
  stream.resume();
  stream.end();
  clock.sleep(lingerTime, closed.signal, { background: true }).then(destroy, () => {}); // rejects when closed in time
}
