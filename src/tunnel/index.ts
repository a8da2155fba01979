export { type DialPolicy, dialPolicy } from "./policy.ts";
export * from "./reverse/index.ts";
export { type Route, resolve, route, routeByAddress } from "./route.ts";
export { parseTarget, type Target } from "./target.ts";
