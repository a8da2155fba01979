import { Fault } from "#core/errors";
import { type Address, formatAddress } from "./address.ts";

/**
 * Why an auth server is not started beside the one at `other`: two that do not share their storage are two clusters, whatever
 * token was given (HA-02). Every kind of storage of this version is a folder of one machine.
 */
export const needsSharedStorage = (other: Address, storageType: string): Fault =>
  new Fault(
    "bad_parameter",
    `a second auth server beside ${formatAddress(other)} needs storage that both share, and teleport.storage.type ${JSON.stringify(storageType)} keeps the cluster on one machine: run the role auth on one host, and node and proxy on the others; for a cluster of its own start this one without that address in --auth-server and teleport.auth_servers`,
  );
