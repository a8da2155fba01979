import { defaultPlaces, load } from "#config";
import { command } from "./globals.ts";

/** `teleport configure`: a commented sample to begin with. */
export const configure = command({
  name: "configure",
  about: "Print a sample configuration file",
  flags: {},
  async run({ io }) {
    const { sampleConfig } = await load();
    const { dataDir } = defaultPlaces({ ...io.machine, env: io.env });
    io.out(sampleConfig({ nodename: io.machine.hostname, dataDir }).trimEnd());
    return 0;
  },
});
