import { join } from "node:path";
import type { Config } from "#config";
import { type Clock, type Millis, minute, second } from "#core/clock";
import { Fault } from "#core/errors";
import type { Leaving } from "#core/leaving";
import type { Log } from "#core/log";
import type { Service } from "#core/service";
import { end, startAgain } from "./again.ts";
import type { Certify } from "./identity.ts";
import type { Listeners } from "./listeners.ts";
import type { FromChild, FromParent, OwnProcess, Parent } from "./own-process.ts";

const pauseFrom: Millis = second;
const pauseTo: Millis = minute / 2;
/** One that ran for so long may be started again at once. */
const steady: Millis = minute;

export interface ProcessesParts {
  /** How many in all, with this one, which is the first. */
  readonly count: number;
  readonly own: OwnProcess;
  readonly listeners: Listeners;
  readonly leaving: Leaving;
  /** Has the cluster certify the keys of one of them. */
  readonly certify: (wanted: Parameters<Certify>[0] & { readonly process: number }) => ReturnType<Certify>;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * The further processes of a proxy (`proxy_service.processes`): each serves the same ports by the same sockets, and is
 * a proxy of its own to the cluster. One that dies is started again; they leave with this process, and end with it.
 */
export function proxyProcesses(parts: ProcessesParts): Service {
  const { count, own, listeners, leaving, clock, log } = parts;

  /** Runs one to its end; answers how that came. */
  async function one(process: number, signal: AbortSignal): Promise<string> {
    const sockets = listeners.open.filter(({ name }) => name.startsWith("proxy_service."));
    const again = startAgain(own, sockets, {
      companion: process,
      onMessage: (message) => void answer(message, process, tell),
    });
    const { child, ended } = again;
    function tell(message: FromParent): void {
      if (child.connected) child.send(message, () => {});
    }
    const leave = (): void => tell({ leave: { replaced: leaving.replaced } });
    const stop = (): void => void end(again, clock);
    leaving.begun.addEventListener("abort", leave, { once: true });
    signal.addEventListener("abort", stop, { once: true });
    const how = await ended;
    leaving.begun.removeEventListener("abort", leave);
    signal.removeEventListener("abort", stop);
    return how;
  }

  async function answer(
    message: FromChild,
    process: number,
    tell: (message: FromParent) => void,
  ): Promise<void> {
    if ("ready" in message) return log.info("a process of the proxy serves", { process });
    try {
      tell({ certified: await parts.certify({ ...message.certify, process }) });
    } catch (err) {
      tell({ refused: (err as Error).message });
    }
  }

  async function keep(process: number, signal: AbortSignal): Promise<void> {
    let pause = pauseFrom;
    while (!signal.aborted) {
      const began = clock.uptime();
      const how = await one(process, signal);
      if (signal.aborted || leaving.begun.aborted) return;
      if (clock.uptime() - began >= steady) pause = pauseFrom;
      log.warn("a process of the proxy is gone, another takes its place", { process, how, in_ms: pause });
      await clock.sleep(pause, AbortSignal.any([signal, leaving.begun])).catch(() => {});
      if (leaving.begun.aborted) return;
      pause = Math.min(pause * 2, pauseTo);
    }
  }

  return {
    name: "proxy processes",
    async run(signal, ready) {
      const kept = Promise.all(Array.from({ length: count - 1 }, (_, i) => keep(i + 2, signal)));
      leaving.begun.addEventListener("abort", () => leaving.waitFor(kept), { once: true });
      ready();
      await kept;
    },
  };
}

/** What the configuration of the host is to one of its proxy's further processes. */
export function companionConfig(config: Config, process: number): Config {
  const { pid_file: _, ...teleport } = config.teleport;
  return {
    ...config,
    teleport: { ...teleport, data_dir: join(teleport.data_dir, "proxies", String(process)) },
    auth_service: { ...config.auth_service, enabled: false },
    ssh_service: { ...config.ssh_service, enabled: false },
    process: { ...config.process, diag_addr: undefined },
  };
}

/** How one of a proxy's processes comes to its first certificates: the process that started it asks for them. */
export function vouchedBy(parent: Parent): Certify {
  let asked: PromiseWithResolvers<Awaited<ReturnType<Certify>>> | undefined;
  parent.onMessage((message) => {
    if ("certified" in message) asked?.resolve(message.certified);
    else if ("refused" in message) asked?.reject(new Fault("access_denied", message.refused));
  });
  return (keys) => {
    asked = Promise.withResolvers();
    parent.send({ certify: keys });
    return asked.promise;
  };
}
