import { Fault } from "#core/errors";

/** Whether this can be a host's name or address, and so part of a file name. */
export const isHost = (text: string): boolean =>
  text.length > 0 && text.length <= 255 && /^[A-Za-z0-9_.:-]+$/.test(text) && !/^[-.]/.test(text);

/** A proxy as the user named it; a port that is not said is undefined. */
export interface ProxyAddress {
  readonly host: string;
  readonly webPort: number | undefined;
  readonly sshPort: number | undefined;
}

export const defaultPorts = { web: 3080, ssh: 3023 };

/** Reads `--proxy`: `host[:https_port[,ssh_port]]`, where either port may be empty (TSH-01). Throws `bad_parameter`. */
export function parseProxy(text: string): ProxyAddress {
  const match = /^(?:https:\/\/)?(?:\[([^\]]+)\]|([^:,/]+))(?::(\d{0,5})(?:,(\d{0,5}))?)?\/?$/.exec(
    text.trim(),
  );
  const host = match?.[1] ?? match?.[2] ?? "";
  const port = (digits: string | undefined): number | undefined => (digits ? Number(digits) : undefined);
  const [webPort, sshPort] = [port(match?.[3]), port(match?.[4])];
  if (!isHost(host) || [webPort, sshPort].some((one) => one !== undefined && (one < 1 || one > 65_535))) {
    throw new Fault(
      "bad_parameter",
      `${JSON.stringify(text)} is not a proxy's address; write it as host[:https_port[,ssh_port]]`,
    );
  }
  return { host, webPort, sshPort };
}

/** Whom `tsh ssh` and `tsh scp` are to reach: one host by a name, id or address, or all nodes with these labels. */
export type Destination = { readonly login: string | undefined } & (
  | { readonly kind: "host"; readonly host: string }
  | { readonly kind: "labels"; readonly labels: Readonly<Record<string, string>> }
);

/** Reads `[login@]host` and `[login@]label=value[,label=value]`. Throws `bad_parameter`. */
export function parseDestination(text: string): Destination {
  const wrong = (): Fault =>
    new Fault("bad_parameter", `${JSON.stringify(text)} is not a host; write it as [login@]host`);
  const at = text.lastIndexOf("@", text.includes("=") ? text.indexOf("=") : text.length);
  const login = at < 0 ? undefined : checkLogin(text.slice(0, at));
  const where = text.slice(at + 1);
  if (where.includes("=")) return { login, kind: "labels", labels: parseLabels(where) };
  const host = where.startsWith("[") && where.endsWith("]") ? where.slice(1, -1) : where;
  if (!isHost(host)) throw wrong();
  return { login, kind: "host", host };
}

/**
 * A login as it may be sent to a host. What a shell or an option parser could take for more than a name is refused:
 * logins end up in command lines (CVE-2023-51385). Throws `bad_parameter`.
 */
export function checkLogin(login: string): string {
  if (!/^(?!-)[^\s\p{Cc}'"`$;&|<>(){}]{1,255}$/u.test(login)) {
    throw new Fault("bad_parameter", `${JSON.stringify(login)} is not a login`);
  }
  return login;
}

/** Reads `key=value[,key=value]` (TSH-43). Throws `bad_parameter`. */
export function parseLabels(text: string): Readonly<Record<string, string>> {
  const pairs = text.split(",").map((pair): [string, string] => {
    const [, key, value] = /^\s*([^=\s-][^=]*?)\s*=\s*(.*?)\s*$/.exec(pair) ?? [];
    if (key === undefined || value === undefined) {
      throw new Fault("bad_parameter", `${JSON.stringify(text)} is not label=value[,label=value]`);
    }
    return [key, value];
  });
  return Object.fromEntries(pairs);
}

/** A host to go through on the way to another (`-J`). */
export interface Jump {
  readonly login: string | undefined;
  readonly host: string;
  readonly port: number | undefined;
}

/** Reads `[login@]host[:port][,...]`; `none` is no host. Throws `bad_parameter`. */
export function parseJumps(text: string): readonly Jump[] {
  if (text === "none") return [];
  return text.split(",").map((one) => {
    const match = /^(?:ssh:\/\/)?(?:(.*)@)?(?:\[([^\]]+)\]|([^:@]+))(?::(\d{1,5}))?$/.exec(one.trim());
    const [, login, ip6, name, digits] = match ?? [];
    const host = ip6 ?? name ?? "";
    const port = digits === undefined ? undefined : Number(digits);
    if (!isHost(host) || port === 0 || (port ?? 1) > 65_535) {
      throw new Fault(
        "bad_parameter",
        `${JSON.stringify(one)} is not a host to jump over; write it as [login@]host[:port]`,
      );
    }
    return { login: login === undefined ? undefined : checkLogin(login), host, port };
  });
}
