export type { Copied } from "./copied.ts";
export { Target } from "./sink.ts";
export { sources } from "./source.ts";
