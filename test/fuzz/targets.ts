import { decoders } from "./decoders.ts";
import { machines } from "./machines.ts";
import type { Target } from "./target.ts";

export const targets: readonly Target[] = [...decoders, ...machines];
