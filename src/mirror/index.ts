export { CopyFile } from "./copy-file.ts";
export { Mirror, otherConnection } from "./mirror.ts";
export { authorityProblem, isAuthority, type Person, personOf, userProblem } from "./person.ts";
export { type Refusal, refusals } from "./refusals.ts";
export type { ClusterView } from "./view.ts";
