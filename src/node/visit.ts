import type { Clock } from "#core/clock";
import type { Log } from "#core/log";
import type { Random } from "#core/random";
import type { Accounts, Programs, Sockets } from "#helper";
import type { ClusterView } from "#mirror";
import type { Labels } from "#model";
import type { Address } from "#net";
import type { Activity, Spool, Telling, Who } from "#session";
import type { Channel, Connection } from "#ssh";
import type { Visitor } from "./authenticate.ts";
import type { SessionMeter } from "./meter.ts";

/** What a node serves everybody with. */
export interface Host {
  readonly hostId: string;
  readonly view: ClusterView;
  /** This node's labels as they are now. */
  readonly labels: () => Labels;
  readonly accounts: Pick<Accounts, "find" | "group">;
  readonly programs: Programs;
  readonly sockets: Pick<Sockets, "connect" | "listen">;
  readonly spool: Spool;
  readonly telling: Telling;
  /** Why audit events can be kept nowhere now; undefined while they can. */
  readonly auditTrouble?: () => string | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly sessions?: SessionMeter;
  /** Further variables that clients may set (CFG-78). */
  readonly acceptEnv: readonly string[];
  /** Whether `~/.tsh/environment` is read (CFG-75). */
  readonly permitUserEnv: boolean;
}

/** One connection that was let in. */
export interface Visit extends Visitor {
  readonly connection: Connection;
  readonly who: Who;
  readonly client: Address;
  readonly local: Address;
  readonly activity: Activity;
  /** What its sessions still do, also after the connection is gone. */
  readonly running: Set<Promise<void>>;
  /** The node stops. */
  readonly signal: AbortSignal;
}

/**
 * How sessions on this node are told: not at all while the cluster records at its proxies, which tell of the same
 * sessions (REC-P4). Logins, forwards and disconnects are the node's own in any case.
 */
export const sessionTelling = ({ view, telling }: Host): Telling =>
  view.config().session_recording === "proxy" ? { ...telling, emitter: { emit: async () => {} } } : telling;

/** The channel, telling when the client sends something. */
export function touching(channel: Channel, activity: Activity): Channel {
  return {
    kind: channel.kind,
    async *[Symbol.asyncIterator]() {
      for await (const chunk of channel) {
        activity.touch();
        yield chunk;
      }
    },
    stderr: channel.stderr,
    closed: channel.closed,
    gone: channel.gone,
    write: (chunk) => channel.write(chunk),
    writeStderr: (chunk) => channel.writeStderr(chunk),
    end: () => channel.end(),
    request: (name, payload, wantReply) => channel.request(name, payload, wantReply),
    onRequest: (handler) => channel.onRequest(handler),
    close: (options) => channel.close(options),
    [Symbol.asyncDispose]: () => channel.close(),
  };
}
