import { openCompileCache } from "../compile-cache.js";

// Before the rest is loaded, so that the rest is served from the cache.
openCompileCache();
const [{ main }, { program }] = await Promise.all([import("../process.ts"), import("./program.ts")]);
await main(program);
