import { type Millis, second } from "#core/clock";
import { Fault } from "#core/errors";
import { dial, formatAddress } from "#net";
import { tell } from "#session";
import { type ChannelRequest, OpenFailure } from "#ssh";
import { DirectTcpip, splice } from "#ssh/forward";
import { type Host, touching, type Visit } from "./visit.ts";

const dialTimeout: Millis = 30 * second;

/** A connection from here to where the client says (SSH-30), when the roles allow it; told either way (S38). */
export async function forward(
  request: ChannelRequest,
  visit: Visit,
  host: Host,
  signal: AbortSignal,
): Promise<void> {
  const target = readTarget(request);
  if (target === undefined) return;
  const addr = formatAddress(target);
  const refuse = (reason: number, error: string): void => {
    request.reject(reason, error);
    tell({ code: "T3003E", ...visit.who, addr, success: false, error }, host.telling);
  };
  if (!visit.person.access.options().portForwarding) {
    return refuse(OpenFailure.administrativelyProhibited, "port forwarding not allowed");
  }
  let socket: Awaited<ReturnType<typeof dial>>;
  try {
    socket = await dialWithin(target, host, signal);
  } catch (err) {
    return refuse(OpenFailure.connectFailed, (err as Error).message);
  }
  socket.on("error", () => {});
  tell({ code: "T3003I", ...visit.who, addr, success: true }, host.telling);
  const channel = touching(request.accept(), visit.activity);
  await splice(channel, socket).catch((err: Error) => {
    host.log.debug("forward broke off", { addr, error: err.message });
  });
}

function readTarget(request: ChannelRequest): { host: string; port: number } | undefined {
  try {
    const { host, port } = DirectTcpip.decode(request.extra);
    if (port >= 1 && port <= 65_535 && host !== "" && !host.includes("\0")) return { host, port };
  } catch {
    // Answered below.
  }
  request.reject(OpenFailure.connectFailed, "this is no address to connect to");
  return undefined;
}

async function dialWithin(target: { host: string; port: number }, { clock }: Host, outer: AbortSignal) {
  const stop = new AbortController();
  const done = new AbortController();
  void clock.sleep(dialTimeout, done.signal, { background: true }).then(
    () =>
      stop.abort(new Fault("unreachable", `cannot connect to ${formatAddress(target)}: it does not answer`)),
    () => {},
  );
  try {
    return await dial(target, AbortSignal.any([outer, stop.signal]));
  } finally {
    done.abort();
  }
}
