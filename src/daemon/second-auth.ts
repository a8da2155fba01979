import { openAuthClient } from "#authclient";
import type { Backend } from "#backend";
import { type Config, load } from "#config";
import { type Clock, type Millis, second } from "#core/clock";
import { type Address, dial } from "#net";
import { openStore } from "#store";
import { isOwn } from "./addresses.ts";

/** An auth server that is up answers sooner; one that is not must not hold up the first start of a cluster. */
const patience: Millis = 3 * second;

/**
 * Throws `bad_parameter` where this auth service would make a cluster of its own although one of `teleport.auth_servers`
 * answers: its operator wants a second server of that cluster. Only a first start makes a cluster, later ones are not asked.
 */
export async function refuseSecondAuth(
  config: Config,
  parts: { readonly backend: Backend; readonly version: string; readonly clock: Clock },
): Promise<void> {
  const { backend, version, clock } = parts;
  const { auth_servers, storage } = config.teleport;
  const others = auth_servers.filter(
    ({ host, port }) => !(port === config.auth_service.listen_addr.port && isOwn(host)),
  );
  if (others.length === 0) return;
  const store = await openStore(backend, clock);
  if (await store.name.find("name")) return;
  const answers = await Promise.all(others.map((other) => answersAsAuth(other, version, clock)));
  const there = others.find((_, i) => answers[i]);
  if (there) throw (await load()).needsSharedStorage(there, storage.backend.type);
}

/** Whether an auth server of whatever cluster is at this address. */
async function answersAsAuth(address: Address, version: string, clock: Clock): Promise<boolean> {
  const [late, done] = [new AbortController(), new AbortController()];
  void clock.sleep(patience, done.signal, { background: true }).then(
    () => late.abort(new Error("no answer in time")),
    () => {},
  );
  const client = openAuthClient({ dial: () => dial(address, late.signal), version });
  try {
    await client["cluster.ca"]({}, late.signal);
    return true;
  } catch {
    return false;
  } finally {
    done.abort();
    client.close();
  }
}
