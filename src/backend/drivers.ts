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
const driver = <Schema extends z.ZodType>(of: Driver<Schema>): Driver<Schema> => of;

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
export function openBackend(config: StorageConfig, context: DriverContext): Promise<Backend> {
  const found = drivers.find((d) => d.config.safeParse(config).success);
  if (!found) throw new Fault("bad_parameter", `unsupported secrets storage type: "${config.type}"`);
  return found.open(config, context);
}
