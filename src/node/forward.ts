import type { Duplex } from "node:stream";
import { type Millis, second } from "#core/clock";
import { Fault } from "#core/errors";
import { addressesOf, dial, formatAddress } from "#net";
import { tell } from "#session";
import { type ChannelRequest, OpenFailure } from "#ssh";
import { DirectStreamlocal, DirectTcpip, splice } from "#ssh/forward";
import { causeOf, mayForward, permitted } from "./may-forward.ts";
import { type Host, touching, type Visit } from "./visit.ts";

const dialTimeout: Millis = 30 * second;

/** Where a channel is to lead, how to get there, and how it is told. */
interface Way {
  readonly name: string;
  connect(signal: AbortSignal): Promise<Duplex>;
  tell(outcome: { success: true } | { success: false; error: string }): void;
}

/** Whether `forward` serves channels of this kind. */
export const forwards = (kind: string): boolean =>
  kind === "direct-tcpip" || kind === "direct-streamlocal@openssh.com";

/** A connection from here to where the client says (SSH-30, SSH-31), when the roles allow it; told either way (S38). */
export async function forward(
  request: ChannelRequest,
  visit: Visit,
  host: Host,
  signal: AbortSignal,
): Promise<void> {
  const way = readWay(request, visit, host);
  if (way === undefined) return request.reject(OpenFailure.connectFailed, "this is no address to connect to");
  let stream: Duplex;
  try {
    mayForward(visit);
    stream = await connectWithin(way, host, signal);
  } catch (err) {
    const { connectFailed, administrativelyProhibited } = OpenFailure;
    const denied = Fault.is(err, "access_denied");
    request.reject(denied ? administrativelyProhibited : connectFailed, (err as Error).message);
    way.tell({ success: false, error: causeOf(err) });
    return;
  }
  stream.on("error", () => {});
  way.tell({ success: true });
  const channel = touching(request.accept(), visit.activity);
  await splice(channel, stream).catch((err: Error) => {
    host.log.debug("forward broke off", { to: way.name, error: err.message });
  });
}

/** Whether a path names a Unix socket in the file system, wherever the process that opens it is. */
export const isSocketPath = (path: string): boolean => path.startsWith("/") && !path.includes("\0");

function readWay({ kind, extra }: ChannelRequest, visit: Visit, host: Host): Way | undefined {
  try {
    return kind === "direct-tcpip"
      ? wayToPort(DirectTcpip.decode(extra), visit, host)
      : wayToSocket(DirectStreamlocal.decode(extra), visit, host);
  } catch {
    return undefined;
  }
}

/**
 * The daemon itself connects: nothing depends on who does, and a process of the login's would cost one more. A socket of
 * the file system is the contrary: who may use it is a matter of rights, which must be the login's and not ours.
 */
function wayToPort(target: { host: string; port: number }, visit: Visit, host: Host): Way | undefined {
  const { port } = target;
  if (port < 1 || port > 65_535 || target.host === "" || target.host.includes("\0")) return undefined;
  const addr = formatAddress({ host: target.host, port });
  return {
    name: addr,
    async connect(signal) {
      const addresses = await addressesOf(target.host);
      const asked = addresses.map(
        (address) => ({ kind: "connect", host: target.host, address, port }) as const,
      );
      const open = await permitted(asked, visit, host.labels());
      signal.throwIfAborted();
      // Those addresses and no other: the name may mean something else a moment later.
      return dial({ host: target.host, port, addresses: open.map(({ address }) => address) }, signal);
    },
    tell: (outcome) =>
      outcome.success
        ? tell({ code: "T3003I", ...visit.who, addr, ...outcome }, host.telling)
        : tell({ code: "T3003E", ...visit.who, addr, ...outcome }, host.telling),
  };
}

function wayToSocket({ path }: { path: string }, visit: Visit, host: Host): Way | undefined {
  if (!isSocketPath(path)) return undefined;
  const what = { ...visit.who, path, direction: "local" } as const;
  return {
    name: path,
    async connect() {
      await permitted([{ kind: "connect", path }], visit, host.labels());
      return host.sockets.connect(visit.account, path);
    },
    tell: (outcome) =>
      outcome.success
        ? tell({ code: "T4033I", ...what, ...outcome }, host.telling)
        : tell({ code: "T4033E", ...what, ...outcome }, host.telling),
  };
}

async function connectWithin(way: Way, { clock }: Host, outer: AbortSignal): Promise<Duplex> {
  const stop = new AbortController();
  const done = new AbortController();
  void clock.sleep(dialTimeout, done.signal, { background: true }).then(
    () => stop.abort(new Fault("unreachable", `cannot connect to ${way.name}: it does not answer`)),
    () => {},
  );
  try {
    return await way.connect(AbortSignal.any([outer, stop.signal]));
  } finally {
    done.abort();
  }
}
