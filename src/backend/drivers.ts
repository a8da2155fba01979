import { z } from "zod";
import type { Clock } from "#core/clock";
import { Fault } from "#core/errors";
import type { Log } from "#core/log";
import type { Backend } from "./index.ts";

/** What a driver is given beside its own part of the configuration. */
export interface DriverContext {
  readonly clock: Clock;
  readonly log: Log;
  /** `teleport.data_dir`, for drivers that keep files and were not told where. */
  readonly dataDir: string;
}

interface Driver<Schema extends z.ZodType> {
  /** The schema of `teleport.storage`, told apart by its `type`. */
  readonly config: Schema;
  readonly open: (config: z.infer<Schema>, context: DriverContext) => Promise<Backend>;
}
/** `openIf` opens the storage when `given` is this driver's configuration, and is undefined when it is another's. */
const driver = <Schema extends z.ZodType>({ config, open }: Driver<Schema>) => ({
  config,
  openIf(given: unknown, context: DriverContext): Promise<Backend> | undefined {
    const own = config.safeParse(given);
    return own.success ? open(own.data, context) : undefined;
  },
});

const dir = driver({
  config: z.strictObject({
    type: z.enum(["dir", "sqlite"]),
    /** Folder of the database file; by default `<data_dir>/backend`. */
    path: z.string().min(1).optional(),
  }),
  async open({ path }, { clock, log, dataDir }) {
    const { SqliteBackend } = await import("./sqlite.ts");
    return SqliteBackend.open(path ?? `${dataDir}/backend`, { clock, log });
  },
});

/** Every kind of storage; `config` makes its union of these schemas. Engines are loaded when opened. */
export const drivers = [dir] as const;

export type StorageConfig = z.infer<(typeof drivers)[number]["config"]>;

/** Opens the storage that `config.type` names. */
export async function openBackend(config: StorageConfig, context: DriverContext): Promise<Backend> {
  for (const { openIf } of drivers) {
    const opened = openIf(config, context);
    if (opened) return opened;
  }
  throw new Fault("bad_parameter", `unsupported secrets storage type: "${config.type}"`);
}
