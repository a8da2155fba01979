import { aborted } from "#core/aborted";
import type { Leaving } from "#core/leaving";
import type { Log } from "#core/log";
import type { Service } from "#core/service";
import type { ClusterView } from "#mirror";
import type { TrustedLink } from "#model";

interface Running {
  readonly address: string;
  readonly stop: AbortController;
}

/** Where the other cluster takes tunnels: its web address serves for both where nothing else is said (OVW-12). */
const addressOf = ({ resource: { spec } }: TrustedLink): string => spec.tunnel_addr ?? spec.web_proxy_addr;

/**
 * Keeps what `agents` makes running for every trusted cluster while its link is enabled, by what the copy of the cluster's state
 * says: within moments of a change it begins or ends (TUN-14).
 */
export function trustedAgents(parts: {
  readonly view: Pick<ClusterView, "trustedClusters" | "onChange">;
  /** Tunnels to the cluster `name` at `address`, kept until they are stopped. */
  readonly agents: (name: string, address: string) => Service;
  readonly leaving: Leaving;
  readonly log: Log;
}): Service {
  const { view, agents, leaving, log } = parts;
  const running = new Map<string, Running>();
  /** Also of those that were stopped and are not over. */
  const work = new Set<Promise<void>>();

  const wanted = (): Map<string, string> =>
    new Map(
      view
        .trustedClusters()
        .filter(({ resource }) => resource.spec.enabled)
        .map((link) => [link.resource.metadata.name, addressOf(link)]),
    );
  const begin = (name: string, address: string): Running => {
    const stop = new AbortController();
    const done = agents(name, address)
      .run(stop.signal, () => {})
      .catch((err: Error) =>
        log.error("the tunnels to a trusted cluster failed", { cluster: name, error: err.message }),
      );
    work.add(done);
    void done.then(() => work.delete(done));
    return { address, stop };
  };
  const look = (): void => {
    const now = wanted();
    for (const [name, { address, stop }] of running) {
      if (now.get(name) === address) continue;
      stop.abort();
      running.delete(name);
    }
    for (const [name, address] of now) if (!running.has(name)) running.set(name, begin(name, address));
  };

  return {
    name: "trusted clusters",
    async run(signal, ready) {
      const leave = view.onChange(look);
      // What runs over a tunnel may be all that this process still has to do.
      const last = (): void => leaving.waitFor(Promise.all(work));
      leaving.begun.addEventListener("abort", last, { once: true });
      look();
      ready();
      await aborted(signal);
      leave();
      for (const { stop } of running.values()) stop.abort();
      await Promise.all(work);
    },
  };
}
