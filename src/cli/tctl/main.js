import { openCompileCache } from "../compile-cache.js";

// Before the rest is loaded, so that the rest is served from the cache.
openCompileCache();
await import("./run.ts");
