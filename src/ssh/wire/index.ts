export * from "./codec.ts";
export * from "./connection.ts";
export * from "./kex.ts";
export * from "./transport.ts";
