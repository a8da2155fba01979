export { configure } from "./configure.ts";
export { parseConfigFile } from "./file.ts";
export { contradictions } from "./findings.ts";
export { parseResources } from "./resource.ts";
export { sampleConfig } from "./sample.ts";
export { needsSharedStorage } from "./second-auth.ts";
export { resolveSecret } from "./values.ts";
