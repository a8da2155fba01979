/** Prints docs/events.md, docs/config.md, docs/diagnostics.md and docs/api.md from the schemas that the program itself reads by. */
import { writeFileSync } from "node:fs";
import { pages } from "./docs/pages.ts";

for (const [path, text] of Object.entries(await pages())) writeFileSync(path, text);
