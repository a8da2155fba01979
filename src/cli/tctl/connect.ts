import type { AuthClient } from "#authclient";
import { formatAddress, load } from "#config";
import { type Millis, systemClock } from "#core/clock";
import { Fault } from "#core/errors";
import { readSettings } from "../settings.ts";
import { productVersion } from "../version.ts";
import type { AdminDoor, ConnectAdmin } from "./admin.ts";

/** The connection of `tctl` (TCT-02): data folder and addresses from the configuration, the identity from the folder. */
export const connectAdmin =
  (door: () => Promise<AdminDoor>): ConnectAdmin =>
  async (io, flags, signal) => {
    const { file, places } = await readSettings(flags, io);
    const { configure } = await load();
    const defaults = { nodename: io.machine.hostname, dataDir: places.dataDir };
    const { teleport } = configure({ file, flags: {}, defaults }).config;
    const { openAdmin } = await door();
    const addresses = teleport.auth_servers;
    const version = productVersion();
    const open = async (triesLeft: number): Promise<AuthClient> => {
      const auth = await openAdmin({ dataDir: teleport.data_dir, addresses, version });
      if (!auth) {
        throw new Fault(
          "access_denied",
          `tctl must be used on the auth server: there is no administrator's identity in ${teleport.data_dir}; name the auth server's configuration with --config`,
        );
      }
      try {
        await auth["cluster.status"]({}, signal);
        return auth;
      } catch (err) {
        auth.close();
        // A rotation may be giving the administrator a new identity at this moment.
        if (!Fault.is(err, "access_denied") || triesLeft === 0) throw err;
        await systemClock.sleep(identityPause, signal);
        return open(triesLeft - 1);
      }
    };
    try {
      return await open(2);
    } catch (err) {
      if (!Fault.is(err, "unreachable")) throw err;
      const where = addresses.map(formatAddress).join(", ");
      throw new Fault(
        "unreachable",
        `Cannot connect to the auth server: ${err.message}.\nIs the auth server running on ${where}?`,
        { cause: err },
      );
    }
  };

const identityPause: Millis = 300;
