export { Mirror } from "./mirror.ts";
export { type Person, personOf, userProblem } from "./person.ts";
export type { ClusterView } from "./view.ts";
