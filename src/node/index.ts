export { nodeListener } from "./serve.ts";
export { type Ends, type NodeOptions, NodeServer } from "./server.ts";
export type { Host } from "./visit.ts";
