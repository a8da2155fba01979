import { join } from "node:path";
import type { Config } from "#config";
import type { Service } from "#core/service";
import { CopyFile, Mirror } from "#mirror";
import type { Member } from "./member.ts";
import type { World } from "./world.ts";

/**
 * The copy of the cluster's state for the proxy and the node of this process. That of a `member` of an auth server elsewhere is
 * kept under `<data_dir>/cache` too, one file for each kind of member, since a node is told less than a proxy.
 */
export function mirrorOf(
  config: Config,
  world: World,
  client: ConstructorParameters<typeof Mirror>[0]["client"],
  member: Member | undefined,
): Mirror {
  const { cache, data_dir } = config.teleport;
  const { clock, log } = world;
  const role = config.proxy_service.enabled ? "proxy" : "node";
  const file = new CopyFile(join(data_dir, "cache", `${role}.jsonl`));
  return new Mirror({
    client,
    clock,
    log: log.with({ component: "mirror" }),
    ...(cache.ttl > 0 && { ttl: cache.ttl }),
    ...(member && cache.enabled && { kept: { file, trusted: () => member.identity().authorities } }),
  });
}

/** What has begun while auth is away does not wait for it: the service goes on trying by itself. */
export function unawaited(service: Service, mirror: Pick<Mirror, "connected">): Service {
  return {
    name: service.name,
    run(signal, ready) {
      if (!mirror.connected) ready();
      return service.run(signal, ready);
    },
  };
}
