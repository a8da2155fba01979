import { connect, isIP, type LookupFunction, type Socket } from "node:net";
import { type Millis, second } from "#core/clock";
import { Fault } from "#core/errors";
import { type Address, formatAddress } from "./address.ts";

/**
 * Opens a TCP connection with Nagle's delay off, at `addresses` when they are given, whatever the name means. Rejects with `unreachable`, also when nothing has come of it after
 * `patience` (the system's own is two minutes), or with the signal's reason.
 */
export function dial(
  address: Address & { readonly addresses?: readonly string[] },
  signal: AbortSignal,
  patience?: Millis,
): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  if (signal.aborted) return Promise.reject(signal.reason as Error);
  const socket = connect({
    host: address.host,
    port: address.port,
    noDelay: true,
    allowHalfOpen: true,
    ...(address.addresses && { lookup: knownAs(address.addresses) }),
  });
  const onLate = (): void => {
    socket.destroy(new Error(`it did not answer within ${(patience ?? 0) / second} s`));
  };
  if (patience !== undefined) socket.setTimeout(patience, onLate);
  const onAbort = (): void => {
    socket.destroy();
    reject(signal.reason as Error);
  };
  const onError = (cause: Error): void => {
    signal.removeEventListener("abort", onAbort);
    reject(
      new Fault("unreachable", `cannot connect to ${formatAddress(address)}: ${plain(cause)}`, { cause }),
    );
  };
  signal.addEventListener("abort", onAbort, { once: true });
  socket.once("error", onError);
  socket.once("connect", () => {
    signal.removeEventListener("abort", onAbort);
    socket.removeListener("error", onError);
    if (patience !== undefined) socket.setTimeout(0, onLate);
    resolve(socket);
  });
  return promise;
}

/** A resolver that knows one host. */
function knownAs(addresses: readonly string[]): LookupFunction {
  const found = addresses.map((address) => ({ address, family: isIP(address) }));
  return (host, { all }, done) => {
    const [first] = found;
    if (!first) done(Object.assign(new Error(`no address of ${host}`), { code: "ENOTFOUND" }), "");
    else if (all) done(null, found);
    else done(null, first.address, first.family);
  };
}

/** The operating system's word for what went wrong, as people know it. */
export function plain(cause: Error): string {
  const code = (cause as NodeJS.ErrnoException).code ?? "";
  return reasons[code] ?? cause.message;
}

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection reset by peer",
  EHOSTUNREACH: "no route to host",
  ENETUNREACH: "network is unreachable",
  ETIMEDOUT: "connection timed out",
  ENOTFOUND: "no such host",
  EAI_AGAIN: "the name server does not answer",
};

/** One that drops packets must not keep us from the next. */
const patienceOfEach: Millis = 10 * second;

/** The first of the addresses that answers, within 10 s each. Throws the last failure, `bad_parameter` when there is none to try. */
export async function dialFirst(addresses: readonly Address[], signal: AbortSignal): Promise<Socket> {
  let failure: unknown = new Fault("bad_parameter", "no address is given to connect to");
  for (const address of addresses) {
    try {
      return await dial(address, signal, patienceOfEach);
    } catch (err) {
      if (signal.aborted) throw err;
      failure = err;
    }
  }
  throw failure;
}
