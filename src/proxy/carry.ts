import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Clock } from "#core/clock";
import { Fault } from "#core/errors";
import type { Draft } from "#events";
import type { Person } from "#mirror";
import { formatAddress } from "#net";
import type { Channel } from "#ssh";
import { splice } from "#ssh/forward";
import { type DialRequest, remoteAuthServer, type Target } from "#tunnel";
import { greeted } from "./greeting.ts";
import type { Reached } from "./reach.ts";

/** What a channel of one client needs of the proxy. */
export interface Carrier {
  readonly person: Person;
  /** The login the client named at the proxy. */
  readonly login: string;
  readonly hostId: string;
  /** What a member of the cluster is told of whose connection this is; `audience`: its host id, or `auth`. */
  readonly introduce: (audience: string, user: string) => Promise<Uint8Array>;
  readonly reach: (host: string, port: number) => Promise<Reached>;
  readonly dialAuth: () => Promise<Socket>;
  /** Opens something in a cluster that trusts this one, over a tunnel. */
  readonly dialCluster: (cluster: string, request: DialRequest) => Promise<Duplex>;
  /** What the `proxysites` subsystem answers. */
  readonly sites: () => string;
  /** `ip:port` of the client. */
  readonly clientAddress: string;
  readonly clusterName: () => string;
  /** The cluster that a host's name says it is in, where that trusts this one and no node here has the name. */
  readonly clusterOf: (host: string) => string | undefined;
  readonly clock: Clock;
  /** Emits an event with the client's user, login and addresses added. */
  readonly report: (draft: Partial<Draft> & Pick<Draft, "code">) => void;
}

/**
 * Connects a channel with what the client asked for. `open` gives the channel once the other side answered, so that a
 * refusal can still be told. Rejects with a sentence for the client; resolves when the bytes have all passed.
 */
export async function carry(target: Target, carrier: Carrier, open: () => Channel): Promise<void> {
  const cluster = target.cluster ?? (target.kind === "host" ? carrier.clusterOf(target.host) : undefined);
  if (cluster !== undefined && cluster !== carrier.clusterName()) {
    await carryOn(cluster, target, carrier, open);
    return;
  }
  if (target.kind === "auth") {
    const socket = await carrier.dialAuth().catch((cause: Error) => {
      // Where the auth servers are is nobody's business here; the proxy's own log has it.
      throw new Fault("unreachable", authIsAway, { cause });
    });
    // Who may call from some addresses only is called from there, whatever address the proxy has.
    if (isPinned(carrier.person)) socket.write(await carrier.introduce("auth", ""));
    await join(open(), socket);
    return;
  }
  const { host, port } = target;
  const reached = await reach(host, port, carrier);
  const { socket, address, node } = reached;
  // Until it is spliced nobody else listens, and an error nobody hears would end this process.
  socket.on("error", () => {});
  if (!node) await hear(socket, named(host, port), address, carrier);
  carrier.report({
    code: "T4030I",
    success: true,
    target: named(host, port),
    addr: address,
    server_id: carrier.hostId,
  });
  // A node learns from whom the connection is (SSH-01).
  if (node) socket.write(await carrier.introduce(node.metadata.name, carrier.person.user));
  await join(open(), socket);
}

/** The same into another cluster, whose own proxy finds the host there and asks whether this person may see it. */
async function carryOn(
  cluster: string,
  target: Target,
  carrier: Carrier,
  open: () => Channel,
): Promise<void> {
  const { person, hostId } = carrier;
  // Chains are not followed: who is a guest here is nobody's guest through here (TC-17).
  if (person.cluster !== carrier.clusterName())
    throw new Fault("access_denied", `people of ${person.cluster} are let into this cluster only`);
  const isHost = target.kind === "host";
  const name = isHost ? `${named(target.host, target.port)}@${cluster}` : cluster;
  const request = {
    address: isHost ? formatAddress(target) : remoteAuthServer,
    client_addr: carrier.clientAddress,
    certificate: Buffer.from(person.key.blob).toString("base64"),
  };
  const socket = await carrier.dialCluster(cluster, request).catch((err: unknown) => {
    const fault = asFault(err);
    if (isHost)
      carrier.report({
        code: "T4030W",
        success: false,
        target: name,
        error: whyOf(fault),
        server_id: hostId,
      });
    if (!isHost || Fault.is(fault, "not_found")) throw fault;
    throw cannotConnect(target.host, fault);
  });
  socket.on("error", () => {});
  if (isHost) carrier.report({ code: "T4030I", success: true, target: name, server_id: hostId });
  await join(open(), socket);
}

/** Whether a person's certificate is good at some addresses only. */
export const isPinned = ({ certificate }: Person): boolean =>
  certificate.criticalOptions.has("source-address");

const authIsAway =
  "the proxy cannot reach the cluster's auth server now; sessions go on and can be started, all else has to wait";

/** A connection that breaks off in the middle is its two ends' affair; both have noticed. */
const join = (channel: Channel, socket: Duplex): Promise<void> => splice(channel, socket).catch(() => {});

/** What was asked for, as it was asked: 0 is no port. */
const named = (host: string, port: number): string => (port === 0 ? host : `${host}:${port}`);

/** Nodes of ours say what is wrong; of any other host the client would only see that the connection ends. */
async function hear(socket: Duplex, target: string, addr: string, carrier: Carrier): Promise<void> {
  try {
    await greeted(socket, carrier.clock);
  } catch (err) {
    socket.destroy();
    const error = (err as Fault).message;
    carrier.report({ code: "T4030W", success: false, target, addr, error, server_id: carrier.hostId });
    throw err;
  }
}

async function reach(host: string, port: number, carrier: Carrier): Promise<Reached> {
  try {
    return await carrier.reach(host, port);
  } catch (err) {
    const fault = asFault(err);
    const why = whyOf(fault);
    if (Fault.is(fault, "access_denied")) {
      carrier.report({ code: "T3007W", error: why, success: "false", server_id: carrier.hostId });
    } else {
      carrier.report({
        code: "T4030W",
        success: false,
        target: named(host, port),
        error: why,
        server_id: carrier.hostId,
      });
    }
    throw cannotConnect(host, fault);
  }
}

const cannotConnect = (host: string, fault: Fault): Fault =>
  new Fault(fault.kind, `failed connecting to node ${host}. ${fault.message}`, { cause: fault });

const asFault = (err: unknown): Fault =>
  err instanceof Fault ? err : new Fault("internal", "the proxy failed; its log says why", { cause: err });

/** With what the person is not told. */
const whyOf = ({ message, cause }: Fault): string =>
  cause instanceof Error ? `${message} (${cause.message})` : message;
