// Only what is cheap to load stands here: what needs schemas and YAML is behind `load`.
export { type Address, formatAddress } from "./address.ts";
export type { Config, Defaults, StartFlags } from "./configure.ts";
export type { DialTarget, LogOutput, ParsedFile, StaticToken } from "./file.ts";
export { type Caller, defaultPlaces, type Places } from "./places.ts";
export type { Storage } from "./storage.ts";
export type { Advertised, SecretSource } from "./values.ts";

/** The readers of files: `parseConfigFile`, `configure`, `contradictions`, `parseResources`, `sampleConfig`, `resolveSecret`. */
export const load = () => import("./load.ts");
