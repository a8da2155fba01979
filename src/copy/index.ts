export type { Copied } from "./copied.ts";
export { reason, shown } from "./paths.ts";
export { Target } from "./sink.ts";
export { sources } from "./source.ts";
