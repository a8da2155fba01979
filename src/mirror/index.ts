export { Mirror } from "./mirror.ts";
export type { ClusterView } from "./view.ts";
