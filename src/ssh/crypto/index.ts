export * from "./algorithms.ts";
export * from "./cipher/cipher.ts";
export * from "./derive.ts";
export type { KeyExchange } from "./kex/kex.ts";
export * from "./negotiate.ts";
