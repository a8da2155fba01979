import { networkInterfaces } from "node:os";
import type { Address } from "#net";

const unspecified = (host: string): boolean => host === "0.0.0.0" || host === "::" || host === "";

/** The address by which peers reach a listener that is bound to all of the machine's: the first that is not loopback. */
export function reachableHost(host: string): string {
  if (!unspecified(host)) return host;
  const own = ownAddresses();
  return own.find((address) => !address.includes(":")) ?? own[0] ?? "127.0.0.1";
}

/** Whether the host is this machine, as far as that can be told without asking a name server. */
export const isOwn = (host: string): boolean =>
  unspecified(host) || /^(127\.|::1$|localhost$)/.test(host) || ownAddresses().includes(host);

/** Every listener by every address of this machine that leads to it, for the proxy's dial policy. */
export function listeners(bound: readonly Address[]): readonly Address[] {
  return bound.flatMap(({ host, port }) =>
    unspecified(host) ? ownAddresses().map((own) => ({ host: own, port })) : [{ host, port }],
  );
}

/** Without loopback and link-local ones. */
const ownAddresses = (): string[] =>
  Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ internal, address }) => !internal && !address.startsWith("fe80:"))
    .map(({ address }) => address);
