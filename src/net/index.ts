export * from "./address.ts";
export * from "./dial.ts";
export * from "./listen.ts";
