import { Fault } from "#core/errors";
import { formatAddress } from "#net";

/** Whether this can be a host's name or address, and so part of a file name. */
export const isHost = (text: string): boolean =>
  text.length > 0 && text.length <= 255 && /^[A-Za-z0-9_.:-]+$/.test(text) && !/^[-.]/.test(text);

export interface ProxyAddress {
  readonly host: string;
  readonly webPort: number;
  readonly sshPort: number;
}

const defaults = { webPort: 3080, sshPort: 3023 };

/** Reads `--proxy`: `host[:https_port[,ssh_port]]`, where either port may be empty (TSH-01). Throws `bad_parameter`. */
export function parseProxy(text: string): ProxyAddress {
  const match = /^(?:https:\/\/)?(?:\[([^\]]+)\]|([^:,/]+))(?::(\d{0,5})(?:,(\d{0,5}))?)?\/?$/.exec(
    text.trim(),
  );
  const host = match?.[1] ?? match?.[2] ?? "";
  const port = (digits: string | undefined, other: number): number => (digits ? Number(digits) : other);
  const webPort = port(match?.[3], defaults.webPort);
  const sshPort = port(match?.[4], defaults.sshPort);
  if (!isHost(host) || webPort > 65_535 || sshPort > 65_535) {
    throw new Fault(
      "bad_parameter",
      `${JSON.stringify(text)} is not a proxy's address; write it as host[:https_port[,ssh_port]]`,
    );
  }
  return { host, webPort, sshPort };
}

export const webAddress = ({ host, webPort }: ProxyAddress): string => formatAddress({ host, port: webPort });

/** `[login@]host`, as `tsh ssh` and `tsh scp` take it. */
export function parseDestination(text: string): { login: string | undefined; host: string } {
  const at = text.lastIndexOf("@");
  const login = at < 0 ? undefined : text.slice(0, at);
  const host = text.slice(at + 1);
  if (host === "" || login === "" || /[\s\p{Cc}]/u.test(text)) {
    throw new Fault("bad_parameter", `${JSON.stringify(text)} is not a host; write it as [login@]host`);
  }
  return { login, host };
}
