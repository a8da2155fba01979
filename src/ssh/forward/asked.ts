import { Fault } from "#core/errors";
import { type Channel, type ChannelRequest, type Connection, OpenFailure } from "../connection/channel.ts";
import type { Bind } from "./listeners.ts";
import {
  ForwardedStreamlocal,
  ForwardedTcpip,
  StreamlocalForward,
  TcpipForward,
  TcpipForwardReply,
} from "./requests.ts";

type Serve = (channel: Channel) => void;
interface Asked {
  readonly bind: Bind;
  readonly serve: Serve;
}

/** The client side of remote forwards: only channels for what was asked for are let in (RFC 4254 §7.2). */
export class AskedForwards {
  readonly #connection: Connection;
  readonly #asked = new Set<Asked>();

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /**
   * Has the server listen at `bind` and gives what it brings to `serve`. Resolves to the bind with the real port.
   * Rejects with `access_denied` when the server will not.
   */
  async ask(bind: Bind, serve: Serve): Promise<Bind> {
    const before = { bind, serve };
    // A visitor may be there before the reply, unless nobody can know the port yet.
    this.#asked.add(before);
    const reply = await this.#connection.request(...requestFor(bind, ""), true).finally(() => {
      this.#asked.delete(before);
    });
    if (!reply) throw new Fault("access_denied", `the server does not listen on ${describe(bind)} for us`);
    const anyPort = bind.kind === "tcp" && bind.port === 0;
    const actual = anyPort ? { ...bind, port: TcpipForwardReply.decode(reply).port } : bind;
    this.#asked.add({ bind: actual, serve });
    return actual;
  }

  /** Ends a forward, as `ask` resolved it. Resolves to whether the server knew it. */
  async cancel(bind: Bind): Promise<boolean> {
    for (const one of this.#asked) if (sameBind(one.bind, bind)) this.#asked.delete(one);
    return (await this.#connection.request(...requestFor(bind, "cancel-"), true)) !== undefined;
  }

  /** Takes a channel that the server opens: accepts what was asked for, refuses the rest. False: of another kind. */
  take(request: ChannelRequest): boolean {
    const bind = bindOf(request);
    if (!bind) return false;
    const asked = [...this.#asked].find((one) => sameBind(one.bind, bind));
    if (asked) asked.serve(request.accept());
    else request.reject(OpenFailure.administrativelyProhibited, "this forward was not asked for");
    return true;
  }
}

function requestFor(bind: Bind, prefix: "" | "cancel-"): [name: string, payload: Uint8Array] {
  return bind.kind === "tcp"
    ? [`${prefix}tcpip-forward`, TcpipForward.encode(bind)]
    : [`${prefix}streamlocal-forward@openssh.com`, StreamlocalForward.encode(bind)];
}

function bindOf({ kind, extra }: ChannelRequest): Bind | undefined {
  if (kind === "forwarded-tcpip") {
    const { host, port } = ForwardedTcpip.decode(extra);
    return { kind: "tcp", host, port };
  }
  if (kind === "forwarded-streamlocal@openssh.com")
    return { kind: "unix", path: ForwardedStreamlocal.decode(extra).path };
  return undefined;
}

const sameBind = (a: Bind, b: Bind): boolean =>
  a.kind === "tcp"
    ? b.kind === "tcp" && a.port === b.port && a.host === b.host
    : b.kind === "unix" && a.path === b.path;

const describe = (bind: Bind): string => (bind.kind === "tcp" ? `${bind.host}:${bind.port}` : bind.path);
