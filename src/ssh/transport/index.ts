export * from "./packets.ts";
export * from "./start.ts";
