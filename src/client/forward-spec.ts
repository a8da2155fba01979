import { Fault } from "#core/errors";
import type { Bind } from "#ssh/forward";

/** A forward as the user asked for it. */
export interface Forward {
  /** Who listens: this machine (`-L`, `-D`) or the host (`-R`). */
  readonly side: "local" | "remote";
  readonly listen: Bind;
  /** Where visitors are taken from the other side; or each says so itself, by SOCKS. */
  readonly to: Bind | "socks";
  /** As it was written, with its flag, e.g. `-L 8080:db:80`. */
  readonly text: string;
}

export type ForwardFlag = "L" | "R" | "D";

/**
 * Reads what stands behind `-L`, `-R` or `-D`, as OpenSSH writes it: `[bind:]port:host:hostport`, where a path of a Unix
 * socket may stand on either side; `[bind:]port` alone for `-D` and for a `-R` that serves SOCKS. An IPv6 address stands in
 * brackets. Throws `bad_parameter` (TSH-26).
 */
export function parseForward(flag: ForwardFlag, text: string, { gatewayPorts = false } = {}): Forward {
  const wrong = (): Fault =>
    new Fault("bad_parameter", `Invalid port forwarding spec: '${text}'. ${hints[flag]}`);
  const parts = fields(text);
  if (!parts) throw wrong();
  const target = flag === "D" ? undefined : takeTarget(parts);
  const listen = parseListen(
    flag,
    parts,
    gatewayPorts,
    target !== undefined && target !== "wrong" && target.kind === "unix",
  );
  if (!listen || (flag === "L" && !target) || target === "wrong") throw wrong();
  return { side: flag === "R" ? "remote" : "local", listen, to: target ?? "socks", text: `-${flag} ${text}` };
}

/** Reads which forward of a flag is to end: the side that listens, `[bind:]port` or a path. Throws `bad_parameter`. */
export function parseListening(flag: ForwardFlag, text: string, { gatewayPorts = false } = {}): Bind {
  const listen = parseListen(flag, fields(text) ?? [], gatewayPorts, false);
  if (listen) return listen;
  throw new Fault("bad_parameter", `'${text}' does not say which forward to end; give its port`);
}

const hints: Readonly<Record<ForwardFlag, string>> = {
  L: "Could be like `80:remote.host:80`.",
  R: "Could be like `8080:localhost:80`, or `1080` for SOCKS.",
  D: "Could be like `1080` or `127.0.0.1:1080`.",
};

/** A place as it is shown to people. */
export const placeText = (place: Bind): string => {
  if (place.kind === "unix") return place.path;
  const { host, port } = place;
  return `${host === "" ? "*" : host.includes(":") ? `[${host}]` : host}:${port}`;
};

/** Parts between colons; those in brackets are bare afterwards, a backslash takes a colon in. At most four; undefined when malformed. */
function fields(text: string): string[] | undefined {
  if (/\p{Cc}/u.test(text)) return undefined;
  const parts: string[] = [];
  let rest = text;
  for (;;) {
    const match = /^(?:\[([^\]]*)\]|((?:\\.|[^:\\[\]])*))(?::(.*))?$/.exec(rest);
    if (!match || parts.length === 4) return undefined;
    parts.push(match[1] ?? (match[2] ?? "").replaceAll(/\\(.)/g, "$1"));
    if (match[3] === undefined) return parts;
    rest = match[3];
  }
}

/** Takes `host:port` or a path off the end; undefined when what is left can only be the listening side. */
function takeTarget(parts: string[]): Bind | "wrong" | undefined {
  const last = parts.at(-1) as string;
  const port = portOf(last);
  const onlyListening =
    parts.length === 1 || (parts.length === 2 && port !== undefined && !isPath(parts[0] as string));
  if (onlyListening) return undefined;
  parts.pop();
  if (port === undefined) {
    // A bare name beside another can only be a socket; behind a port it is more likely a host whose port is missing.
    const bare = parts.length === 1 && last !== "" && !/^\d+$/.test(parts[0] as string);
    return isPath(last) || bare ? { kind: "unix", path: last } : "wrong";
  }
  const host = parts.pop() as string;
  if (port === 0 || parts.length === 0 || !/^[A-Za-z0-9_.:%-]+$/.test(host)) return "wrong";
  return { kind: "tcp", host, port };
}

function parseListen(
  flag: ForwardFlag,
  parts: readonly string[],
  gatewayPorts: boolean,
  besideSocket: boolean,
): Bind | undefined {
  const [first = "", second] = parts;
  if (parts.length > 2 || parts.length === 0) return undefined;
  const port = portOf(second ?? first);
  if (port === undefined) {
    if (parts.length > 1 || flag === "D") return undefined;
    const bare = besideSocket && first !== "" && !/^\d+$/.test(first);
    return isPath(first) || bare ? { kind: "unix", path: first } : undefined;
  }
  // The host may choose a port for itself; here nobody would learn of it.
  if (port === 0 && flag !== "R") return undefined;
  const fallback = flag === "R" ? "localhost" : gatewayPorts ? "" : "127.0.0.1";
  const host = second === undefined ? fallback : first === "*" ? "" : first;
  if (!/^[A-Za-z0-9_.:%-]*$/.test(host)) return undefined;
  return { kind: "tcp", host, port };
}

const isPath = (text: string): boolean => text.includes("/");

function portOf(text: string): number | undefined {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : undefined;
  return port !== undefined && port <= 65_535 ? port : undefined;
}
