import type { Duplex } from "node:stream";
import type { Clock } from "#core/clock";
import { Fault } from "#core/errors";
import type { Draft } from "#events";
import { type ClusterView, type Person, personOf } from "#mirror";
import { type Address, parseAddress } from "#net";
import { introduce } from "#ssh/brought";
import { parsePublicKey, type Signer } from "#ssh/keys";
import { type DialPolicy, type DialRequest, remoteAuthServer } from "#tunnel";
import { type ReachOptions, reachHost } from "./reach.ts";

export interface FromTunnelOptions {
  /** The trusted cluster at the other end of the tunnel. */
  readonly cluster: string;
  readonly view: ClusterView;
  readonly reach: Omit<ReachOptions, "policy">;
  readonly hostId: string;
  /** This proxy's certified host key, by which members know that the word about the client's address is ours. */
  readonly signer: () => Signer;
  /** Keeps an audit event. */
  readonly report: (draft: Draft) => void;
  readonly clock: Clock;
}

/** Nothing but what this cluster knows is dialled for another, whatever the configuration lets its own people reach. */
const nodesOnly: DialPolicy = {
  permitted(host) {
    throw new Fault("not_found", `there is no node ${JSON.stringify(host)} in this cluster`);
  },
};

/**
 * Opens what somebody of a trusted cluster asks for: an auth server, or a node that one of their roles here lets them see. The other
 * cluster shows their certificate; who they are the node, or the auth server, asks again. Rejects with a sentence for them.
 */
export async function openForTunnel(
  request: DialRequest,
  options: FromTunnelOptions,
  signal: AbortSignal,
): Promise<Duplex> {
  const client = clientOf(request);
  const person = visitor(request, client, options);
  const vouch = (audience: string, user: string): Promise<Uint8Array> =>
    introduce(request.client_addr, { audience, user, signer: options.signer(), now: options.clock.now() });
  if (request.address === remoteAuthServer) {
    const socket = await options.reach.dialAuth(signal).catch((cause: Error) => {
      throw new Fault("unreachable", "its auth server cannot be reached now", { cause });
    });
    socket.write(await vouch("auth", ""));
    return socket;
  }
  const { host, port } = parseAddress(request.address, 0);
  const reach = { ...options.reach, policy: nodesOnly, anySuffix: true };
  try {
    const { socket, node } = await reachHost(host, port, person, reach, signal);
    if (node) socket.write(await vouch(node.metadata.name, person.user));
    return socket;
  } catch (err) {
    if (Fault.is(err, "access_denied")) refuse(options, request, person.user, err);
    throw err;
  }
}

function visitor(
  { certificate, client_addr }: DialRequest,
  client: Address,
  options: FromTunnelOptions,
): Person & { login: string } {
  const { view, cluster, clock } = options;
  const key = parsePublicKey(Buffer.from(certificate, "base64"));
  const login = key.certificate?.principals[0] ?? "";
  try {
    const person = personOf({ user: login, key }, view, { now: clock.now(), sourceAddress: client.host });
    if (person.cluster !== cluster)
      throw new Fault("access_denied", `a certificate of ${person.cluster} came from ${cluster}`);
    return { ...person, login };
  } catch (err) {
    if (err instanceof Fault) refuse(options, { client_addr }, key.certificate?.keyId ?? "", err);
    throw err;
  }
}

/** What somebody is refused for is this cluster's affair to write down, as at any of its doors. */
function refuse(
  { report, hostId }: FromTunnelOptions,
  { client_addr }: Pick<DialRequest, "client_addr">,
  user: string,
  { message, cause }: Fault,
): void {
  const error = cause instanceof Error ? `${message} (${cause.message})` : message;
  report({ code: "T3007W", user, "addr.remote": client_addr, error, success: "false", server_id: hostId });
}

const clientOf = ({ client_addr }: DialRequest): Address => parseAddress(client_addr, 0);
